//! Erasing people.

use tollgate_proto::v1;
use tollgate_proto::v1::erase_subject_request::Subject;
use uuid::Uuid;

use crate::client::Client;
use crate::error::Error;

const NO_ERASURE: Error = Error::Protocol("an erasure was answered without its content");

impl Client {
    /// Replaces a person's name by a pseudonym, and starts to erase what else tells it. Safe to retry: the request has an identity
    /// of its own.
    ///
    /// # Errors
    /// [`Error::Refused`], for example with the reason `BUDGET_BACKFILLING`, or a transient error.
    pub async fn erase_subject(&self, subject: Subject, reason: impl Into<String>) -> Result<v1::Erasure, Error> {
        self.send_erasure(subject, reason.into(), false).await
    }

    /// How many events an erasure would concern, without erasing anything.
    ///
    /// # Errors
    /// As [`Client::erase_subject`].
    pub async fn preview_erasure(&self, subject: Subject) -> Result<v1::Erasure, Error> {
        self.send_erasure(subject, String::new(), true).await
    }

    async fn send_erasure(&self, subject: Subject, reason: String, validate_only: bool) -> Result<v1::Erasure, Error> {
        let request_id = Uuid::now_v7().to_string();
        let request = v1::EraseSubjectRequest { subject: Some(subject), request_id, reason, validate_only };
        let admin = self.admin();
        let answer = self.call(request, |request| {
            let mut admin = admin.clone();
            async move { admin.erase_subject(request).await }
        });
        answer.await?.erasure.ok_or(NO_ERASURE)
    }

    /// How far an erasure has come.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason `ERASURE_NOT_FOUND`, or a transient error.
    pub async fn get_erasure(&self, erasure_id: impl Into<String>) -> Result<v1::Erasure, Error> {
        let request = v1::GetErasureRequest { erasure_id: erasure_id.into() };
        let admin = self.admin();
        let answer = self.call(request, |request| {
            let mut admin = admin.clone();
            async move { admin.get_erasure(request).await }
        });
        answer.await?.erasure.ok_or(NO_ERASURE)
    }
}

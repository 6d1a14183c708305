//! Reading events and totals.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use tollgate_proto::v1;
use tollgate_proto::v1::get_usage_request::Key;

use crate::client::Client;
use crate::count::{local_time, wire_duration};
use crate::error::Error;
use crate::pages::{self, Pages};
use crate::scope::Scope;

/// Running totals at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Totals {
    /// The totals, in the order of the scopes asked for.
    pub scopes: Vec<v1::ScopeTotals>,
    /// The moment as of which they are true, by the server's clock.
    pub as_of: Option<SystemTime>,
}

impl Totals {
    /// The versions of all scopes, to be given to [`Client::totals_after`].
    #[must_use]
    pub fn versions(&self) -> HashMap<String, i64> {
        self.scopes.iter().map(|scope| (scope.key.clone(), scope.version)).collect()
    }
}

impl Client {
    /// One event as it is kept.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason `EVENT_NOT_FOUND`, or a transient error.
    pub async fn get_usage(&self, event_id: impl Into<String>) -> Result<v1::UsageRecord, Error> {
        self.get_usage_by(Key::EventId(event_id.into())).await
    }

    /// One event as it is kept, found by its key in another system.
    ///
    /// # Errors
    /// [`Error::Refused`] with the reason `EVENT_NOT_FOUND`, or a transient error.
    pub async fn get_usage_by_external_key(
        &self,
        source: impl Into<String>,
        key: impl Into<String>,
    ) -> Result<v1::UsageRecord, Error> {
        self.get_usage_by(Key::ExternalKey(v1::ExternalKey { source: source.into(), key: key.into() })).await
    }

    async fn get_usage_by(&self, key: Key) -> Result<v1::UsageRecord, Error> {
        let usage = self.usage();
        let answer = self
            .call(v1::GetUsageRequest { key: Some(key) }, |request| {
                let mut usage = usage.clone();
                async move { usage.get_usage(request).await }
            })
            .await?;
        answer.record.ok_or(Error::Protocol("an event was answered without its content"))
    }

    /// Events that satisfy the request, newest first, over all pages from its `page_token` on.
    #[must_use]
    pub fn list_usage(&self, request: v1::ListUsageRequest) -> Pages<v1::UsageRecord> {
        let client = self.clone();
        pages::stream(request.page_token.clone(), move |page_token| {
            let client = client.clone();
            let request = v1::ListUsageRequest { page_token, ..request.clone() };
            async move {
                let usage = client.usage();
                let page = client
                    .call(request, |request| {
                        let mut usage = usage.clone();
                        async move { usage.list_usage(request).await }
                    })
                    .await?;
                Ok((page.records, page.next_page_token))
            }
        })
    }

    /// Running totals now.
    ///
    /// # Errors
    /// [`Error::Refused`] or a transient error.
    pub async fn totals(&self, scopes: impl IntoIterator<Item = Scope>) -> Result<Totals, Error> {
        self.get_totals(scopes, HashMap::new(), None).await
    }

    /// Running totals as soon as any scope has another version than the given one, or when the wait, of at most 30 seconds, is
    /// over.
    ///
    /// # Errors
    /// [`Error::Refused`] or a transient error.
    pub async fn totals_after(
        &self,
        scopes: impl IntoIterator<Item = Scope>,
        versions: HashMap<String, i64>,
        wait: Duration,
    ) -> Result<Totals, Error> {
        self.waiting(wait).get_totals(scopes, versions, Some(wait)).await
    }

    async fn get_totals(
        &self,
        scopes: impl IntoIterator<Item = Scope>,
        after_versions: HashMap<String, i64>,
        wait: Option<Duration>,
    ) -> Result<Totals, Error> {
        let request = v1::GetTotalsRequest {
            scopes: scopes.into_iter().map(Into::into).collect(),
            after_versions: after_versions.into_iter().collect(),
            wait: wait.map(wire_duration),
        };
        let usage = self.usage();
        let answer = self
            .call(request, |request| {
                let mut usage = usage.clone();
                async move { usage.get_totals(request).await }
            })
            .await?;
        Ok(Totals { scopes: answer.scopes, as_of: answer.as_of.as_ref().and_then(local_time) })
    }

    /// The same client with the time of a wait on top of its limits.
    fn waiting(&self, wait: Duration) -> Self {
        let mut retry = self.retry().clone();
        retry.attempt_timeout = retry.attempt_timeout.saturating_add(wait);
        self.with_deadline(self.deadline().saturating_add(wait)).with_retry(retry)
    }
}

//! Where the tokens and the money went.

use std::time::SystemTime;

use tollgate_proto::v1::get_summary_response::Row;
use tollgate_proto::v1::{self, CostBasis, Granularity, TimeBasis};

use crate::client::Client;
use crate::count::{local_time, small_count, wire_time};
use crate::error::Error;
use crate::pages::{self, Pages};

/// Asks for sums by time and dimension.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "a request does nothing until it is sent"]
pub struct SummaryRequest {
    message: v1::GetSummaryRequest,
}

impl SummaryRequest {
    /// The sums of a stretch of time that includes its start and excludes its end.
    pub fn between(start: SystemTime, end: SystemTime) -> Self {
        Self {
            message: v1::GetSummaryRequest {
                start_time: Some(wire_time(start)),
                end_time: Some(wire_time(end)),
                ..Default::default()
            },
        }
    }

    /// One row per stretch of this length of a time zone, given by its IANA name.
    pub fn every(mut self, granularity: Granularity, time_zone: impl Into<String>) -> Self {
        self.message.granularity = granularity.into();
        self.message.time_zone = time_zone.into();
        self
    }

    /// One row per value of this dimension. At most 2 dimensions.
    pub fn group_by(mut self, key: v1::DimensionKey) -> Self {
        self.message.group_by.push(key);
        self
    }

    /// Only events for which the condition, besides those set before, holds.
    pub fn only(mut self, condition: v1::DimensionMatch) -> Self {
        self.message.filter.push(condition);
        self
    }

    /// Only events of this model, besides those named before.
    pub fn model(mut self, model: impl Into<String>) -> Self {
        self.message.models.push(model.into());
        self
    }

    /// By which of its two times an event is placed. Unless set, by its start.
    pub fn time_basis(mut self, basis: TimeBasis) -> Self {
        self.message.time_basis = basis.into();
        self
    }

    /// Which cost is summed. Unless set, the one that was charged.
    pub fn cost_basis(mut self, basis: CostBasis) -> Self {
        self.message.cost_basis = basis.into();
        self
    }

    /// The fields of [`v1::Measures`] that are wanted, for example `latency_p95`.
    pub fn measures<M: Into<String>>(mut self, fields: impl IntoIterator<Item = M>) -> Self {
        self.message.measures = Some(prost_types::FieldMask { paths: fields.into_iter().map(Into::into).collect() });
        self
    }

    /// The most groups shown on their own; the rest is folded into `other`.
    pub fn top(mut self, groups: u32) -> Self {
        self.message.top = small_count(groups);
        self
    }

    /// The order of rows within a bucket, for example `calls desc`.
    pub fn order_by(mut self, order: impl Into<String>) -> Self {
        self.message.order_by = order.into();
        self
    }
}

impl From<SummaryRequest> for v1::GetSummaryRequest {
    fn from(request: SummaryRequest) -> Self {
        request.message
    }
}

/// Sums by time and dimension.
#[derive(Debug, Clone, PartialEq)]
pub struct Summary {
    /// The rows of all pages.
    pub rows: Vec<Row>,
    /// What is known about everything that the request selects.
    pub total: Option<v1::Measures>,
    /// The moment as of which the summary is true.
    pub as_of: Option<SystemTime>,
}

impl Client {
    /// The whole summary, all pages together.
    ///
    /// # Errors
    /// [`Error::Refused`], for example with the reason `QUERY_TOO_WIDE`, or a transient error.
    pub async fn summary(&self, request: impl Into<v1::GetSummaryRequest>) -> Result<Summary, Error> {
        let mut request = request.into();
        let mut rows = Vec::new();
        loop {
            let page = self.summary_page(request.clone()).await?;
            rows.extend(page.rows);
            if page.next_page_token.is_empty() {
                return Ok(Summary { rows, total: page.total, as_of: page.as_of.as_ref().and_then(local_time) });
            }
            if page.next_page_token == request.page_token {
                return Err(Error::Protocol("a page names itself as the next one"));
            }
            request.page_token = page.next_page_token;
        }
    }

    /// The rows of a summary, fetched page by page as they are asked for.
    #[must_use]
    pub fn summary_rows(&self, request: impl Into<v1::GetSummaryRequest>) -> Pages<Row> {
        let client = self.clone();
        let request = request.into();
        pages::stream(request.page_token.clone(), move |page_token| {
            let client = client.clone();
            let request = v1::GetSummaryRequest { page_token, ..request.clone() };
            async move {
                let page = client.summary_page(request).await?;
                Ok((page.rows, page.next_page_token))
            }
        })
    }

    async fn summary_page(&self, request: v1::GetSummaryRequest) -> Result<v1::GetSummaryResponse, Error> {
        let usage = self.usage();
        self.call(request, |request| {
            let mut usage = usage.clone();
            async move { usage.get_summary(request).await }
        })
        .await
    }
}

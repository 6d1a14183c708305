//! Pages of one summary: read once, the later pages kept where every replica finds them.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tollgate_domain::digest::Digester;
use tollgate_domain::summary::{Summary, SummaryRequest, SummaryRow};
use uuid::Uuid;

use super::{Summarized, summarize};
use crate::app::AppError;
use crate::store::dictionary::{Dictionary, ErasuresVersion};
use crate::store::scoped::TenantPool;
use crate::store::summaries::{add_pages, find_page};
use crate::tenant::TenantId;

/// How long a page can be asked for.
const LIFETIME: Duration = Duration::from_secs(10 * 60);

/// One page of a summary. All pages share one reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SummaryPage {
    /// Its rows.
    pub rows: Vec<SummaryRow>,
    /// Everything that the conditions select, not only this page.
    pub total: SummaryRow,
    /// The moment as of which the summary is true, by the database's clock.
    pub as_of: Timestamp,
    /// Names the next page; empty on the last one.
    pub next_page_token: String,
}

/// A page that waits to be asked for.
#[derive(Debug, Serialize, Deserialize)]
struct KeptPage {
    page: SummaryPage,
    /// The erasures that it knew of: once there are more, it may show a name that is gone.
    erasures_version: ErasuresVersion,
}

/// One page of the summary: the first for an empty `page_token`, else the one that it names, which any replica can
/// serve within ten minutes.
///
/// # Errors
/// [`AppError::PageTokenInvalid`] where the token is another request's has expired or was made before an erasure;
/// [`AppError::Invalid`], [`AppError::QueryTooWide`] where a bound is passed, and those of the database.
pub async fn summarize_page(
    tenants: &TenantPool,
    dictionary: &Dictionary,
    tenant: TenantId,
    request: &SummaryRequest,
    page_token: &str,
) -> Result<SummaryPage, AppError> {
    let digest = digest(request)?;
    if !page_token.is_empty() {
        let id = page_id(page_token).ok_or(AppError::PageTokenInvalid)?;
        let (kept, by_now) = find_page(tenants, tenant, id, digest).await?.ok_or(AppError::PageTokenInvalid)?;
        let kept: KeptPage = serde_json::from_slice(&kept).map_err(|_| AppError::PageTokenInvalid)?;
        return if kept.erasures_version == by_now { Ok(kept.page) } else { Err(AppError::PageTokenInvalid) };
    }
    let Summarized { summary, erasures_version } = summarize(tenants, dictionary, tenant, request).await?;
    let mut pages = cut(summary, usize::try_from(request.rows_per_page()).unwrap_or(usize::MAX));
    let later = pages.split_off(1);
    if !later.is_empty() {
        let ids: Vec<Uuid> = pages.iter().chain(&later).filter_map(|page| page_id(&page.next_page_token)).collect();
        let kept = later.into_iter().map(|page| KeptPage { page, erasures_version });
        let written: Result<Vec<Vec<u8>>, _> = kept.map(|page| serde_json::to_vec(&page)).collect();
        let written = written.map_err(|_| AppError::Internal)?;
        add_pages(tenants, tenant, digest, LIFETIME, &ids, &written).await?;
    }
    pages.pop().ok_or(AppError::Internal)
}

/// At least one page, each naming the next.
fn cut(summary: Summary, size: usize) -> Vec<SummaryPage> {
    let Summary { rows, total, as_of } = summary;
    let mut pages = Vec::new();
    let mut rows = rows.into_iter().peekable();
    loop {
        let taken: Vec<SummaryRow> = rows.by_ref().take(size.max(1)).collect();
        let last = rows.peek().is_none();
        let next_page_token =
            if last { String::new() } else { URL_SAFE_NO_PAD.encode(Uuid::from_u128(rand::random()).as_bytes()) };
        pages.push(SummaryPage { rows: taken, total: total.clone(), as_of, next_page_token });
        if last {
            return pages;
        }
    }
}

fn page_id(token: &str) -> Option<Uuid> {
    Uuid::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

/// Tells requests apart, so that a token serves only the one that it was made for.
fn digest(request: &SummaryRequest) -> Result<Uuid, AppError> {
    let mut digester = Digester::new();
    digester.field(serde_json::to_vec(request).map_err(|_| AppError::Internal)?);
    Ok(digester.finish())
}

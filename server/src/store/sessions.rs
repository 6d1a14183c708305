//! Totals of sessions.

use sqlx::PgConnection;
use tollgate_domain::measures::Measures;

use super::error::StoreError;
use super::measures_row::MeasuresRow;
use crate::tenant::TenantId;

/// Asks for one kind of rows of one session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionQuestion {
    /// The session's number.
    pub session: i64,
    /// Its descendants' totals instead of its own.
    pub descendants: bool,
    /// The caller's number for the question, echoed.
    pub position: i32,
}

/// What a session used with one shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionTotal {
    /// The question's number.
    pub position: i32,
    /// The shape.
    pub shape: i64,
    /// Rises with every change.
    pub version: i64,
    /// The sums.
    pub measures: Measures,
}

/// Answers all questions in one statement.
///
/// # Errors
/// [`StoreError`].
pub async fn session_totals(
    connection: &mut PgConnection,
    tenant: TenantId,
    questions: &[SessionQuestion],
) -> Result<Vec<SessionTotal>, StoreError> {
    if questions.is_empty() {
        return Ok(Vec::new());
    }
    let sessions: Vec<i64> = questions.iter().map(|question| question.session).collect();
    let descendants: Vec<bool> = questions.iter().map(|question| question.descendants).collect();
    let positions: Vec<i32> = questions.iter().map(|question| question.position).collect();
    let rows = sqlx::query_file!("sql/summary/session_totals.sql", tenant.0, &sessions, &descendants, &positions)
        .fetch_all(connection)
        .await?;
    rows.into_iter()
        .map(|row| {
            Ok(SessionTotal {
                position: row.position,
                shape: row.shape_id,
                version: row.version,
                measures: row.measures.try_into()?,
            })
        })
        .collect()
}

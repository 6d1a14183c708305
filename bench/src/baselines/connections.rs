//! How many connections a baseline of SQL does best with: it is tried, and the best is taken.

use std::future::Future;

use tollgate_stage::Cluster;

use crate::load::{Caller, Span, drive};
use crate::usage::Watched;

/// Tries each of these numbers of connections and says which was fastest.
pub(crate) async fn best<C, F>(
    numbers: &[usize],
    span: Span,
    cluster: &Cluster,
    make: impl Fn(usize) -> F,
) -> anyhow::Result<usize>
where
    C: Caller,
    F: Future<Output = anyhow::Result<Vec<C>>>,
{
    let watched = Watched { servers: &[], cluster: Some(cluster) };
    let mut best = (1, 0.0);
    for number in numbers {
        let rate = drive(make(*number).await?, span, watched).await?.rate();
        if rate > best.1 {
            best = (*number, rate);
        }
    }
    Ok(best.0)
}

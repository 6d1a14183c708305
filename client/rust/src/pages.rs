//! Reading lists that Tollgate answers in pages.

use std::collections::VecDeque;
use std::future::Future;

use futures::stream::{self, BoxStream, StreamExt};

use crate::error::Error;

/// All items of a list, fetched page by page as they are asked for. Ends after the last item or after the first error.
pub type Pages<T> = BoxStream<'static, Result<T, Error>>;

/// Where the reading of a list stands.
struct Reading<T, Fetch> {
    fetch: Fetch,
    ready: VecDeque<T>,
    /// The page to fetch next. `None` after the last one.
    next: Option<String>,
}

/// A stream over the pages that `fetch` returns for a page token, each with the token of the next.
pub(crate) fn stream<T, Fetch, Page>(first: String, fetch: Fetch) -> Pages<T>
where
    T: Send + 'static,
    Fetch: Fn(String) -> Page + Send + 'static,
    Page: Future<Output = Result<(Vec<T>, String), Error>> + Send + 'static,
{
    let reading = Reading { fetch, ready: VecDeque::new(), next: Some(first) };
    stream::try_unfold(reading, |mut reading| async move {
        loop {
            if let Some(item) = reading.ready.pop_front() {
                return Ok(Some((item, reading)));
            }
            let Some(token) = reading.next.take() else { return Ok(None) };
            let (items, next) = (reading.fetch)(token.clone()).await?;
            if next == token && !next.is_empty() {
                return Err(Error::Protocol("a page names itself as the next one"));
            }
            reading.ready = items.into();
            reading.next = (!next.is_empty()).then_some(next);
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::TryStreamExt;

    #[tokio::test]
    async fn empty_pages_are_passed_over() {
        let pages = stream(String::new(), |token| async move {
            Ok(match token.as_str() {
                "" => (vec![1, 2], "a".to_owned()),
                "a" => (vec![], "b".to_owned()),
                _ => (vec![3], String::new()),
            })
        });
        assert_eq!(pages.try_collect::<Vec<_>>().await.unwrap(), [1, 2, 3]);
    }

    #[tokio::test]
    async fn a_page_that_names_itself_does_not_go_on_for_ever() {
        let pages = stream(String::new(), |_| async { Ok((vec![1], "a".to_owned())) });
        assert!(pages.try_collect::<Vec<_>>().await.is_err());
    }
}

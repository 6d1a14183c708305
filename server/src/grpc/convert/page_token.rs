//! Page tokens that hold two values: opaque, so that nobody counts on what is inside.

use std::fmt::Display;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::app::AppError;

/// The token that tells where the next page begins.
pub fn page_token(first: impl Display, second: impl Display) -> String {
    URL_SAFE_NO_PAD.encode(format!("{first} {second}"))
}

/// What a token tells; `None` = it is empty: the first page.
///
/// # Errors
/// [`AppError::PageTokenInvalid`].
pub fn read_page_token<A: FromStr, B: FromStr>(token: &str) -> Result<Option<(A, B)>, AppError> {
    if token.is_empty() {
        return Ok(None);
    }
    let decoded = URL_SAFE_NO_PAD.decode(token).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let values = decoded.as_deref().and_then(|text| {
        let (first, second) = text.split_once(' ')?;
        Some((first.parse().ok()?, second.parse().ok()?))
    });
    values.map(Some).ok_or(AppError::PageTokenInvalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_back_and_nothing_else_is() {
        assert_eq!(read_page_token::<i64, u32>(&page_token(-7, 8)).unwrap(), Some((-7, 8)));
        assert_eq!(read_page_token::<i64, u32>("").unwrap(), None);
        for bad in ["x", "!", &page_token(7, -8), &page_token("", 8), &URL_SAFE_NO_PAD.encode("7")] {
            assert!(matches!(read_page_token::<i64, u32>(bad), Err(AppError::PageTokenInvalid)), "{bad}");
        }
    }
}

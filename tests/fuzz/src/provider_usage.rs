//! Providers' own answers: JSON and streams that anybody may send.

use tollgate_domain::extract::{Extraction, StreamExtractor, extract, known_apis};

/// The first byte chooses the API, the second in which pieces a stream arrives.
pub fn run(bytes: &[u8]) {
    let [api, piece, answer @ ..] = bytes else { return };
    let apis: Vec<&str> = known_apis().collect();
    let Some(name) = apis.get(usize::from(*api) % apis.len()) else { return };
    if let Ok(found) = extract(name, answer) {
        holds(&found);
        assert_eq!(extract(name, answer).ok().as_ref(), Some(&found), "the same answer says the same twice");
    }
    let Ok(mut stream) = StreamExtractor::new(name) else { return };
    let piece = usize::from(*piece).max(1);
    for part in answer.chunks(piece) {
        if stream.push(part).is_err() {
            return;
        }
    }
    let in_pieces = stream.finish();
    if let Ok(found) = &in_pieces {
        holds(found);
    }
    let Ok(mut whole) = StreamExtractor::new(name) else { return };
    let at_once = whole.push(answer).and_then(|()| whole.finish());
    assert_eq!(at_once.ok(), in_pieces.ok(), "where a stream is cut must not matter");
}

/// Counts satisfy the rules that callers' own counts have to.
fn holds(found: &Extraction) {
    let usages = std::iter::once(&found.usage).chain(found.additional.iter().map(|part| &part.usage));
    for usage in usages {
        if let Err(violations) = usage.clone().validated("usage") {
            panic!("{violations:?} in {found:?}");
        }
    }
}

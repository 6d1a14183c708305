//! Frames of HTTP/2 (RFC 9113, 4) and lists of headers (RFC 7541), as bytes.

/// What a client says first.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Kinds of frames.
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0;
    pub(crate) const HEADERS: u8 = 1;
    pub(crate) const RST_STREAM: u8 = 3;
    pub(crate) const SETTINGS: u8 = 4;
    pub(crate) const PING: u8 = 6;
    pub(crate) const CONTINUATION: u8 = 9;
}

/// Flags of frames.
pub(crate) mod flag {
    pub(crate) const NONE: u8 = 0;
    pub(crate) const ACK: u8 = 1;
    pub(crate) const END_STREAM: u8 = 1;
    pub(crate) const END_HEADERS: u8 = 4;
}

/// Bytes of a frame before its content.
pub(crate) const HEAD: usize = 9;

/// A frame with this content, of at most 16 KiB.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    claiming(content.len(), kind, flags, stream, content)
}

/// A frame that claims another length than it has.
pub(crate) fn claiming(length: usize, kind: u8, flags: u8, stream: u32, content: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let mut bytes = Vec::with_capacity(HEAD + content.len());
    bytes.extend(length);
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(content);
    bytes
}

/// What a client begins with: preface and empty settings.
pub(crate) fn hello() -> Vec<u8> {
    [PREFACE, &frame(kind::SETTINGS, flag::NONE, 0, &[])].concat()
}

/// A header that the table of the other side does not take up.
pub(crate) fn header(name: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0];
    length(&mut bytes, name.len());
    bytes.extend(name.as_bytes());
    length(&mut bytes, value.len());
    bytes.extend(value);
    bytes
}

/// The same, which the table takes up as its newest entry.
pub(crate) fn remembered_header(name: &str, value: &[u8]) -> Vec<u8> {
    let mut bytes = header(name, value);
    if let Some(first) = bytes.first_mut() {
        *first = 0x40;
    }
    bytes
}

/// The newest entry of the table once more, in one byte.
pub(crate) const NEWEST_ENTRY: u8 = 0x80 | 62;

/// A length in the seven bits of RFC 7541, 5.1.
fn length(bytes: &mut Vec<u8>, length: usize) {
    const FULL: usize = 0x7f;
    if length < FULL {
        bytes.extend(u8::try_from(length));
        return;
    }
    bytes.push(0x7f);
    let mut rest = length - FULL;
    while rest >= 0x80 {
        bytes.extend(u8::try_from(rest % 0x80).map(|low| low | 0x80));
        rest /= 0x80;
    }
    bytes.extend(u8::try_from(rest));
}

/// The headers of a call.
pub(crate) fn call(path: &str, more: &[(&str, &[u8])]) -> Vec<u8> {
    let pseudo = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "localhost")];
    let usual = [("content-type", "application/grpc"), ("te", "trailers")];
    let mut bytes: Vec<u8> = pseudo.iter().flat_map(|(name, value)| header(name, value.as_bytes())).collect();
    let named = |wanted: &str| more.iter().any(|(name, _)| *name == wanted);
    bytes
        .extend(usual.iter().filter(|(name, _)| !named(name)).flat_map(|(name, value)| header(name, value.as_bytes())));
    bytes.extend(more.iter().flat_map(|(name, value)| header(name, value)));
    bytes
}

/// A message as gRPC frames it.
pub(crate) fn message(compressed: bool, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap_or(u32::MAX);
    [&[u8::from(compressed)], length.to_be_bytes().as_slice(), content].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_and_lengths_are_those_of_the_specification() {
        assert_eq!(
            frame(kind::PING, flag::ACK, 0, &[7; 8]),
            [&[0, 0, 8, 6, 1, 0, 0, 0, 0], [7; 8].as_slice()].concat()
        );
        let mut bytes = Vec::new();
        length(&mut bytes, 10);
        length(&mut bytes, 127);
        length(&mut bytes, 1_337 - 31 + 127);
        assert_eq!(bytes, [10, 0x7f, 0, 0x7f, 0x9a, 0x0a]);
    }
}

//! Cuts what a provider sent into its JSON objects, wherever the pieces of the text happen to end.
//!
//! Four forms are understood: one object, objects one after the other, an array of objects, and server-sent events.

use super::error::ExtractError;
use super::{INPUT_LIMIT, NESTING_LIMIT};

/// Takes text piece by piece and hands out whole objects.
#[derive(Debug, Default)]
pub(super) struct Framer {
    form: Form,
    objects: ObjectCutter,
    line: Vec<u8>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Nothing but space was seen.
    #[default]
    Unknown,
    /// Objects, perhaps in an array.
    Json,
    /// Lines of server-sent events, whose data are objects.
    Events,
}

impl Framer {
    /// Takes the next piece; calls `found` for each object that it completes.
    pub(super) fn push(
        &mut self,
        mut bytes: &[u8],
        found: &mut impl FnMut(&str) -> Result<(), ExtractError>,
    ) -> Result<(), ExtractError> {
        if self.form == Form::Unknown {
            let Some(start) = bytes.iter().position(|byte| !is_blank(*byte)) else { return Ok(()) };
            bytes = bytes.get(start..).unwrap_or_default();
            self.form = if bytes.starts_with(b"{") || bytes.starts_with(b"[") { Form::Json } else { Form::Events };
        }
        match self.form {
            Form::Unknown | Form::Json => self.objects.push(bytes, found),
            Form::Events => self.push_lines(bytes, found),
        }
    }

    /// Ends the text. `true` where its last object was cut off: it is dropped, as its sender dropped the call.
    pub(super) fn finish(
        &mut self,
        found: &mut impl FnMut(&str) -> Result<(), ExtractError>,
    ) -> Result<bool, ExtractError> {
        let line = std::mem::take(&mut self.line);
        if !line.is_empty() && (EVENT_FIELDS.iter().any(|field| line.starts_with(field.as_bytes()))) {
            self.take_line(&line, found)?;
        }
        Ok(self.objects.is_within())
    }

    fn push_lines(
        &mut self,
        bytes: &[u8],
        found: &mut impl FnMut(&str) -> Result<(), ExtractError>,
    ) -> Result<(), ExtractError> {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            if self.line.len() + piece.len() > INPUT_LIMIT {
                return Err(ExtractError::TooLarge { limit: INPUT_LIMIT });
            }
            self.line.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                let line = std::mem::take(&mut self.line);
                self.take_line(&line, found)?;
            }
        }
        Ok(())
    }

    fn take_line(
        &mut self,
        line: &[u8],
        found: &mut impl FnMut(&str) -> Result<(), ExtractError>,
    ) -> Result<(), ExtractError> {
        let line = line.trim_ascii_end();
        if let Some(data) = line.strip_prefix(b"data:") {
            let data = data.trim_ascii_start();
            // `[DONE]` and other words between the events carry no usage.
            if !self.objects.is_within() && !data.starts_with(b"{") {
                return Ok(());
            }
            self.objects.push(data, found)?;
            return self.objects.push(b"\n", found);
        }
        let known = line.is_empty() || EVENT_FIELDS.iter().any(|field| line.starts_with(field.as_bytes()));
        if known { Ok(()) } else { Err(ExtractError::NotJson) }
    }
}

/// How a line of server-sent events begins; a colon alone begins a comment.
const EVENT_FIELDS: [&str; 5] = ["data:", "event:", "id:", "retry:", ":"];

/// Finds the end of each object by its brackets, without looking into it otherwise.
#[derive(Debug, Default)]
struct ObjectCutter {
    object: Vec<u8>,
    depth: usize,
    in_text: bool,
    escaped: bool,
    array: ArrayState,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum ArrayState {
    /// Nothing was seen yet.
    #[default]
    Possible,
    /// The objects are not in an array.
    None,
    /// Within the array.
    Open,
    /// Behind the array.
    Closed,
}

impl ObjectCutter {
    fn is_within(&self) -> bool {
        self.depth > 0
    }

    fn push(
        &mut self,
        bytes: &[u8],
        found: &mut impl FnMut(&str) -> Result<(), ExtractError>,
    ) -> Result<(), ExtractError> {
        let mut rest = bytes;
        while let Some(&first) = rest.first() {
            if self.depth == 0 {
                self.take_between(first)?;
                if self.depth == 0 {
                    rest = rest.get(1..).unwrap_or_default();
                    continue;
                }
            }
            let taken = self.scan(rest)?;
            let (object, after) = rest.split_at_checked(taken).unwrap_or((rest, &[]));
            if self.object.len() + object.len() > INPUT_LIMIT {
                return Err(ExtractError::TooLarge { limit: INPUT_LIMIT });
            }
            self.object.extend_from_slice(object);
            rest = after;
            if self.depth == 0 {
                let object = std::mem::take(&mut self.object);
                found(std::str::from_utf8(&object).map_err(|_| ExtractError::NotText)?)?;
            }
        }
        Ok(())
    }

    /// Takes a byte between the objects; where one begins, `depth` is 1 and the byte still to be scanned.
    fn take_between(&mut self, byte: u8) -> Result<(), ExtractError> {
        match (byte, self.array) {
            (b'{', ArrayState::Possible | ArrayState::None) => self.array = ArrayState::None,
            (b'{', ArrayState::Open) => {}
            (b'[', ArrayState::Possible) => {
                self.array = ArrayState::Open;
                return Ok(());
            }
            (b']', ArrayState::Open) => {
                self.array = ArrayState::Closed;
                return Ok(());
            }
            (b',', ArrayState::Open) => return Ok(()),
            _ if is_blank(byte) => return Ok(()),
            _ => return Err(ExtractError::NotJson),
        }
        // The bracket itself is scanned as the first byte of the object.
        self.depth = 1;
        Ok(())
    }

    /// How many bytes of `bytes` belong to the object that began; `depth` is 0 where it ends there.
    fn scan(&mut self, bytes: &[u8]) -> Result<usize, ExtractError> {
        for (position, byte) in bytes.iter().enumerate() {
            if self.in_text {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_text = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_text = true,
                // The first bracket was counted when the object began.
                b'{' if self.object.is_empty() && position == 0 => {}
                b'{' | b'[' => {
                    self.depth += 1;
                    if self.depth > NESTING_LIMIT {
                        return Err(ExtractError::TooDeep { limit: NESTING_LIMIT });
                    }
                }
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return Ok(position + 1);
                    }
                }
                _ => {}
            }
        }
        Ok(bytes.len())
    }
}

/// Space between objects, and the byte order mark that some systems put in front.
fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, 0xEF | 0xBB | 0xBF)
}

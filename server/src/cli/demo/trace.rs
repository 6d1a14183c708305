//! LLM traces: when calls were made, and how many tokens they had.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::civil::DateTime;
use thiserror::Error;

/// The trace that ships with the binary; `server/demo/README.md` credits it.
const SAMPLE: &str = include_str!("../../../demo/azure_llm_2023_conv_sample.csv");
/// The first line of a trace.
const HEADER: &str = "TIMESTAMP,ContextTokens,GeneratedTokens";

/// One call of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TracedCall {
    /// How long after the first call it was made.
    pub(super) offset: Duration,
    /// Tokens of its prompt.
    pub(super) input_tokens: u64,
    /// Tokens of its answer.
    pub(super) output_tokens: u64,
}

/// Why a trace cannot be replayed.
#[derive(Debug, Error)]
pub enum TraceError {
    /// The file cannot be read.
    #[error("the trace {} cannot be read", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// It is a file of another kind.
    #[error("the trace must begin with the line `{HEADER}`")]
    Header,
    /// A line is broken.
    #[error("line {line} of the trace must be {rule}")]
    Line {
        /// Which, counted from 1.
        line: usize,
        /// What it must be.
        rule: &'static str,
    },
    /// There is nothing to replay.
    #[error("the trace has no calls")]
    Empty,
}

/// The shipped sample.
///
/// # Errors
/// [`TraceError`], where the binary was built from a broken one.
pub(super) fn sample() -> Result<Vec<TracedCall>, TraceError> {
    parse(SAMPLE)
}

/// The trace in a file.
///
/// # Errors
/// [`TraceError`] that names the line.
pub(super) fn read(path: &Path) -> Result<Vec<TracedCall>, TraceError> {
    let text =
        std::fs::read_to_string(path).map_err(|source| TraceError::Unreadable { path: path.to_owned(), source })?;
    parse(&text)
}

fn parse(text: &str) -> Result<Vec<TracedCall>, TraceError> {
    let mut lines = (1..).zip(text.lines());
    if lines.next().is_none_or(|(_, line)| line.trim_end() != HEADER) {
        return Err(TraceError::Header);
    }
    let mut first = None;
    let mut calls: Vec<TracedCall> = Vec::new();
    for (line, content) in lines.filter(|(_, content)| !content.trim().is_empty()) {
        let rule = "a time such as 2023-11-16 18:15:46.68 and two token counts, separated by commas";
        let (at, input_tokens, output_tokens) = fields(content).ok_or(TraceError::Line { line, rule })?;
        let begin = *first.get_or_insert(at);
        let offset = Duration::try_from(at.duration_since(begin)).ok();
        let offset = offset.filter(|offset| calls.last().is_none_or(|last| last.offset <= *offset));
        let offset = offset.ok_or(TraceError::Line { line, rule: "no earlier than the line before" })?;
        calls.push(TracedCall { offset, input_tokens, output_tokens });
    }
    if calls.is_empty() { Err(TraceError::Empty) } else { Ok(calls) }
}

fn fields(line: &str) -> Option<(DateTime, u64, u64)> {
    let mut fields = line.split(',').map(str::trim);
    let call = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    fields.next().is_none().then_some(call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_a_thousand_real_calls() {
        let calls = sample().unwrap();
        assert_eq!(calls.len(), 1_000);
        assert_eq!(calls[0], TracedCall { offset: Duration::ZERO, input_tokens: 374, output_tokens: 44 });
        assert_eq!(calls[1].offset, Duration::from_nanos(4_314_579_000));
        assert_eq!(calls[999].input_tokens, 309);
    }

    #[test]
    fn a_broken_line_is_named() {
        let error = |lines: &str| parse(lines).unwrap_err().to_string();
        assert!(error("TIME\n").contains(HEADER));
        assert!(error(&format!("{HEADER}\n")).contains("no calls"));
        assert!(error(&format!("{HEADER}\n2023-11-16 18:15:46.6805900,374\n")).starts_with("line 2 of"));
        assert!(error(&format!("{HEADER}\n2023-11-16 18:15:46,-1,2\n")).starts_with("line 2 of"));
        let backwards = format!("{HEADER}\r\n2023-11-16 18:15:46,1,2\r\n2023-11-16 18:15:45,1,2\r\n");
        assert!(error(&backwards).starts_with("line 3 of the trace must be no earlier"));
    }
}

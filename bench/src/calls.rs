//! How many tokens real calls have: rows of `data/calls.csv`, whose `README.md` credits the traces they come from.

use anyhow::Context as _;

const CALLS: &str = include_str!("../data/calls.csv");

/// Tokens of one call of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TracedCall {
    /// All input tokens.
    pub(crate) input: i64,
    /// All output tokens.
    pub(crate) output: i64,
    /// Of the input, how many came from the prompt cache.
    pub(crate) cache_read: i64,
}

/// All of them.
pub(crate) fn traced() -> anyhow::Result<Vec<TracedCall>> {
    CALLS.lines().skip(1).map(parse).collect()
}

fn parse(line: &str) -> anyhow::Result<TracedCall> {
    let mut fields = line.split(',').map(str::parse::<i64>);
    let mut next = || fields.next().context("a call of the trace lacks a figure");
    Ok(TracedCall { input: next()??, output: next()??, cache_read: next()?? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_possible() {
        let calls = traced().unwrap();
        assert_eq!(calls.len(), 500);
        assert_eq!(calls[0], TracedCall { input: 10, output: 103, cache_read: 0 });
        assert!(calls.iter().all(|call| call.input > 0 && call.output > 0 && call.cache_read <= call.input));
        assert!(calls.iter().any(|call| call.cache_read > 0));
    }
}

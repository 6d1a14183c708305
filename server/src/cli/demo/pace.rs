//! How fast a trace is replayed.

use std::num::NonZeroU32;
use std::str::FromStr;
use std::time::Duration;

/// How fast a trace is replayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// So many times as fast as it was recorded, its spacing kept.
    Times(NonZeroU32),
    /// One call after the other, as fast as they are answered.
    Max,
}

impl FromStr for Pace {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "max" {
            return Ok(Self::Max);
        }
        text.parse().map(Self::Times).map_err(|_| "must be a whole number from 1 on, or `max`".to_owned())
    }
}

impl std::fmt::Display for Pace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Times(times) => write!(formatter, "{times} times as fast as recorded"),
            Self::Max => formatter.write_str("as fast as possible"),
        }
    }
}

impl Pace {
    /// A span of the trace as long as it takes in the replay.
    pub(super) fn scaled(self, span: Duration) -> Duration {
        match self {
            Self::Times(times) => span / times.get(),
            Self::Max => Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_is_a_number_or_max() {
        let pace: Pace = "8".parse().unwrap();
        assert_eq!(pace.scaled(Duration::from_secs(4)), Duration::from_millis(500));
        assert_eq!("max".parse::<Pace>().unwrap().scaled(Duration::from_secs(4)), Duration::ZERO);
        for wrong in ["0", "-1", "1.5", "fast", ""] {
            assert!(wrong.parse::<Pace>().is_err(), "{wrong}");
        }
    }
}

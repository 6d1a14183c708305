//! What is summed up over events: the one list of measures behind session totals, rollups and summaries.

use jiff::Timestamp;

use crate::amount::{AmountError, Usd};
use crate::event::{Accounting, UsageEvent};
use crate::price::{Cost, LineKind, PriceState};
use crate::tokens::{TokenClass, UsageQuality};

/// A class of cost: plain text of each side, every token class, and all other units together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CostClass {
    /// Plain, uncached text input.
    TextIn,
    /// Plain text output.
    TextOut,
    /// A token class.
    Class(TokenClass),
    /// Units other than tokens.
    Units,
}

impl CostClass {
    /// How many classes there are.
    pub const COUNT: usize = TokenClass::ALL.len() + 3;

    /// Every class, in a fixed order.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::TextIn, Self::TextOut]
            .into_iter()
            .chain(TokenClass::ALL.into_iter().map(Self::Class))
            .chain([Self::Units])
    }

    /// Its place in [`Self::all`].
    pub const fn index(self) -> usize {
        match self {
            Self::TextIn => 0,
            Self::TextOut => 1,
            Self::Class(class) => 2 + class.index(),
            Self::Units => Self::COUNT - 1,
        }
    }

    /// Its name in summaries.
    pub fn name(self) -> &'static str {
        match self {
            Self::TextIn => "input",
            Self::TextOut => "output",
            Self::Class(class) => class.name(),
            Self::Units => "units",
        }
    }

    fn of(line: &LineKind) -> Self {
        match line {
            LineKind::InputText => Self::TextIn,
            LineKind::OutputText => Self::TextOut,
            LineKind::Class { class, .. } => Self::Class(*class),
            LineKind::Unit(_) => Self::Units,
        }
    }
}

/// What one event was charged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charge {
    /// The cost as priced.
    pub cost: Cost,
    /// What is charged: the cost, or nothing for a response-cache hit.
    pub usd: Usd,
    /// What a response-cache hit saved; absent where it was none.
    pub saved_usd: Option<Usd>,
}

impl Charge {
    /// The charge of `event` at `cost` (contract, decision 16: a response-cache hit is charged nothing).
    pub fn of(event: &UsageEvent, cost: Cost) -> Self {
        let saved_usd = event.response_cache_hit.then_some(cost.usd);
        let usd = if event.response_cache_hit { Usd::ZERO } else { cost.usd };
        Self { cost, usd, saved_usd }
    }
}

/// Sums over events. Absent parts were never reported, which is not zero (invariant 8).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Measures {
    /// Calls: events that are a first attempt.
    pub calls: i64,
    /// Attempts: events.
    pub attempts: i64,
    /// Attempts that failed.
    pub errors: i64,
    /// Attempts that no price, or only part of one, was known for.
    pub unpriced: i64,
    /// Of them, those of which part had a price.
    pub partial: i64,
    /// Attempts whose price was zero.
    pub free: i64,
    /// Attempts whose counts are estimates.
    pub estimated: i64,
    /// Attempts that a response cache answered.
    pub response_cache_hits: i64,
    /// Input tokens, all classes.
    pub input_tokens: i64,
    /// Output tokens, all classes.
    pub output_tokens: i64,
    /// Tokens by class, by [`TokenClass::index`].
    pub class_tokens: [Option<i64>; TokenClass::ALL.len()],
    /// Charged.
    pub usd: Usd,
    /// Priced, but shown only: memo accounting.
    pub memo_usd: Usd,
    /// Saved by response caches.
    pub saved_usd: Option<Usd>,
    /// Reported by providers in US dollars.
    pub reported_usd: Option<Usd>,
    /// Our charge for the same attempts that a provider reported a cost for.
    pub reported_own_usd: Option<Usd>,
    /// Charged, by [`CostClass::index`].
    pub class_usd: [Option<Usd>; CostClass::COUNT],
    /// Earliest start.
    pub first_time: Option<Timestamp>,
    /// Latest start.
    pub last_time: Option<Timestamp>,
}

/// Adds what was reported; what was not changes nothing.
#[inline]
fn add_reported<T: Copy>(
    sum: &mut Option<T>,
    addend: Option<T>,
    plus: impl FnOnce(T, T) -> Result<T, AmountError>,
) -> Result<(), AmountError> {
    if let Some(addend) = addend {
        *sum = Some(match *sum {
            Some(sum) => plus(sum, addend)?,
            None => addend,
        });
    }
    Ok(())
}

fn count(left: i64, right: i64) -> Result<i64, AmountError> {
    left.checked_add(right).ok_or(AmountError::TooLarge)
}

fn tokens(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Measures {
    /// The measures of one event. A response-cache hit used no token at the provider.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`] where the cost of a class cannot be held.
    pub fn of(event: &UsageEvent, charge: &Charge) -> Result<Self, AmountError> {
        let used = event.usage.as_ref().filter(|_| !event.response_cache_hit);
        let memo = event.accounting == Accounting::Memo;
        let incomplete = matches!(charge.cost.state, PriceState::Unpriced | PriceState::Partial);
        let estimated = event
            .usage
            .as_ref()
            .is_some_and(|usage| matches!(usage.quality, UsageQuality::Estimated | UsageQuality::Unknown));
        let reported = event.reported_usd();
        let mut class_usd = [None; CostClass::COUNT];
        if !memo && !event.response_cache_hit {
            for line in &charge.cost.lines {
                if let Some(sum) = class_usd.get_mut(CostClass::of(&line.line).index()) {
                    add_reported(sum, Some(line.usd), Usd::plus)?;
                }
            }
        }
        Ok(Self {
            calls: i64::from(event.calls()),
            attempts: 1,
            errors: i64::from(event.outcome.is_error()),
            unpriced: i64::from(incomplete),
            partial: i64::from(charge.cost.state == PriceState::Partial),
            free: i64::from(charge.cost.state == PriceState::Free),
            estimated: i64::from(estimated),
            response_cache_hits: i64::from(event.response_cache_hit),
            input_tokens: used.and_then(|usage| usage.total_input).map_or(0, tokens),
            output_tokens: used.and_then(|usage| usage.total_output).map_or(0, tokens),
            class_tokens: TokenClass::ALL.map(|class| used.and_then(|usage| usage.class_tokens(class)).map(tokens)),
            usd: if memo { Usd::ZERO } else { charge.usd },
            memo_usd: if memo { charge.usd } else { Usd::ZERO },
            saved_usd: charge.saved_usd,
            reported_usd: reported,
            reported_own_usd: reported.map(|_| charge.usd),
            class_usd,
            first_time: Some(event.start_time),
            last_time: Some(event.start_time),
        })
    }

    /// Adds `other`, exactly.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`] where a sum cannot be held.
    pub fn add(&mut self, other: &Self) -> Result<(), AmountError> {
        self.calls = count(self.calls, other.calls)?;
        self.attempts = count(self.attempts, other.attempts)?;
        self.errors = count(self.errors, other.errors)?;
        self.unpriced = count(self.unpriced, other.unpriced)?;
        self.partial = count(self.partial, other.partial)?;
        self.free = count(self.free, other.free)?;
        self.estimated = count(self.estimated, other.estimated)?;
        self.response_cache_hits = count(self.response_cache_hits, other.response_cache_hits)?;
        self.input_tokens = count(self.input_tokens, other.input_tokens)?;
        self.output_tokens = count(self.output_tokens, other.output_tokens)?;
        // Most classes were reported by neither: what is absent is stepped over without being moved.
        for (sum, addend) in self.class_tokens.iter_mut().zip(&other.class_tokens) {
            add_reported(sum, *addend, count)?;
        }
        self.usd = self.usd.plus(other.usd)?;
        self.memo_usd = self.memo_usd.plus(other.memo_usd)?;
        add_reported(&mut self.saved_usd, other.saved_usd, Usd::plus)?;
        add_reported(&mut self.reported_usd, other.reported_usd, Usd::plus)?;
        add_reported(&mut self.reported_own_usd, other.reported_own_usd, Usd::plus)?;
        for (sum, addend) in self.class_usd.iter_mut().zip(&other.class_usd) {
            add_reported(sum, *addend, Usd::plus)?;
        }
        self.first_time = self.first_time.into_iter().chain(other.first_time).min();
        self.last_time = self.last_time.max(other.last_time);
        Ok(())
    }

    /// The same sums with their signs turned around: what takes these back. The times stay, as a sum of times is a span.
    ///
    /// # Errors
    /// [`AmountError::TooLarge`], which no sum of amounts reaches.
    pub fn negated(&self) -> Result<Self, AmountError> {
        let money = |usd: Usd| Usd::ZERO.minus(usd);
        let some_money = |usd: Option<Usd>| usd.map(money).transpose();
        let mut class_usd = self.class_usd;
        for usd in class_usd.iter_mut().flatten() {
            *usd = money(*usd)?;
        }
        Ok(Self {
            calls: -self.calls,
            attempts: -self.attempts,
            errors: -self.errors,
            unpriced: -self.unpriced,
            partial: -self.partial,
            free: -self.free,
            estimated: -self.estimated,
            response_cache_hits: -self.response_cache_hits,
            input_tokens: -self.input_tokens,
            output_tokens: -self.output_tokens,
            class_tokens: self.class_tokens.map(|tokens| tokens.map(|tokens| -tokens)),
            usd: money(self.usd)?,
            memo_usd: money(self.memo_usd)?,
            saved_usd: some_money(self.saved_usd)?,
            reported_usd: some_money(self.reported_usd)?,
            reported_own_usd: some_money(self.reported_own_usd)?,
            class_usd,
            first_time: self.first_time,
            last_time: self.last_time,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_follow_the_order_of_all() {
        for (position, class) in CostClass::all().enumerate() {
            assert_eq!(class.index(), position);
        }
        assert_eq!(CostClass::all().count(), CostClass::COUNT);
    }

    #[test]
    fn what_is_taken_back_leaves_nothing_but_the_times() {
        let event = Measures {
            calls: 1,
            attempts: 1,
            input_tokens: 7,
            usd: "0.5".parse().unwrap(),
            saved_usd: Some("0.25".parse().unwrap()),
            first_time: Some(Timestamp::UNIX_EPOCH),
            last_time: Some(Timestamp::UNIX_EPOCH),
            ..Measures::default()
        };
        let mut sum = event.clone();
        sum.add(&event.negated().unwrap()).unwrap();
        let times = Measures {
            saved_usd: Some(Usd::ZERO),
            first_time: event.first_time,
            last_time: event.last_time,
            ..Measures::default()
        };
        assert_eq!(sum, times);
    }

    #[test]
    fn invariant_8_absent_stays_absent_when_summed() {
        let mut sum = Measures::default();
        sum.add(&Measures { saved_usd: Some(Usd::ZERO), ..Measures::default() }).unwrap();
        sum.add(&Measures::default()).unwrap();
        assert_eq!(sum.saved_usd, Some(Usd::ZERO));
        assert_eq!(sum.reported_usd, None);
    }
}

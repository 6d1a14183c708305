//! What every call passes through, each part alone and without I/O: its routines are timed by the benchmark `routines` and
//! counted in instructions by `tollgate-instructions`, whose figures the pipeline compares.

mod admission;
mod aggregation;
mod pricing;
mod sample;
mod wire;

/// One part of the work of a call, over input that is made once.
pub struct Routine(Box<dyn Fn()>);

impl Routine {
    /// Does `work`, whose result nobody may foresee: pass it through [`std::hint::black_box`].
    fn new(work: impl Fn() + 'static) -> Self {
        Self(Box::new(work))
    }

    /// Does it once, for what only the first time needs: caches, tables that grow.
    pub fn warm_up(&self) {
        (self.0)();
    }

    /// Does it once. A function of its own in the program, by whose name instructions are counted.
    #[inline(never)]
    pub fn run(&self) {
        (self.0)();
    }
}

impl std::fmt::Debug for Routine {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Routine")
    }
}

/// Makes the input of a routine. Only that of the one that is measured is made.
type Make = fn() -> anyhow::Result<Routine>;

const ROUTINES: [(&str, Make); 10] = [
    ("find_10_prices", pricing::lookups),
    ("price_call", pricing::call),
    ("measures_of_event", aggregation::of_event),
    ("aggregate_500_events", aggregation::of_batch),
    ("encode_40_sums", aggregation::of_rows),
    ("decode_event", wire::decode),
    ("decode_and_convert_event", wire::decode_and_convert),
    ("fingerprint", wire::fingerprint),
    ("worst_case", admission::worst_case),
    ("decide_3_budgets", admission::decide_call),
];

/// The names of all routines.
pub fn names() -> impl Iterator<Item = &'static str> {
    ROUTINES.iter().map(|(name, _)| *name)
}

/// Makes the routine of this name.
///
/// # Errors
/// If there is none, or its input cannot be made.
pub fn routine(name: &str) -> anyhow::Result<Routine> {
    let Some((_, make)) = ROUTINES.iter().find(|(known, _)| *known == name) else {
        anyhow::bail!("no routine is named `{name}`: name one of {}", names().collect::<Vec<_>>().join(", "));
    };
    make()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_routine_can_be_made_and_run() {
        for name in names() {
            routine(name).unwrap().run();
        }
        assert!(routine("none").unwrap_err().to_string().contains("find_10_prices"));
    }
}

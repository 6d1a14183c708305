//! Random programs against a real server and against the sequential model of `tollgate_domain::budget::model`: the same
//! answers, the same counters, the same reservations.
//!
//! One after the other, every answer must equal the model's. At once, through two replicas, the answers must be those of some
//! order of the calls: all orders of a small burst are tried.
//!
//! `TOLLGATE_MODEL_CASES` runs more programs of each kind than usual, `TOLLGATE_MODEL_SEED` the one that a failure named. A
//! failing program is made shorter before it is shown, unless `TOLLGATE_MODEL_SHRINK` is 0.

mod directed;
mod generate;
mod run;
mod wire;
mod world;

use std::env;

use generate::{Kind, Program};
use run::run;

/// Programs of each kind in a usual run.
const CASES: u64 = 6;
/// Most programs that are tried to make a failing one shorter.
const SHORTENINGS: usize = 60;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap())
}

/// Seeds of this run: the same every time, so that a failure is one of the code and not of the day.
fn seeds() -> Vec<u64> {
    match number("TOLLGATE_MODEL_SEED") {
        Some(seed) => vec![seed],
        None => (1..=number("TOLLGATE_MODEL_CASES").unwrap_or(CASES)).collect(),
    }
}

async fn programs_agree(kind: Kind) {
    for seed in seeds() {
        let program = Program::generate(kind, seed);
        let Err(difference) = run(&program).await else { continue };
        let (program, difference) = shortened(program, difference).await;
        panic!("TOLLGATE_MODEL_SEED={seed} {kind:?}: {difference}\nafter\n{program}");
    }
}

/// Drops one step after the other as long as what is left still fails.
async fn shortened(mut program: Program, mut difference: String) -> (Program, String) {
    let mut left = if number("TOLLGATE_MODEL_SHRINK") == Some(0) { 0 } else { SHORTENINGS };
    let mut place = program.len();
    while place > 0 && left > 0 {
        place -= 1;
        let shorter = program.without(place);
        // At once, a failure does not come every time.
        let tries = if program.kind == Kind::AtOnce { 2 } else { 1 };
        for _ in 0..tries {
            left = left.saturating_sub(1);
            if let Err(found) = run(&shorter).await {
                program = shorter;
                difference = found;
                break;
            }
        }
    }
    (program, difference)
}

#[tokio::test]
async fn one_after_the_other_every_answer_is_the_models() {
    programs_agree(Kind::InTurn).await;
}

#[tokio::test]
async fn at_once_through_two_replicas_the_answers_are_those_of_some_order() {
    programs_agree(Kind::AtOnce).await;
}

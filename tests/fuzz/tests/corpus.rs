//! The corpus that fuzzers found, the seeds, and some thousand changes of both, again.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test says what it expects by failing")]

use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tollgate_fuzz::{TARGETS, seeds};

/// Changed inputs of each target; a fuzzer does millions.
const CHANGED: usize = 20_000;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("libfuzzer/corpus").join(target);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{} is empty", folder.display());
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// A few bytes changed, dropped, repeated, or taken from another input.
fn changed(random: &mut StdRng, inputs: &[Vec<u8>]) -> Vec<u8> {
    let mut input = inputs.choose(random).unwrap().clone();
    for _ in 0..random.random_range(1..6) {
        let at = random.random_range(0..=input.len());
        let end = random.random_range(at..=input.len()).min(at + 16);
        match random.random_range(0..4) {
            0 => drop(input.splice(at..end, [random.random::<u8>()])),
            1 => drop(input.drain(at..end)),
            2 => {
                let again = input[at..end].to_vec();
                input.splice(at..at, again);
            }
            _ => {
                let other = inputs.choose(random).unwrap();
                let from = random.random_range(0..=other.len());
                let to = random.random_range(from..=other.len()).min(from + 64);
                input.splice(at..end, other[from..to].to_vec());
            }
        }
    }
    input
}

#[test]
fn nothing_that_fuzzers_found_breaks_a_property() {
    for (name, target) in TARGETS {
        let mut inputs = seeds::of(name);
        inputs.extend(corpus(name));
        inputs.iter().for_each(|input| target(input));
        let mut random = StdRng::seed_from_u64(1);
        for _ in 0..CHANGED {
            target(&changed(&mut random, &inputs));
        }
    }
}

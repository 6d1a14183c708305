//! Times every routine: `cargo bench -p tollgate-micro`.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot begin has nothing to say")]

fn main() {
    divan::main();
}

#[divan::bench(args = tollgate_micro::names())]
fn routine(bencher: divan::Bencher<'_, '_>, name: &str) {
    let routine = tollgate_micro::routine(name).unwrap();
    bencher.bench_local(|| routine.run());
}

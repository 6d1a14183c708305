//! Runs one routine a fixed number of times, for a program that counts the instructions of `Routine::run`.

use std::io::Write as _;

use anyhow::{Context as _, bail};

const USAGE: &str = "\
usage: tollgate-instructions                 name every routine
       tollgate-instructions ROUTINE TIMES   run this one so many times";

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.as_slice() {
        [] => tollgate_micro::names().try_for_each(|name| Ok(writeln!(std::io::stdout(), "{name}")?)),
        [name, times] => {
            let times: u64 = times.parse().with_context(|| format!("{times} is not a number of times"))?;
            let routine = tollgate_micro::routine(name)?;
            routine.warm_up();
            (0..times).for_each(|_| routine.run());
            Ok(())
        }
        _ => bail!("{USAGE}"),
    }
}

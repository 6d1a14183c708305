//! Chores of the repository, run with `cargo xtask <chore>`.

mod api_docs;
mod cargo;
mod codegen;
mod folder;
mod instructions;
mod migrations;
mod postgres;
mod sbom;
mod seeded;
mod sqlx;
mod tidy;
mod upgrade;

use std::{env, io::Write as _, process::ExitCode};

use anyhow::bail;

const USAGE: &str = "\
usage: cargo xtask <chore>

chores:
  api-docs           write docs/api.md, the reference of the API, out of the comments of the proto files
  api-docs --check   change nothing; fail if docs/api.md is not what api-docs would write
  codegen            compile proto/tollgate/v1/*.proto into proto/src/generated
  codegen --check    change nothing; fail if proto/src/generated is not what codegen would write
  sqlx               ask a database about server/sql after migrations/ and write its answers into .sqlx; the database
                     is made on the server of DATABASE_URL, or on a private one that is thrown away
  sqlx --check       change nothing; fail if .sqlx is not what the database answers
  instructions       count the instructions of the inner loops (bench/micro) under Valgrind and write bench/instructions.json
  instructions --check
                     change nothing; fail if a loop needs a tenth more than bench/instructions.json says
  migrations --check fail if a released migration was edited, or a new one would break the release before it or stop its calls
  migrations --release
                     write the checksums of all migrations into migrations/released.sha256: none of them changes any more
  sbom               write target/tollgate.cdx.json, the bill of materials of the binary (CycloneDX); part of a release
  seeded-bugs [NAME..]
                     break a copy of the sources on purpose, one patch of tests/seeded_bugs after the other, and fail if a
                     test that the patch names does not fail; part of a name is enough, all of them take half an hour or more
  seeded-bugs --check
                     change nothing; fail if a patch of tests/seeded_bugs does not apply
  upgrade --from REVISION [OPTION..]
                     build the server of a revision, and exchange its replicas for the present ones and back, under load;
                     options go to the scenario `upgrade` of tests/faults
  tidy               fail if a rule of the repository that no compiler checks is broken
";

fn main() -> ExitCode {
    let Err(error) = run() else {
        return ExitCode::SUCCESS;
    };
    // A closed standard error leaves nobody to tell. The chain alone: a backtrace says nothing about a forgotten chore.
    let _ = writeln!(std::io::stderr(), "error: {error:#}");
    ExitCode::FAILURE
}

fn run() -> anyhow::Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["api-docs"] => api_docs::write(),
        ["api-docs", "--check"] => api_docs::check(),
        ["codegen"] => codegen::write(),
        ["codegen", "--check"] => codegen::check(),
        ["sqlx"] => sqlx::write(),
        ["sqlx", "--check"] => sqlx::check(),
        ["instructions"] => instructions::write(),
        ["instructions", "--check"] => instructions::check(),
        ["migrations", "--check"] => migrations::check(),
        ["migrations", "--release"] => migrations::release(),
        ["sbom"] => sbom::write(),
        ["seeded-bugs", "--check"] => seeded::check_patches(),
        ["seeded-bugs", names @ ..] => seeded::check(names),
        ["upgrade", "--from", revision, arguments @ ..] => upgrade::run(revision, arguments),
        ["tidy"] => tidy::check(),
        ["help" | "--help" | "-h"] => Ok(write!(std::io::stdout(), "{USAGE}")?),
        [] => bail!("name a chore\n\n{USAGE}"),
        unknown => bail!("unknown chore `{}`\n\n{USAGE}", unknown.join(" ")),
    }
}

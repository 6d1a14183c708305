//! `tollgate erase`: a person's right to be forgotten, with its progress.

use std::io::Write;
use std::time::Duration;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;
use tollgate_client::Client;
use tollgate_proto::v1;
use tollgate_proto::v1::erase_subject_request::Subject;

use super::prices::source::ServerArguments;

/// Between two questions how far it has come.
const PAUSE: Duration = Duration::from_millis(500);

/// Options of `tollgate erase`.
#[derive(Debug, Args)]
pub struct EraseArguments {
    #[command(flatten)]
    subject: SubjectArguments,
    /// Why, for the record; it should not name the person
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Only say how many events are concerned
    #[arg(long)]
    dry_run: bool,
    /// Do not wait until everything is erased
    #[arg(long)]
    no_wait: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    server: ServerArguments,
}

/// Whom.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
struct SubjectArguments {
    /// This user
    #[arg(long, value_name = "ID")]
    user: Option<String>,
    /// This customer of the caller
    #[arg(long, value_name = "ID")]
    customer: Option<String>,
}

impl SubjectArguments {
    fn wire(&self) -> Subject {
        match (&self.user, &self.customer) {
            (Some(user), _) => Subject::UserId(user.clone()),
            (None, customer) => Subject::CustomerId(customer.clone().unwrap_or_default()),
        }
    }
}

/// Runs the command.
///
/// # Errors
/// What kept it from being done.
pub async fn run(arguments: &EraseArguments, output: &mut impl Write) -> anyhow::Result<()> {
    let client = arguments.server.required_for("people are erased on a server")?;
    let subject = arguments.subject.wire();
    let erasure = match arguments.dry_run {
        true => client.preview_erasure(subject).await?,
        false => {
            let begun = client.erase_subject(subject, arguments.reason.clone()).await?;
            if arguments.no_wait { begun } else { wait(&client, begun).await? }
        }
    };
    write(output, &erasure, arguments)
}

/// Waits until everything is erased, and tells how far it is on a terminal.
async fn wait(client: &Client, mut erasure: v1::Erasure) -> anyhow::Result<v1::Erasure> {
    let style = ProgressStyle::with_template("{spinner} {pos} events erased so far, {elapsed}")?;
    let bar = ProgressBar::new_spinner().with_style(style);
    while erasure.state() == v1::erasure::State::Running {
        bar.set_position(u64::try_from(erasure.events_erased).unwrap_or_default());
        tokio::time::sleep(PAUSE).await;
        erasure = client.get_erasure(erasure.erasure_id).await?;
    }
    bar.finish_and_clear();
    Ok(erasure)
}

fn write(output: &mut impl Write, erasure: &v1::Erasure, arguments: &EraseArguments) -> anyhow::Result<()> {
    if arguments.json {
        let state = (!arguments.dry_run).then(|| erasure.state().as_str_name());
        let id = (!arguments.dry_run).then_some(&erasure.erasure_id);
        let shown = json!({
            "erasureId": id, "state": state, "events": erasure.events, "eventsErased": erasure.events_erased,
        });
        serde_json::to_writer_pretty(&mut *output, &shown)?;
        writeln!(output)?;
        return Ok(());
    }
    if arguments.dry_run {
        writeln!(output, "{} events are concerned; nothing was erased", erasure.events)?;
    } else if erasure.state() == v1::erasure::State::Done {
        writeln!(output, "erased: {} events were concerned (erasure {})", erasure.events, erasure.erasure_id)?;
    } else {
        writeln!(output, "the name is replaced, and the rest is being erased (erasure {})", erasure.erasure_id)?;
    }
    Ok(())
}

//! `tollgate serve`.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::boot::{self, Database};
use crate::config::{Config, comma_separated};
use crate::telemetry;
use crate::transport::{keep_pages_small, raise_open_files};

/// Runs the server.
#[derive(Debug, Args)]
pub struct ServeArguments {
    /// Print the configuration in force, secrets hidden, and exit.
    #[arg(long)]
    pub print_config: bool,
    /// Price catalog to use instead of the built-in one, as `prices.catalog_file`
    #[arg(long, value_name = "FILE")]
    pub catalog: Option<PathBuf>,
    /// Providers whose models are free, joined by commas, as `prices.free_providers`; an empty text for none
    #[arg(long, value_name = "NAMES")]
    pub free_providers: Option<String>,
}

impl ServeArguments {
    /// The configuration with what the command line says over it.
    fn over(&self, config: &Config) -> Config {
        let mut config = config.clone();
        if let Some(file) = &self.catalog {
            config.prices.catalog_file = Some(file.clone());
        }
        if let Some(names) = &self.free_providers {
            config.prices.free_providers = comma_separated(names);
        }
        config
    }
}

/// Runs until SIGTERM or SIGINT, then drains.
///
/// # Errors
/// What keeps it from starting.
pub async fn run(arguments: &ServeArguments, config: &Config, output: &mut impl Write) -> anyhow::Result<()> {
    let config = &arguments.over(config);
    if arguments.print_config {
        output.write_all(config.printable().as_bytes())?;
        return Ok(());
    }
    let telemetry = telemetry::start(&config.log, &config.telemetry)?;
    keep_pages_small();
    raise_open_files(config.server.connections.limit);
    if !config.auth.required {
        tracing::warn!(
            "callers need no credential: whoever reaches this server is the local tenant with every permission; \
             create a key with `tollgate keys create` and set auth.required = true"
        );
    }
    let stop = stop_on_signals()?;
    let listener = TcpListener::bind(config.server.listen)
        .await
        .with_context(|| format!("the address {} cannot be served", config.server.listen))?;
    let database = Database::open(config).await?;
    let running = boot::start(config, &database, listener, stop).await;
    let (left, refused) = match running {
        Ok(running) => (running.stopped().await, Ok(())),
        Err(error) => (config.server.drain_timeout, Err(error)),
    };
    let closed = database.close().await;
    telemetry.flush(left).await;
    refused?;
    Ok(closed?)
}

/// Cancelled by SIGTERM or SIGINT.
///
/// # Errors
/// Where signals cannot be heard.
pub fn stop_on_signals() -> std::io::Result<CancellationToken> {
    let stop = CancellationToken::new();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn({
        let stop = stop.clone();
        async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            stop.cancel();
        }
    });
    Ok(stop)
}

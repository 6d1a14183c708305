//! Files that change while the server runs.

use std::future::Future;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Tls, TlsError, files};
use crate::metrics::TlsReload;

impl Tls {
    /// Looks at the files at the configured interval and at SIGHUP until `stop`. What is good is in force for the connections that are
    /// accepted from then on; what is not leaves the files before it in force.
    ///
    /// SIGHUP is heard from the call on, not from the first poll: it would end the process before.
    pub fn watch(mut self, stop: CancellationToken) -> impl Future<Output = ()> + Send {
        let mut hangups = signal(SignalKind::hangup())
            .inspect_err(|error| tracing::warn!(%error, "SIGHUP cannot be heard: certificates are looked at in turn"))
            .ok();
        async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(self.settings.reload_interval) => {}
                    () = heard(hangups.as_mut()) => {}
                    () = stop.cancelled() => return,
                }
                self.look().await;
            }
        }
    }

    async fn look(&mut self) {
        match self.taken().await {
            Ok(false) => {}
            Ok(true) => self.metrics.tls_reloaded(TlsReload::Taken),
            Err(error) => {
                self.metrics.tls_reloaded(TlsReload::Refused);
                let error = &error as &dyn std::error::Error;
                tracing::error!(error, "the new certificates cannot be used: those before stay in force");
            }
        }
    }

    /// Whether other files are in force now. Files that were refused are not looked at again before they change.
    async fn taken(&mut self) -> Result<bool, TlsError> {
        let Some(files) = files::read(&self.settings).await? else { return Ok(false) };
        let digest = files.digest();
        if digest == self.seen {
            return Ok(false);
        }
        self.seen = digest;
        let loaded = files.load(self.settings.client_auth)?;
        self.tell(&loaded);
        self.current.store(loaded.config);
        Ok(true)
    }
}

async fn heard(hangups: Option<&mut Signal>) {
    match hangups {
        Some(hangups) => drop(hangups.recv().await),
        None => std::future::pending().await,
    }
}

//! Notices between replicas, through the database's NOTIFY: on connections of their own, never in a transaction that
//! writes.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};

use super::error::StoreError;

/// The channel's name, as `sql/live/send_touches.sql` has it, too.
const CHANNEL: &str = "tollgate_touch";
/// One connection sends, one listens.
const CONNECTIONS: u32 = 2;
/// Longest wait for a connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Where replicas tell each other what they touched.
#[derive(Debug, Clone)]
pub struct TouchChannel {
    pool: PgPool,
}

/// Hears what replicas say, this one included.
#[derive(Debug)]
pub struct TouchListener {
    listener: PgListener,
}

impl TouchChannel {
    /// A channel through the database of `options`, which must reach it directly: a pooler may lose LISTEN.
    pub fn new(options: PgConnectOptions) -> Self {
        // A notice that a crash swallows costs nothing, so its commit need not wait for the disk.
        let options = options.application_name("tollgate-touch").options([("synchronous_commit", "off")]);
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .max_lifetime(None)
            .connect_lazy_with(options);
        Self { pool }
    }

    /// Sends texts of less than 8,000 bytes each.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn send(&self, texts: &[String]) -> Result<(), StoreError> {
        if !texts.is_empty() {
            sqlx::query_file!("sql/live/send_touches.sql", texts).fetch_all(&self.pool).await?;
        }
        Ok(())
    }

    /// Begins to listen.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn listen(&self) -> Result<TouchListener, StoreError> {
        let mut listener = PgListener::connect_with(&self.pool).await?;
        // A lost connection must be seen by the caller: what was said meanwhile is lost.
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(TouchListener { listener })
    }
}

impl TouchListener {
    /// The next text.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the connection is lost: listen anew.
    pub async fn receive(&mut self) -> Result<String, StoreError> {
        match self.listener.try_recv().await? {
            Some(notification) => Ok(notification.payload().to_owned()),
            None => Err(StoreError::Unavailable(sqlx::Error::WorkerCrashed)),
        }
    }
}

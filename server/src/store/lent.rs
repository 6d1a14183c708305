//! A connection for transactions that are begun and ended by hand.

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, PgPool, Postgres};

use super::error::StoreError;

/// A connection that goes back to its pool only where it is [given back](Self::give_back): else a transaction may be open on it,
/// and it is closed.
#[derive(Debug)]
pub struct Lent {
    connection: PoolConnection<Postgres>,
    is_whole: bool,
}

impl Lent {
    /// Takes one from the pool.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn from(pool: &PgPool) -> Result<Self, StoreError> {
        Ok(Self { connection: pool.acquire().await?, is_whole: false })
    }

    /// The connection.
    pub fn connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Gives it back: its transaction has ended.
    pub fn give_back(mut self) {
        self.is_whole = true;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.is_whole {
            self.connection.close_on_drop();
        }
    }
}

//! A price catalog in a file, which may be replaced while the server runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tokio_util::sync::CancellationToken;
use tollgate_domain::price::{Catalog, CatalogError};

use super::Prices;
use crate::metrics::{CatalogOutcome, Metrics};

/// Largest file that is read.
const BYTES_LIMIT: u64 = 64 << 20;

/// Why a catalog cannot be used.
#[derive(Debug, Error)]
pub enum CatalogFileError {
    /// The file cannot be read.
    #[error("the price catalog {} cannot be read", .path.display())]
    Unreadable {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no catalog of this size.
    #[error("the price catalog {} has more than {BYTES_LIMIT} bytes: it cannot be one", .path.display())]
    TooLarge {
        /// Which one.
        path: PathBuf,
    },
    /// Its content is broken.
    #[error("the price catalog {} cannot be used: {source}", .path.display())]
    Broken {
        /// Which one.
        path: PathBuf,
        /// Where and why.
        source: CatalogError,
    },
    /// The built-in one is broken.
    #[error("the built-in price catalog cannot be used: {0}")]
    Builtin(#[from] CatalogError),
}

/// A catalog's file, and which state of it was read last.
#[derive(Debug)]
pub struct CatalogFile {
    path: PathBuf,
    read: Option<State>,
}

/// By which another content is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct State {
    modified: Option<SystemTime>,
    bytes: u64,
}

impl CatalogFile {
    /// The file at `path`, not read yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), read: None }
    }

    /// Reads it.
    ///
    /// # Errors
    /// [`CatalogFileError`], naming the line of the file.
    pub fn read(&mut self) -> Result<Arc<Catalog>, CatalogFileError> {
        let unreadable = |source| CatalogFileError::Unreadable { path: self.path.clone(), source };
        // Before the content: what is written meanwhile is noticed the next time.
        let state = self.state().map_err(unreadable)?;
        self.read = Some(state);
        if state.bytes > BYTES_LIMIT {
            return Err(CatalogFileError::TooLarge { path: self.path.clone() });
        }
        let text = std::fs::read_to_string(&self.path)
            .map_err(|source| CatalogFileError::Unreadable { path: self.path.clone(), source })?;
        let catalog = Catalog::parse(&text);
        catalog.map(Arc::new).map_err(|source| CatalogFileError::Broken { path: self.path.clone(), source })
    }

    /// Reads it where it has changed since it was read last.
    ///
    /// # Errors
    /// [`CatalogFileError`], once for every state of the file.
    pub fn read_changed(&mut self) -> Result<Option<Arc<Catalog>>, CatalogFileError> {
        match self.state() {
            Ok(state) if self.read == Some(state) => Ok(None),
            // A file that is gone is told once, too.
            Err(_) if self.read.is_none() => Ok(None),
            Err(source) => {
                self.read = None;
                Err(CatalogFileError::Unreadable { path: self.path.clone(), source })
            }
            Ok(_) => self.read().map(Some),
        }
    }

    fn state(&self) -> std::io::Result<State> {
        let metadata = std::fs::metadata(&self.path)?;
        Ok(State { modified: metadata.modified().ok(), bytes: metadata.len() })
    }

    /// Takes every changed content into force, until `stop`. One that cannot be used leaves what was in force before.
    pub async fn watch(mut self, prices: Prices, metrics: Metrics, period: Duration, stop: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(period) => {}
                () = stop.cancelled() => return,
            }
            let checked = tokio::task::spawn_blocking(move || {
                let read = self.read_changed();
                (self, read)
            });
            let Ok((file, read)) = checked.await else { return };
            self = file;
            match read {
                Ok(None) => {}
                Ok(Some(catalog)) => {
                    prices.take_catalog(catalog).await;
                    metrics.catalog_changed(CatalogOutcome::Taken);
                }
                Err(error) => {
                    tracing::error!(
                        %error,
                        source = error_source(&error),
                        catalog_version = prices.catalog().version(),
                        "the changed price catalog is not taken: the one before stays in force"
                    );
                    metrics.catalog_changed(CatalogOutcome::Refused);
                }
            }
        }
    }
}

fn error_source(error: &CatalogFileError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

/// The catalog in the file, or the built-in one where no file is given.
///
/// # Errors
/// [`CatalogFileError`].
pub fn catalog_of(path: Option<&Path>) -> Result<Arc<Catalog>, CatalogFileError> {
    match path {
        Some(path) => CatalogFile::new(path).read(),
        None => Ok(Catalog::builtin()?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_file_is_read_once_and_a_broken_one_told_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.jsonl");
        let head =
            |version: &str| format!("{{\"catalog\":{{\"format\":1,\"version\":\"{version}\",\"sources\":[]}}}}\n");
        std::fs::write(&path, head("1")).unwrap();
        let mut file = CatalogFile::new(&path);
        assert_eq!(file.read().unwrap().version(), "1");
        assert!(file.read_changed().unwrap().is_none());
        std::fs::write(&path, head("22")).unwrap();
        assert_eq!(file.read_changed().unwrap().unwrap().version(), "22");
        std::fs::write(&path, "{ broken").unwrap();
        let error = file.read_changed().unwrap_err();
        assert!(error.to_string().contains("catalog.jsonl"), "{error}");
        assert!(file.read_changed().unwrap().is_none());
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(file.read_changed(), Err(CatalogFileError::Unreadable { .. })));
        assert!(file.read_changed().unwrap().is_none());
        std::fs::write(&path, head("3")).unwrap();
        assert_eq!(file.read_changed().unwrap().unwrap().version(), "3");
    }
}

//! The one way through this room: pieces of text in, an extraction out.

use super::Extraction;
use super::api::Api;
use super::error::ExtractError;
use super::framing::Framer;
use super::gathered::Gathered;
use super::json::Object;

/// Reads the usage of one call while its stream passes by, in pieces cut anywhere. It keeps the event that is arriving
/// and the object that carried usage last, never the stream.
///
/// A stream that breaks off keeps what its complete events said. After an error nothing sensible follows: drop it.
#[derive(Debug)]
pub struct StreamExtractor {
    framer: Framer,
    gathered: Gathered,
}

impl StreamExtractor {
    /// Starts a stream of `api`, which is `provider.flavor` in any case, see [`super::known_apis`].
    ///
    /// # Errors
    /// [`ExtractError::UnknownApi`].
    pub fn new(api: &str) -> Result<Self, ExtractError> {
        Ok(Self { framer: Framer::default(), gathered: Gathered::new(Api::named(api)?) })
    }

    /// Takes the next piece.
    ///
    /// # Errors
    /// [`ExtractError`] for an event that is no valid JSON, too long, or has its usage in a shape that cannot be.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), ExtractError> {
        let Self { framer, gathered } = self;
        framer.push(bytes, &mut |text| take_event(gathered, text))
    }

    /// Ends the stream.
    ///
    /// # Errors
    /// [`ExtractError::NoUsage`] where no event carried usage, [`ExtractError`] for counts that contradict each other.
    pub fn finish(self) -> Result<Extraction, ExtractError> {
        let Self { mut framer, mut gathered } = self;
        let cut_off = framer.finish(&mut |text| take_event(&mut gathered, text))?;
        match gathered.finish() {
            Err(ExtractError::NoUsage { .. }) if cut_off => Err(ExtractError::CutOff),
            result => result,
        }
    }
}

fn take_event(gathered: &mut Gathered, text: &str) -> Result<(), ExtractError> {
    gathered.take(&Object::parse("", text).map_err(ExtractError::Malformed)?)
}

//! The API key, kept out of every log.

use secrecy::{ExposeSecret, SecretString};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::error::Error;

/// Puts the API key, if there is one, into every request, and the trace of the calling program, where the feature `opentelemetry` is on.
#[derive(Clone)]
pub struct Credential {
    header: Option<MetadataValue<Ascii>>,
}

impl Credential {
    pub(crate) fn new(api_key: Option<&SecretString>) -> Result<Self, Error> {
        let header = api_key
            .map(|key| {
                let mut header = MetadataValue::try_from(format!("Bearer {}", key.expose_secret()))
                    .map_err(|_| Error::invalid("api_key", "use the visible ASCII characters that tollgate issued"))?;
                // Keeps it out of the header compression's table and out of the debug output of the request.
                header.set_sensitive(true);
                Ok(header)
            })
            .transpose()?;
        Ok(Self { header })
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(if self.header.is_some() { "Credential(set)" } else { "Credential(none)" })
    }
}

impl Interceptor for Credential {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(header) = &self.header {
            request.metadata_mut().insert("authorization", header.clone());
        }
        #[cfg(feature = "opentelemetry")]
        crate::trace_context::send(request.metadata_mut());
        Ok(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_sent_and_never_shown() {
        let key = SecretString::from("tg_secret".to_owned());
        let mut credential = Credential::new(Some(&key)).unwrap();
        assert!(!format!("{credential:?}").contains("secret"));
        let request = credential.call(Request::new(())).unwrap();
        assert_eq!(request.metadata().get("authorization").unwrap(), "Bearer tg_secret");
        assert!(!format!("{request:?}").contains("tg_secret"));
    }

    #[test]
    fn a_key_that_no_header_can_carry_is_refused() {
        let key = SecretString::from("line\nbreak".to_owned());
        assert!(matches!(Credential::new(Some(&key)), Err(Error::Invalid { field: "api_key", .. })));
    }
}

//! Who can reach the server, and what that asks of its configuration.

/// What decides whether an address may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Exposure {
    /// Whether only this machine reaches the address.
    pub(super) loopback: bool,
    /// Whether callers have to show a credential.
    pub(super) credentials: bool,
    /// Whether what is sent is encrypted.
    pub(super) encrypted: bool,
    /// Whether the operator takes callers without a credential from anywhere.
    pub(super) allow_unauthenticated: bool,
    /// Whether the operator lets credentials be sent in the clear.
    pub(super) allow_plaintext: bool,
}

impl Exposure {
    /// What is wrong with it, and what to do.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub(super) fn check(self) -> Result<(), &'static str> {
        let Self { loopback, credentials, encrypted, allow_unauthenticated, allow_plaintext } = self;
        if loopback {
            return Ok(());
        }
        if !credentials && !allow_unauthenticated {
            return Err(
                "an address that others reach needs auth.required = true, so that callers show an API key; or \
                        server.allow_unauthenticated = true, behind something that asks them for a credential",
            );
        }
        if credentials && !encrypted && !allow_plaintext {
            return Err(
                "an address that others reach would have API keys sent in the clear: put it behind something that \
                        encrypts, and set server.allow_plaintext = true",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_case_is_decided() {
        for bits in 0..32_u8 {
            let is = |bit: u8| bits & (1 << bit) != 0;
            let exposure = Exposure {
                loopback: is(0),
                credentials: is(1),
                encrypted: is(2),
                allow_unauthenticated: is(3),
                allow_plaintext: is(4),
            };
            let open = !exposure.credentials && !exposure.allow_unauthenticated;
            let clear = exposure.credentials && !exposure.encrypted && !exposure.allow_plaintext;
            let refused = match exposure.check() {
                Ok(()) => None,
                Err(rule) => Some(rule.contains("in the clear")),
            };
            let expected = match (exposure.loopback, open, clear) {
                (true, _, _) | (false, false, false) => None,
                (false, true, _) => Some(false),
                (false, false, true) => Some(true),
            };
            assert_eq!(refused, expected, "{exposure:?}");
        }
    }
}

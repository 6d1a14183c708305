//! What is counted of connections.

use jiff::Timestamp;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts, Registry};

/// The metrics of connections.
#[derive(Debug, Clone)]
pub struct TransportMetrics {
    open: IntGauge,
    accepted: IntCounter,
    refused: IntCounterVec,
    handshakes_failed: IntCounterVec,
    accept_errors: IntCounter,
    expired_calls: IntCounter,
    tls_reloads: IntCounterVec,
    certificate_expiry: IntGauge,
}

/// Why a connection was closed as soon as it was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConnectionRefusal {
    /// There are as many as are allowed.
    Full,
    /// There are as many from this address as are allowed.
    Address,
}

impl ConnectionRefusal {
    const ALL: [Self; 2] = [Self::Full, Self::Address];

    const fn label(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Address => "address",
        }
    }
}

/// Why a connection ended before it spoke HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeFailure {
    /// It could not be encrypted, or its certificate is not good.
    Tls,
    /// It speaks something else, or fell silent.
    NotHttp2,
    /// It took too long.
    TimedOut,
}

impl HandshakeFailure {
    const ALL: [Self; 3] = [Self::Tls, Self::NotHttp2, Self::TimedOut];

    const fn label(self) -> &'static str {
        match self {
            Self::Tls => "tls",
            Self::NotHttp2 => "not_http2",
            Self::TimedOut => "timed_out",
        }
    }
}

/// What became of changed files of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsReload {
    /// They are in force for connections from now on.
    Taken,
    /// They cannot be used: those before stay in force.
    Refused,
}

impl TlsReload {
    const ALL: [Self; 2] = [Self::Taken, Self::Refused];

    const fn label(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::Refused => "refused",
        }
    }
}

impl TransportMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let open = IntGauge::new("connections_open", "Connections that are open.")?;
        let accepted = IntCounter::new("connections_accepted_total", "Connections that were taken.")?;
        let refused = IntCounterVec::new(
            Opts::new("connections_refused_total", "Connections that were closed at once, by the bound they met."),
            &["reason"],
        )?;
        let handshakes_failed = IntCounterVec::new(
            Opts::new("handshakes_failed_total", "Connections that ended before they spoke HTTP/2, by reason."),
            &["reason"],
        )?;
        let accept_errors = IntCounter::new(
            "accept_errors_total",
            "Times that the system had no connection to give, for example as too many files are open.",
        )?;
        let expired_calls =
            IntCounter::new("expired_calls_total", "Calls that were not answered before their deadline.")?;
        let tls_reloads = IntCounterVec::new(
            Opts::new("tls_reloads_total", "Changed files of TLS that were found, by what became of them."),
            &["outcome"],
        )?;
        let certificate_expiry = IntGauge::new(
            "tls_certificate_expiry_timestamp_seconds",
            "When the server's certificate expires, in seconds since 1970; 0 without TLS.",
        )?;
        registry.register(Box::new(open.clone()))?;
        registry.register(Box::new(accepted.clone()))?;
        registry.register(Box::new(refused.clone()))?;
        registry.register(Box::new(handshakes_failed.clone()))?;
        registry.register(Box::new(accept_errors.clone()))?;
        registry.register(Box::new(expired_calls.clone()))?;
        registry.register(Box::new(tls_reloads.clone()))?;
        registry.register(Box::new(certificate_expiry.clone()))?;
        for reason in ConnectionRefusal::ALL {
            refused.with_label_values(&[reason.label()]).inc_by(0);
        }
        for reason in HandshakeFailure::ALL {
            handshakes_failed.with_label_values(&[reason.label()]).inc_by(0);
        }
        for outcome in TlsReload::ALL {
            tls_reloads.with_label_values(&[outcome.label()]).inc_by(0);
        }
        Ok(Self {
            open,
            accepted,
            refused,
            handshakes_failed,
            accept_errors,
            expired_calls,
            tls_reloads,
            certificate_expiry,
        })
    }

    /// Counts a connection that was taken.
    pub fn opened(&self) {
        self.accepted.inc();
        self.open.inc();
    }

    /// Counts its end.
    pub fn closed(&self) {
        self.open.dec();
    }

    /// Counts a connection that was closed at once.
    pub fn refused(&self, reason: ConnectionRefusal) {
        self.refused.with_label_values(&[reason.label()]).inc();
    }

    /// Counts a connection that never spoke HTTP/2.
    pub fn handshake_failed(&self, reason: HandshakeFailure) {
        self.handshakes_failed.with_label_values(&[reason.label()]).inc();
    }

    /// Counts a failure of the system to give a connection.
    pub fn accept_failed(&self) {
        self.accept_errors.inc();
    }

    /// Counts a call whose deadline came first.
    pub fn call_expired(&self) {
        self.expired_calls.inc();
    }

    /// Counts changed files.
    pub fn tls_reloaded(&self, outcome: TlsReload) {
        self.tls_reloads.with_label_values(&[outcome.label()]).inc();
    }

    /// Shows when the certificate in force expires.
    pub fn certificate_expires(&self, at: Timestamp) {
        self.certificate_expiry.set(at.as_second());
    }
}

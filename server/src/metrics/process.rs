//! What the system says of this process; what it does not say is not shown.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus::{IntGauge, IntGaugeVec, Opts, Registry};

#[derive(Debug, Clone)]
pub(super) struct ProcessMetrics {
    resident_bytes: IntGauge,
    open_files: IntGauge,
}

impl ProcessMetrics {
    pub(super) fn new(registry: &Registry) -> prometheus::Result<Self> {
        let resident_bytes = IntGauge::new("process_resident_memory_bytes", "Bytes that the process keeps in memory.")?;
        let open_files = IntGauge::new("process_open_fds", "Files and sockets that the process has open.")?;
        let start = IntGauge::new("process_start_time_seconds", "When the server was started, in seconds since 1970.")?;
        let build = IntGaugeVec::new(Opts::new("build_info", "1, with the version of the server."), &["version"])?;
        registry.register(Box::new(resident_bytes.clone()))?;
        registry.register(Box::new(open_files.clone()))?;
        registry.register(Box::new(start.clone()))?;
        registry.register(Box::new(build.clone()))?;
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        start.set(i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
        Ok(Self { resident_bytes, open_files })
    }

    pub(super) fn refresh(&self) {
        if let Some(bytes) = resident_bytes() {
            self.resident_bytes.set(bytes);
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            self.open_files.set(i64::try_from(files.count()).unwrap_or(i64::MAX));
        }
    }
}

/// From Linux' account of the process, which is in KiB.
fn resident_bytes() -> Option<i64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: i64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1_024)
}

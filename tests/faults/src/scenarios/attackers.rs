//! Where attackers run: on threads of their own, behind everybody else.
//!
//! Who attacks has machines of its own. Here it shares the processors with the server and with the client that is measured:
//! without this, its own work would be measured as the server's slowness.

use rustix::process::setpriority_process;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// The lowest priority: attackers have every moment that nobody else wants.
const LAST: i32 = 19;
/// Threads of attackers.
const THREADS: usize = 2;

/// Threads of attackers.
#[derive(Debug)]
pub(super) struct Attackers {
    runtime: Option<Runtime>,
}

impl Attackers {
    pub(super) fn start() -> anyhow::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("attacker")
            .enable_all()
            // Of this thread alone: Linux keeps a priority for each. Where it is refused, the attack is only harder.
            .on_thread_start(|| {
                let _ = setpriority_process(None, LAST);
            })
            .build()?;
        Ok(Self { runtime: Some(runtime) })
    }

    pub(super) fn spawn<F>(&self, attack: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match &self.runtime {
            Some(runtime) => runtime.spawn(attack),
            None => tokio::spawn(attack),
        }
    }
}

impl Drop for Attackers {
    /// A runtime must not wait for its threads within another one.
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

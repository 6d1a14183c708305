//! What stands between callers and replicas where they are deployed: one address, whose connections go in turn to a replica that
//! takes them. It knows nothing of what is said, and keeps a connection as long as both ends do.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// A balancer under way; it takes no more connections when dropped.
pub(crate) struct Balancer {
    address: SocketAddr,
    _accepting: AbortOnDropHandle<()>,
}

impl Balancer {
    /// Starts one in front of these addresses.
    pub(crate) async fn start(replicas: Vec<SocketAddr>) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        let accepting = AbortOnDropHandle::new(tokio::spawn(accept(listener, replicas.into())));
        Ok(Self { address, _accepting: accepting })
    }

    /// Where callers reach it.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

async fn accept(listener: TcpListener, replicas: Arc<[SocketAddr]>) {
    let turn = Arc::new(AtomicUsize::new(0));
    while let Ok((caller, _)) = listener.accept().await {
        let first = turn.fetch_add(1, Ordering::Relaxed);
        let replicas = replicas.clone();
        // Ends with the connection.
        tokio::spawn(async move {
            if let Some(replica) = connect(&replicas, first).await {
                pass_on(caller, replica).await;
            }
        });
    }
}

/// The first replica in turn that takes a connection; a caller whose connection none of them takes finds it closed.
async fn connect(replicas: &[SocketAddr], first: usize) -> Option<TcpStream> {
    for number in 0..replicas.len() {
        let index = first.wrapping_add(number).checked_rem(replicas.len())?;
        if let Ok(stream) = TcpStream::connect(replicas.get(index)?).await {
            return Some(stream);
        }
    }
    None
}

async fn pass_on(mut caller: TcpStream, mut replica: TcpStream) {
    if caller.set_nodelay(true).and_then(|()| replica.set_nodelay(true)).is_ok() {
        // However it ends, both ends see it.
        let _ended = tokio::io::copy_bidirectional(&mut caller, &mut replica).await;
    }
}

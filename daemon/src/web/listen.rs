//! Connections: a few at a time, each for one request, and none for long.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, TcpListener as StdListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

/// Connections at a time; more wait in the kernel.
const CONNECTIONS: usize = 32;
/// Of one address: who opens more is not a person with a browser.
const OF_ONE: usize = 12;
/// The time for a request's head, and for its body.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// The time for a whole connection: doctor takes the longest.
const CONNECTION_LIMIT: Duration = Duration::from_secs(120);
/// The longest head.
const HEAD_BYTES: usize = 16 * 1024;
/// The pause when the kernel has no more descriptors.
const REST: Duration = Duration::from_secs(1);

/// Whom a request came from, among its extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

/// Serves the page on every listener, for ever; at once done where there is none.
pub async fn serve(listeners: Vec<StdListener>, router: Router) {
    let limits = Limits::default();
    let mut serving = tokio::task::JoinSet::new();
    for listener in listeners {
        match TcpListener::from_std(listener) {
            Ok(listener) => {
                serving.spawn(accept(listener, router.clone(), limits.clone()));
            }
            Err(error) => warn!("failed to serve the status page: {error}"),
        }
    }
    while serving.join_next().await.is_some() {}
}

async fn accept(listener: TcpListener, router: Router, limits: Limits) {
    if let Ok(address) = listener.local_addr() {
        info!(%address, "serving the status page");
    }
    loop {
        let Some(place) = limits.place().await else { return };
        match listener.accept().await {
            Ok((stream, peer)) => match limits.seat(peer.ip(), place) {
                Some(seat) => {
                    let router = router.clone();
                    tokio::spawn(async move {
                        let _seat = seat;
                        if !matches!(
                            timeout(CONNECTION_LIMIT, talk(stream, peer.ip(), router)).await,
                            Ok(Ok(()))
                        ) {
                            debug!("a connection to the status page was broken off");
                        }
                    });
                }
                None => debug!("one address has too many connections to the status page"),
            },
            Err(error) if is_of_the_peer(&error) => {}
            Err(error) => {
                warn!("failed to accept a connection to the status page: {error}");
                sleep(REST).await;
            }
        }
    }
}

fn is_of_the_peer(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

async fn talk(stream: TcpStream, peer: IpAddr, router: Router) -> Result<(), hyper::Error> {
    // Without it the page is slower, and that is all.
    let _ = stream.set_nodelay(true);
    let router = TowerToHyperService::new(router);
    let page = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(Peer(peer));
        router.call(request)
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(stream), page)
        .await
}

/// Who is connected.
#[derive(Clone, Debug)]
struct Limits {
    all: Arc<Semaphore>,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(CONNECTIONS)),
            by_address: Arc::default(),
        }
    }
}

impl Limits {
    async fn place(&self) -> Option<OwnedSemaphorePermit> {
        self.all.clone().acquire_owned().await.ok()
    }

    fn seat(&self, address: IpAddr, place: OwnedSemaphorePermit) -> Option<Seat> {
        let mut taken = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = taken.entry(address).or_default();
        if *count >= OF_ONE {
            return None;
        }
        *count += 1;
        Some(Seat {
            address,
            by_address: self.by_address.clone(),
            _place: place,
        })
    }
}

/// One connection's place; given back when it ends, however it ends.
struct Seat {
    address: IpAddr,
    by_address: Arc<Mutex<HashMap<IpAddr, usize>>>,
    _place: OwnedSemaphorePermit,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = taken.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                taken.remove(&self.address);
            }
        }
    }
}

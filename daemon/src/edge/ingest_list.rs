//! Twitch's list of ingest servers, its cache, and the way to the nearest.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use spotstream_core::ingest::directory::{
    LIST_HOST, LIST_PATH, ListError, Server, by_connect_time, fallback, parse_list,
};
use tokio::net::lookup_host;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::{Instant, timeout};

use super::{files, https, tcp};

/// How long the list may take (the limit of OBS).
const LIST_LIMIT: Duration = Duration::from_secs(5);
/// How long a server may take to answer when the nearest is looked for.
const PROBE_LIMIT: Duration = Duration::from_millis(1500);
/// How many servers are asked: Twitch puts near ones first, and the fallback has no more than these.
const MOST_PROBES: usize = 40;
/// Where the list is served.
const LIST_PORT: u16 = 443;

/// How the servers are found.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Whom to trust for the list.
    pub tls: Arc<ClientConfig>,
    /// Leave by this interface alone (`SO_BINDTODEVICE`).
    pub interface: Option<String>,
    /// Where the last good list is kept.
    pub cache: PathBuf,
    /// Servers for RTMPS rather than RTMP.
    pub secure: bool,
}

/// Why the list could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Its host has no address.
    #[error("failed to find the address of '{LIST_HOST}'")]
    Resolve(#[source] io::Error),
    /// It did not answer.
    #[error("failed to get the list of servers")]
    Get(#[from] https::Error),
    /// It answered something else.
    #[error("failed to get the list of servers: the answer is {0}")]
    Status(StatusCode),
    /// The answer is no list.
    #[error("failed to use the list of servers")]
    List(#[from] ListError),
}

impl Error {
    /// A stable word for metrics and status.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Resolve(_) => "ingest-list-name",
            Self::Get(error) => error.kind(),
            Self::Status(_) => "ingest-list-status",
            Self::List(error) => error.kind(),
        }
    }

    /// Whether another try may bring the list. It is never necessary: there are the cache and the fallback.
    pub fn is_retryable(&self) -> bool {
        true
    }
}

/// Where the servers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Twitch's list of this moment.
    Online,
    /// Twitch's list of an earlier day.
    Cache,
    /// The list in this program.
    Fallback,
}

/// Twitch's servers, the nearest first. This always has an answer.
pub async fn nearest(plan: &Plan) -> (Vec<Server>, Source) {
    let (servers, source) = known(plan).await;
    let times = connect_times(&servers, plan.interface.as_deref()).await;
    (by_connect_time(servers, &times), source)
}

async fn known(plan: &Plan) -> (Vec<Server>, Source) {
    match download(plan).await {
        Ok((servers, json)) => {
            keep(plan.cache.clone(), json).await;
            (servers, Source::Online)
        }
        Err(error) => {
            tracing::info!(kind = error.kind(), %error, "using an older list of servers");
            match cached(&plan.cache, plan.secure).await {
                Some(servers) => (servers, Source::Cache),
                None => (fallback(plan.secure), Source::Fallback),
            }
        }
    }
}

async fn download(plan: &Plan) -> Result<(Vec<Server>, Bytes), Error> {
    let addresses = match timeout(LIST_LIMIT, lookup_host((LIST_HOST, LIST_PORT))).await {
        Ok(addresses) => addresses.map_err(Error::Resolve)?,
        Err(_) => return Err(Error::Resolve(io::ErrorKind::TimedOut.into())),
    };
    let address = addresses
        .into_iter()
        .next()
        .ok_or_else(|| Error::Resolve(io::ErrorKind::NotFound.into()))?;
    let request = https::Request {
        address,
        interface: plan.interface.clone(),
        server_name: ServerName::try_from(LIST_HOST)
            .map_err(|error| Error::Resolve(io::Error::new(io::ErrorKind::InvalidInput, error)))?,
        method: Method::GET,
        path: LIST_PATH.to_owned(),
        headers: HeaderMap::new(),
        body: Bytes::new(),
        limit: LIST_LIMIT,
    };
    let response = https::request(plan.tls.clone(), request).await?;
    if response.status != StatusCode::OK {
        return Err(Error::Status(response.status));
    }
    Ok((parse_list(&response.body, plan.secure)?, response.body))
}

/// Keeps the list as it came: what is usable in it is decided anew each time.
async fn keep(path: PathBuf, json: Bytes) {
    let written = spawn_blocking(move || match std::fs::read(&path) {
        // Cards wear out by writing, and the list seldom changes.
        Ok(old) if old == json => Ok(()),
        _ => files::write_atomically(&path, &json, 0o644),
    });
    if let Ok(Err(error)) = written.await {
        tracing::warn!(%error, "failed to keep the list of servers");
    }
}

async fn cached(path: &Path, secure: bool) -> Option<Vec<Server>> {
    let path = path.to_owned();
    let json = spawn_blocking(move || std::fs::read(path)).await.ok()?.ok()?;
    parse_list(&json, secure)
        .inspect_err(|error| tracing::warn!(%error, "the kept list is of no use"))
        .ok()
}

/// How long a connection to each server takes, names looked up before; nothing for those that do not answer in time.
async fn connect_times(servers: &[Server], interface: Option<&str>) -> Vec<Option<Duration>> {
    let mut probes = JoinSet::new();
    for (index, server) in servers.iter().take(MOST_PROBES).enumerate() {
        let (host, port, interface) = (server.host.clone(), server.port, interface.map(str::to_owned));
        probes.spawn(async move {
            let time = timeout(PROBE_LIMIT, connect_time(host, port, interface))
                .await
                .ok()
                .flatten();
            (index, time)
        });
    }
    let mut times = vec![None; servers.len()];
    for (index, time) in probes.join_all().await {
        if let Some(slot) = times.get_mut(index) {
            *slot = time;
        }
    }
    times
}

async fn connect_time(host: String, port: u16, interface: Option<String>) -> Option<Duration> {
    let address = lookup_host((host, port)).await.ok()?.next()?;
    let start = Instant::now();
    tcp::connect(address, interface.as_deref(), PROBE_LIMIT)
        .await
        .ok()?;
    Some(start.elapsed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::net::TcpListener;

    const LIST: &str = r#"{"ingests": [{"name": "A", "availability": 1, "url_template": "rtmp://a.example/app",
        "url_template_secure": "rtmps://a.example/app/{stream_key}"}]}"#;

    #[tokio::test]
    async fn the_list_is_kept_and_read_again_and_a_spoiled_one_is_as_good_as_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ingests.json");
        assert_eq!(cached(&path, true).await, None);
        keep(path.clone(), Bytes::from_static(LIST.as_bytes())).await;
        assert_eq!(cached(&path, true).await.unwrap()[0].host, "a.example");
        keep(path.clone(), Bytes::from_static(b"{")).await;
        assert_eq!(cached(&path, true).await, None);
    }

    #[tokio::test]
    async fn an_unchanged_list_is_not_written_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ingests.json");
        keep(path.clone(), Bytes::from_static(LIST.as_bytes())).await;
        let before = std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&path).unwrap());
        keep(path.clone(), Bytes::from_static(LIST.as_bytes())).await;
        assert_eq!(
            std::os::unix::fs::MetadataExt::ino(&std::fs::metadata(&path).unwrap()),
            before
        );
    }

    #[tokio::test]
    async fn a_server_that_answers_has_a_time_and_one_that_does_not_has_none() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let open = listener.local_addr().unwrap().port();
        let closed = {
            let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
            other.local_addr().unwrap().port()
        };
        let server = |port: u16| Server::parse(&format!("rtmp://127.0.0.1:{port}/app")).unwrap();
        let times = connect_times(&[server(closed), server(open)], None).await;
        assert!(times[0].is_none() && times[1].is_some(), "{times:?}");
    }
}

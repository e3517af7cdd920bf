//! The addresses of a name, from the uplink's name servers.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use netsetup_core::names::InterfaceName;
use rustls::crypto::ring::default_provider;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;
use tracing::debug;

use super::dns::{Answer, Kind, LONGEST, Query};
use super::socket;

const PORT: u16 = 53;
/// How often a server is asked when it says nothing.
const TRIES: u32 = 3;
/// How long a server may think each time.
const TRY: Duration = Duration::from_secs(1);
/// How many servers are asked, all at once: resolv.conf(5) has no more.
const MOST_SERVERS: usize = 3;

/// Why there is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// No server answers, or none can tell.
    Silent,
    /// There is no such name, or it has no address.
    NoSuchHost,
}

/// Asks all `servers` at once for the IPv4 addresses of `host`, and for IPv6 addresses when it has none.
///
/// # Errors
/// When there is no address.
pub(super) async fn addresses(
    interface: &InterfaceName,
    servers: &[Ipv4Addr],
    host: &str,
) -> Result<Vec<IpAddr>, Failure> {
    let host = host.trim_end_matches('.');
    match from_any(interface, servers, host, Kind::V4).await {
        Answer::Addresses(found) if found.is_empty() => {}
        Answer::Addresses(found) | Answer::Truncated(found) => return Ok(found),
        Answer::NoSuchHost => return Err(Failure::NoSuchHost),
        Answer::Refused => return Err(Failure::Silent),
    }
    match from_any(interface, servers, host, Kind::V6).await {
        Answer::Addresses(found) | Answer::Truncated(found) if !found.is_empty() => Ok(found),
        Answer::Addresses(_) | Answer::Truncated(_) | Answer::NoSuchHost | Answer::Refused => {
            Err(Failure::NoSuchHost)
        }
    }
}

/// The first answer with an address in it, else the one that says most.
async fn from_any(interface: &InterfaceName, servers: &[Ipv4Addr], host: &str, kind: Kind) -> Answer {
    let mut asked: FuturesUnordered<_> = servers
        .iter()
        .take(MOST_SERVERS)
        .map(|&server| from_one(interface, server, host, kind))
        .collect();
    let mut best = Answer::Refused;
    while let Some(answer) = asked.next().await {
        match answer {
            Answer::Addresses(found) | Answer::Truncated(found) if !found.is_empty() => {
                return Answer::Addresses(found);
            }
            Answer::Addresses(_) | Answer::NoSuchHost => best = answer,
            Answer::Truncated(_) | Answer::Refused => {}
        }
    }
    best
}

async fn from_one(interface: &InterfaceName, server: Ipv4Addr, host: &str, kind: Kind) -> Answer {
    for _ in 0..TRIES {
        let Some(id) = random_id() else { break };
        let query = Query { id, host, kind };
        let Some(question) = query.bytes() else {
            return Answer::NoSuchHost;
        };
        match timeout(TRY, by_udp(interface, server, query, &question)).await {
            Ok(Ok(Answer::Truncated(part))) => {
                let whole = timeout(TRY, by_tcp(interface, server, query, &question)).await;
                return match whole {
                    Ok(Ok(answer)) => answer,
                    // Any address will do.
                    _ => Answer::Addresses(part),
                };
            }
            Ok(Ok(answer)) => return answer,
            // ICMP: nobody serves names there.
            Ok(Err(error)) => {
                debug!(%server, %error, "a name server cannot be asked");
                break;
            }
            Err(_) => debug!(%server, "a name server is silent"),
        }
    }
    Answer::Refused
}

async fn by_udp(
    interface: &InterfaceName,
    server: Ipv4Addr,
    query: Query<'_>,
    question: &[u8],
) -> io::Result<Answer> {
    let socket = socket::talk_to(interface, server, PORT)?;
    socket.send(question).await?;
    let mut bytes = [0; 1500];
    loop {
        let length = socket.recv(&mut bytes).await?;
        // Whoever guesses our port, but not our number and question, is not listened to.
        if let Some(answer) = bytes.get(..length).and_then(|bytes| query.read(bytes)) {
            return Ok(answer);
        }
    }
}

/// RFC 7766: the same message, after its length.
async fn by_tcp(
    interface: &InterfaceName,
    server: Ipv4Addr,
    query: Query<'_>,
    question: &[u8],
) -> io::Result<Answer> {
    let mut stream = socket::connect(interface, SocketAddr::from((server, PORT))).await?;
    let length = u16::try_from(question.len()).map_err(io::Error::other)?;
    stream
        .write_all(&[&length.to_be_bytes()[..], question].concat())
        .await?;
    let length = usize::from(stream.read_u16().await?);
    if length > LONGEST {
        return Err(io::Error::other("the answer is too long"));
    }
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes).await?;
    query
        .read(&bytes)
        .ok_or_else(|| io::Error::other("the answer is to another question"))
}

fn random_id() -> Option<u16> {
    let mut id = [0; 2];
    default_provider().secure_random.fill(&mut id).ok()?;
    Some(u16::from_be_bytes(id))
}

//! Whether the internet answers, asked through the uplink alone (`SO_BINDTODEVICE`): name, server, and who stands between.
//!
//! 1. The ingest's name, from the uplink's own name servers.
//! 2. A connection to the ingest, and the proof that it is the ingest: its certificate.
//! 3. When one of the two fails, or there is no certificate to ask for: whether a captive portal says so.
//!
//! A portal that lies about names or takes every connection is found out by the certificate, so a name that leads to
//! a private address is no evidence of its own. All of it together takes at most [`LIMIT`].

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use netsetup_core::engine::{Question, Verdict};
use tokio::time::timeout;
use tracing::debug;

mod dns;
mod http;
mod lookup;
mod portal;
mod shown;
mod socket;
mod tls;

/// How long a whole question takes at most: the sum of its parts.
pub const LIMIT: Duration = Duration::from_secs(10);

/// How long finding the server's addresses may take: of both kinds, and at all servers.
const LOOKUP: Duration = Duration::from_secs(4);
/// How long connecting and the handshake may take.
const PROOF: Duration = Duration::from_secs(3);
/// How long a portal may take to show itself.
const PORTAL: Duration = Duration::from_secs(3);
/// The same, when the server answers and only its certificate is missing, because it has none.
const PORTAL_OF_ONLINE: Duration = Duration::from_secs(1);
/// How many of the server's addresses are tried, all at once.
const MOST_ADDRESSES: usize = 4;

/// Asks.
pub async fn ask(question: &Question) -> Verdict {
    let addresses = match find(question).await {
        Ok(addresses) => addresses,
        Err(verdict) => {
            return match portal::find(question, None, PORTAL).await {
                Some(page) => Verdict::CaptivePortal(page),
                None => verdict,
            };
        }
    };
    let (address, proof) = prove(question, &addresses).await;
    let limit = match proof {
        Proof::Server => return Verdict::Online,
        // No portal has the server's own certificate.
        Proof::ServerAtAnotherTime => return Verdict::ClockNotSet,
        Proof::Connection => PORTAL_OF_ONLINE,
        Proof::Stranger | Proof::Nothing => PORTAL,
    };
    match (portal::find(question, address, limit).await, proof) {
        (Some(page), _) => Verdict::CaptivePortal(page),
        (None, Proof::Connection | Proof::Server) => Verdict::Online,
        (None, Proof::ServerAtAnotherTime) => Verdict::ClockNotSet,
        (None, Proof::Stranger) => Verdict::WrongCertificate,
        (None, Proof::Nothing) => Verdict::Unreachable,
    }
}

/// How far the ingest could be reached; the greater says more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Proof {
    /// Nobody answers.
    Nothing,
    /// Somebody answers, who is not the server.
    Stranger,
    /// Somebody answers, and nothing tells who.
    Connection,
    /// The certificate is right, but for another time.
    ServerAtAnotherTime,
    /// It is the server.
    Server,
}

async fn find(question: &Question) -> Result<Vec<IpAddr>, Verdict> {
    if let Ok(address) = question.ingest.host.parse() {
        return Ok(vec![address]);
    }
    let found = timeout(
        LOOKUP,
        lookup::addresses(&question.interface, &question.name_servers, &question.ingest.host),
    )
    .await
    .unwrap_or(Err(lookup::Failure::Silent));
    found.map_err(|failure| match failure {
        lookup::Failure::Silent => Verdict::DnsSilent,
        lookup::Failure::NoSuchHost => Verdict::NoSuchHost,
    })
}

/// Tries the first few addresses at once: the best that one of them proves, and an address that proves it.
async fn prove(question: &Question, addresses: &[IpAddr]) -> (Option<IpAddr>, Proof) {
    let verifier = question
        .ingest
        .tls
        .then(|| tls::Verifier::load(question.ingest.extra_ca.as_deref()));
    let mut attempts: FuturesUnordered<_> = addresses
        .iter()
        .take(MOST_ADDRESSES)
        .map(|&address| {
            let attempt = timeout(PROOF, prove_at(question, address, verifier.clone()));
            async move { (address, attempt.await.unwrap_or(Proof::Nothing)) }
        })
        .collect();
    let mut best = (addresses.first().copied(), Proof::Nothing);
    while let Some((address, proof)) = attempts.next().await {
        debug!(%address, ?proof, "the ingest was tried");
        if proof > best.1 {
            best = (Some(address), proof);
        }
        if matches!(best.1, Proof::Server | Proof::Connection) {
            break;
        }
    }
    best
}

async fn prove_at(question: &Question, address: IpAddr, verifier: Option<tls::Verifier>) -> Proof {
    let address = SocketAddr::new(address, question.ingest.port);
    let stream = match socket::connect(&question.interface, address).await {
        Ok(stream) => stream,
        Err(error) => {
            debug!(%address, %error, "no connection to the ingest");
            return Proof::Nothing;
        }
    };
    match verifier {
        None => Proof::Connection,
        Some(verifier) => match tls::connect(verifier, &question.ingest.host, stream).await {
            Ok(_) => Proof::Server,
            Err(tls::Failure::AnotherTime) => Proof::ServerAtAnotherTime,
            Err(tls::Failure::Stranger(error)) => {
                debug!(%address, %error, "somebody else answers for the ingest");
                Proof::Stranger
            }
            Err(tls::Failure::Broken(error)) => {
                debug!(%address, %error, "the connection to the ingest broke");
                Proof::Nothing
            }
        },
    }
}

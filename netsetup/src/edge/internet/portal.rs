//! Captive portals: whether one stands between us and the internet, and which page it wants to be seen.
//!
//! Three are asked at once, without a server of ours or of somebody who never asked for it:
//!
//! * The API that the DHCP server names (RFC 8910, RFC 8908), where it names one. The server is asked only here.
//! * [`NOBODY`], port 80: an address that no host has. Whoever brings a page, a redirection or status 511 (RFC 6585)
//!   from there stands on the way. A gateway's error, as a proxy gives it for a server that it cannot find, says nothing.
//! * The ingest's own address, port 80, for networks that let only real addresses pass, or lie about names. Status 511
//!   is clear there too. A redirection counts when it leads to another host: the true server may send to its own HTTPS.
//!   A page does not count: a server of one's own may have one.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use hyper::{StatusCode, Uri};
use netsetup_core::engine::Question;
use netsetup_core::names::InterfaceName;
use serde::Deserialize;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::{http, lookup, shown, socket, tls};
use crate::edge::dhcp_inform;

/// TEST-NET-1 (RFC 5737): for documents, so that no host on the internet has it.
const NOBODY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const HTTP: u16 = 80;
const HTTPS: u16 = 443;
/// What the API speaks (RFC 8908 section 4).
const API_TYPE: &str = "application/captive+json";

/// The address of a page to show, where it is known.
type Page = Option<String>;

/// Looks for a portal, no longer than `limit`. `address` is what the ingest's name leads to.
pub(super) async fn find(question: &Question, address: Option<IpAddr>, limit: Duration) -> Option<Page> {
    let by_dhcp = by_dhcp(question, Instant::now() + limit);
    let by_page = pages(&question.interface, &question.ingest.host, address, limit);
    let ((api, uri), page) = match select(Box::pin(by_dhcp), Box::pin(by_page)).await {
        Either::Left(((Api::Captive(Some(url)), _), _)) => return Some(Some(url)),
        Either::Left((told, by_page)) => (told, by_page.await),
        Either::Right((page, by_dhcp)) => (by_dhcp.await, page),
    };
    match (api, page) {
        (Api::Captive(url), page) => Some(url.or(page.flatten())),
        (Api::Silent, Some(None)) => Some(uri.and_then(|uri| {
            // Before RFC 8910, the option was the page itself (RFC 7710).
            shown::address(&uri.parse().ok()?)
        })),
        (Api::Free | Api::Silent, page) => page,
    }
}

/// What the portal's API says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Api {
    /// There is none, or it does not answer.
    Silent,
    /// The way is free.
    Free,
    /// This page wants to be seen.
    Captive(Page),
}

/// RFC 8908 section 5, as far as we need it.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct State {
    captive: bool,
    #[serde(default)]
    user_portal_url: Option<String>,
}

/// What the portal's API says until `end`, and the URI that the DHCP server has for it.
async fn by_dhcp(question: &Question, end: Instant) -> (Api, Option<String>) {
    let Ok(Some(uri)) = timeout_at(end, named(question)).await else {
        return (Api::Silent, None);
    };
    let api = timeout_at(end, api(question, &uri)).await;
    (api.unwrap_or(Api::Silent), Some(uri))
}

async fn named(question: &Question) -> Option<String> {
    let lease = question.lease.as_ref()?;
    dhcp_inform::portal(&question.interface, question.address.addr(), lease)
        .await
        .inspect_err(|error| debug!(%error, "the DHCP server does not tell of a portal"))
        .ok()?
}

async fn api(question: &Question, uri: &str) -> Api {
    let Some(uri) = shown::redirection("", uri) else {
        return Api::Silent;
    };
    let body = match ask_api(question, &uri).await {
        Ok(body) => body,
        Err(error) => {
            debug!(%error, "the portal's API does not answer");
            return Api::Silent;
        }
    };
    match serde_json::from_slice::<State>(&body) {
        Ok(state) if state.captive => {
            let page = state.user_portal_url.and_then(|url| url.parse().ok());
            Api::Captive(page.as_ref().and_then(shown::address))
        }
        Ok(_) => Api::Free,
        Err(error) => {
            debug!(%error, "the portal's API does not say whether the way is free");
            Api::Silent
        }
    }
}

async fn ask_api(question: &Question, uri: &Uri) -> io::Result<Vec<u8>> {
    let is_https = uri.scheme_str() == Some("https");
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(if is_https { HTTPS } else { HTTP });
    let address = match host.parse() {
        Ok(address) => address,
        Err(_) => lookup::addresses(&question.interface, &question.name_servers, host)
            .await
            .ok()
            .and_then(|found| found.first().copied())
            .ok_or_else(|| io::Error::other("its name is not known"))?,
    };
    let stream = socket::connect(&question.interface, SocketAddr::new(address, port)).await?;
    let authority = host_header(host, uri.port_u16());
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let answer = if is_https {
        let verifier = tls::Verifier::load(question.ingest.extra_ca.as_deref());
        let stream = tls::connect(verifier, host, stream)
            .await
            .map_err(|failure| io::Error::other(format!("{failure:?}")))?;
        http::get(stream, &authority, path, API_TYPE).await?
    } else {
        http::get(stream, &authority, path, API_TYPE).await?
    };
    if answer.status() != StatusCode::OK || answer.content_type() != Some(API_TYPE) {
        return Err(io::Error::other("it is not an API of RFC 8908"));
    }
    Ok(answer.body().await?.into())
}

/// The first page that a portal brings on port 80.
async fn pages(
    interface: &InterfaceName,
    host: &str,
    address: Option<IpAddr>,
    limit: Duration,
) -> Option<Page> {
    let nobody = (IpAddr::V4(NOBODY), NOBODY.to_string());
    let ingest = address.map(|address| (address, host.to_owned()));
    let mut asked: FuturesUnordered<_> = [Some(nobody), ingest]
        .into_iter()
        .flatten()
        .map(|(address, host)| {
            timeout(limit, async move {
                let stream = socket::connect(interface, SocketAddr::new(address, HTTP)).await?;
                let answer = http::get(stream, &host_header(&host, None), "/", "*/*").await?;
                debug!(%address, status = %answer.status(), "somebody answers on port 80");
                io::Result::Ok(judge(
                    address,
                    &host,
                    answer.status(),
                    answer.location().as_deref(),
                ))
            })
        })
        .collect();
    while let Some(answer) = asked.next().await {
        if let Ok(Ok(Some(page))) = answer {
            return Some(page);
        }
    }
    None
}

/// Whether an answer is a portal's, by the rules at the head of this file.
fn judge(address: IpAddr, host: &str, status: StatusCode, location: Option<&str>) -> Option<Page> {
    let site = format!("http://{}", host_header(host, None));
    let target = location.and_then(|location| shown::redirection(&site, location));
    let page = target.as_ref().and_then(shown::address);
    let is_portal = if status == StatusCode::NETWORK_AUTHENTICATION_REQUIRED {
        true
    } else if address == IpAddr::V4(NOBODY) {
        status.is_success() || status.is_redirection()
    } else {
        let is_other = |target: &str| {
            let target = target.trim_matches(['[', ']']);
            !target.eq_ignore_ascii_case(host) && target.parse() != Ok(address)
        };
        status.is_redirection() && target.as_ref().and_then(Uri::host).is_some_and(is_other)
    };
    is_portal.then_some(page)
}

/// RFC 9110 section 7.2: an IPv6 address is in brackets.
fn host_header(host: &str, port: Option<u16>) -> String {
    let host = if host.contains(':') {
        format!("[{host}]")
    } else {
        host.to_owned()
    };
    port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const INGEST: IpAddr = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10));

    fn judged(address: IpAddr, status: u16, location: Option<&str>) -> Option<Page> {
        judge(
            address,
            "ingest.example",
            StatusCode::from_u16(status).unwrap(),
            location,
        )
    }

    #[test]
    fn whoever_answers_for_nobody_stands_on_the_way_unless_it_is_an_error_of_a_gateway() {
        let nobody = NOBODY.into();
        let url = "http://portal.example/";
        assert_eq!(judged(nobody, 302, Some(url)), Some(Some(url.to_owned())));
        assert_eq!(judged(nobody, 302, None), Some(None));
        assert_eq!(judged(nobody, 200, None), Some(None));
        assert_eq!(judged(nobody, 511, None), Some(None));
        for error in [400, 403, 404, 407, 502, 503, 504] {
            assert_eq!(judged(nobody, error, None), None, "{error}");
        }
    }

    #[test]
    fn the_true_server_may_have_a_page_and_send_to_itself_but_not_elsewhere() {
        assert_eq!(judged(INGEST, 200, None), None);
        assert_eq!(judged(INGEST, 404, None), None);
        for own in [
            "https://INGEST.example/",
            "/login",
            "https://203.0.113.10/",
            "nonsense",
        ] {
            assert_eq!(judged(INGEST, 301, Some(own)), None, "{own}");
        }
        assert_eq!(judged(INGEST, 511, None), Some(None));
        let url = "https://portal.example/login";
        assert_eq!(judged(INGEST, 307, Some(url)), Some(Some(url.to_owned())));
    }
}

//! Which requests are listened to: those for a name of ours, and changes only from our own page.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::timeout;

use super::Site;

/// No form of ours is longer.
const BODY_LIMIT: usize = 4096;
/// The time for sending it.
const BODY_TIME: Duration = Duration::from_secs(5);

/// What the page may do in a browser: show itself, with its own style and script, and speak to us.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // Not "no-referrer": with it browsers hide the origin of our own forms from us.
    (header::REFERRER_POLICY, "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
];

const NOT_OURS: &str =
    "this is not a name of this computer: open http://spotstream.local, or its address in numbers\n";
const NOT_FROM_US: &str =
    "this did not come from the status page itself: open the page, and press the button there\n";
const TOO_LONG: &str = "the form is longer than any of this page, or was broken off\n";
const TOO_SLOW: &str = "the form took too long to arrive: try again\n";

/// Lets through what is for us, and adds the headers that keep a browser strict.
pub(super) async fn guard(State(site): State<Site>, request: Request, next: Next) -> Response {
    let headers = request.headers();
    let host = host(
        request.uri().authority().map(|authority| authority.as_str()),
        headers,
    );
    let mut response = match host {
        Some(host) if is_ours(host, &site.names) => {
            let changes = !matches!(*request.method(), Method::GET | Method::HEAD);
            if changes && !is_from_us(host, headers) {
                (StatusCode::FORBIDDEN, NOT_FROM_US).into_response()
            } else {
                match whole(request).await {
                    Ok(request) => next.run(request).await,
                    Err(refusal) => refusal.into_response(),
                }
            }
        }
        _ => (StatusCode::MISDIRECTED_REQUEST, NOT_OURS).into_response(),
    };
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The request with all of its body, which is short and comes at once.
async fn whole(request: Request) -> Result<Request, (StatusCode, &'static str)> {
    let (head, body) = request.into_parts();
    match timeout(BODY_TIME, to_bytes(body, BODY_LIMIT)).await {
        Ok(Ok(body)) => Ok(Request::from_parts(head, Body::from(body))),
        Ok(Err(_)) => Err((StatusCode::PAYLOAD_TOO_LARGE, TOO_LONG)),
        Err(_) => Err((StatusCode::REQUEST_TIMEOUT, TOO_SLOW)),
    }
}

/// The host and port that the client wants, when it names exactly one.
fn host<'r>(authority: Option<&'r str>, headers: &'r HeaderMap) -> Option<&'r str> {
    let mut named = headers.get_all(header::HOST).iter();
    let host = named.next()?.to_str().ok()?;
    let is_one = named.next().is_none() && authority.is_none_or(|authority| authority == host);
    is_one.then_some(host)
}

/// Whether a host is this computer. A page of somebody else's can have its own name lead to us (DNS rebinding), but not
/// an address in numbers: that one is its own origin.
fn is_ours(host: &str, names: &[String]) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map_or(rest, |(address, _)| address),
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    name.parse::<IpAddr>().is_ok() || names.iter().any(|ours| ours.eq_ignore_ascii_case(name))
}

/// Whether a change was asked for by our own page. Every browser says so of a form.
fn is_from_us(host: &str, headers: &HeaderMap) -> bool {
    let one = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let origin = one(header::ORIGIN).and_then(|origin| origin.strip_prefix("http://"));
    let site = one(HeaderName::from_static("sec-fetch-site"));
    origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host))
        && site.is_none_or(|site| site == "same-origin")
}

/// The names of this computer.
pub(super) fn names(hostname: Option<String>) -> Vec<String> {
    let mut names = vec!["spotstream.local".to_owned(), "localhost".to_owned()];
    if let Some(name) = hostname.filter(|name| !name.is_empty()) {
        names.push(format!("{name}.local"));
        names.push(name);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_names_and_addresses_in_numbers_are_ours_and_nothing_else() {
        let names = names(Some("Box7".to_owned()));
        for ours in [
            "spotstream.local",
            "SPOTSTREAM.local:80",
            "spotstream.local.",
            "box7",
            "box7.local:8080",
            "localhost:8080",
            "192.168.50.21",
            "10.0.0.1:80",
            "[fe80::1]",
            "[2001:db8::1]:80",
        ] {
            assert!(is_ours(ours, &names), "{ours}");
        }
        for other in [
            "",
            ":80",
            "evil.example",
            "spotstream.local.evil.example",
            "spotstream.localx",
            "192.168.50.21.evil.example",
            "box7.evil.example",
            "[evil.example]",
            "http://spotstream.local",
            "user@spotstream.local",
        ] {
            assert!(!is_ours(other, &names), "{other}");
        }
    }

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn a_change_is_taken_only_from_our_own_page() {
        let host = "spotstream.local";
        let from_us = |pairs: &[_]| is_from_us(host, &headers(pairs));
        assert!(from_us(&[("origin", "http://spotstream.local")]));
        assert!(from_us(&[
            ("origin", "http://spotstream.local"),
            ("sec-fetch-site", "same-origin")
        ]));
        for others in [
            &[][..],
            &[("origin", "null")],
            &[("origin", "http://evil.example")],
            &[("origin", "http://spotstream.local:8080")],
            &[("origin", "https://spotstream.local")],
            &[
                ("origin", "http://spotstream.local"),
                ("sec-fetch-site", "cross-site"),
            ],
        ] {
            assert!(!from_us(others), "{others:?}");
        }
    }

    #[test]
    fn a_request_for_two_hosts_is_for_none() {
        let mut two = headers(&[("host", "spotstream.local")]);
        assert_eq!(host(None, &two), Some("spotstream.local"));
        assert_eq!(host(Some("evil.example"), &two), None);
        two.append("host", HeaderValue::from_static("evil.example"));
        assert_eq!(host(None, &two), None);
        assert_eq!(host(None, &HeaderMap::new()), None);
    }
}

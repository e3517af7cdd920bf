//! Addresses of web pages as a person is shown them. They come from strangers.

use hyper::Uri;

/// The longest address that fits a status page and a log line, in characters.
const LONGEST: usize = 200;

/// The address of a web page, printable and without user information; what is too long loses its query, then its path.
///
/// `None` when it is no address of a web page.
pub(super) fn address(uri: &Uri) -> Option<String> {
    let scheme = uri
        .scheme_str()
        .filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let host = uri.host().filter(|host| !host.is_empty())?;
    let port = uri.port_u16().map_or_else(String::new, |port| format!(":{port}"));
    let site = format!("{scheme}://{host}{port}");
    let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
    let path = uri.path();
    [
        format!("{site}{path}{query}"),
        format!("{site}{path}"),
        format!("{site}/"),
    ]
    .into_iter()
    .find(|shown| shown.len() <= LONGEST && shown.bytes().all(|byte| byte.is_ascii_graphic()))
}

/// Where a redirection leads that `site` ("http://host") has answered with. `None` when it is no web page.
pub(super) fn redirection(site: &str, location: &str) -> Option<Uri> {
    let location = location.trim();
    let whole = if location.starts_with("//") {
        format!("http:{location}")
    } else if location.starts_with('/') {
        format!("{site}{location}")
    } else {
        location.to_owned()
    };
    let uri: Uri = whole.parse().ok()?;
    (matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()).then_some(uri)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(location: &str) -> Option<String> {
        address(&redirection("http://192.0.2.1", location)?)
    }

    #[test]
    fn an_address_is_shown_without_user_information_and_never_longer_than_a_line() {
        let kept = |same: &str| assert_eq!(shown(same).as_deref(), Some(same));
        kept("https://portal.example/login?next=http%3A%2F%2Fa");
        kept("http://[2001:db8::1]:8080/");
        let is = |location: &str, wanted: Option<&str>| {
            assert_eq!(shown(location).as_deref(), wanted, "{location}")
        };
        is("http://me:secret@portal.example/", Some("http://portal.example/"));
        is("/login", Some("http://192.0.2.1/login"));
        is("//portal.example/x", Some("http://portal.example/x"));
        is("HTTPS://portal.example", Some("https://portal.example/"));
        let long = "x".repeat(200);
        is(&format!("http://p.example/a?{long}"), Some("http://p.example/a"));
        is(&format!("http://p.example/{long}"), Some("http://p.example/"));
        is("http://p.example/\u{1b}[2J", None);
        is("http://p.example/<\u{202e}>", None);
        for none in [
            "",
            "login",
            "javascript:alert(1)",
            "file:///etc/passwd",
            "http://",
            "urn:ietf:params:capport:unrestricted",
        ] {
            is(none, None);
        }
    }

    proptest! {
        #[test]
        fn whatever_is_shown_is_short_and_printable(location in "(https?://)?[\\PC\\x00-\\x20:@/?#\\[\\]]{0,300}") {
            if let Some(shown) = shown(&location) {
                prop_assert!(shown.len() <= 200 && shown.bytes().all(|byte| byte.is_ascii_graphic()), "{}", shown);
                let site = shown.split('/').nth(2).unwrap();
                prop_assert!(!site.contains('@'), "{}", shown);
            }
        }
    }
}

//! Where to publish: addresses of servers, and Twitch's list of its own.

use std::time::Duration;

use serde::Deserialize;

use crate::secret::Secret;

/// Where Twitch's list is: a GET without authorization.
pub const LIST_HOST: &str = "ingest.twitch.tv";
/// The path of the list on [`LIST_HOST`].
pub const LIST_PATH: &str = "/ingests";

/// What stands for the stream key in an address of the list.
const KEY_PLACEHOLDER: &str = "/{stream_key}";

/// A server and one application on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// What people call it: "US East: Chicago, IL (2)". The host when it has no name.
    pub name: String,
    /// RTMPS instead of RTMP.
    pub tls: bool,
    /// Host name or address, an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The application, without slashes at its ends: `app`, `live2`, `x/y`.
    pub app: String,
}

/// A server and the key of the stream that is published there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// What people call the server.
    pub name: String,
    /// RTMPS instead of RTMP.
    pub tls: bool,
    /// Host name or address, an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The application.
    pub app: String,
    /// The stream key, with its parameters if it has any.
    pub key: Secret,
}

/// Why an address cannot be published to. The address itself may hold the stream key, so it is not shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Neither rtmp nor rtmps.
    #[error("failed to read the server's address: it must begin with rtmp:// or rtmps://")]
    Scheme,
    /// A name and password before an @.
    #[error("failed to read the server's address: a user name or password in it is not supported")]
    UserInformation,
    /// No host, or one with letters that hosts do not have.
    #[error("failed to read the server's address: there is no valid host name after the ://")]
    Host,
    /// A port that is none.
    #[error("failed to read the server's address: the port must be a number from 1 to 65535")]
    Port,
    /// No path.
    #[error("failed to read the server's address: the application is missing, as in rtmp://host/app")]
    App,
    /// White space or control characters.
    #[error("failed to read the server's address: it has a space or a control character in it")]
    Character,
    /// Neither in the settings nor in the address.
    #[error("failed to find a stream key")]
    NoKey,
    /// White space or control characters in the key.
    #[error("failed to use the stream key: it has a space or a control character in it")]
    KeyCharacter,
}

impl UrlError {
    /// A stable word for metrics and status.
    pub fn kind(self) -> &'static str {
        match self {
            Self::NoKey | Self::KeyCharacter => "stream-key",
            Self::Scheme | Self::UserInformation | Self::Host | Self::Port | Self::App | Self::Character => {
                "ingest-address"
            }
        }
    }

    /// A wrong address stays wrong until a person changes it.
    pub fn is_retryable(self) -> bool {
        false
    }
}

impl Server {
    /// Reads `rtmp[s]://host[:port]/app`; a placeholder for the key at its end is cut.
    ///
    /// # Errors
    /// With the part that is wrong.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let url = url.trim();
        if url.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(UrlError::Character);
        }
        let (scheme, rest) = url.split_once("://").ok_or(UrlError::Scheme)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "rtmp" => false,
            "rtmps" => true,
            _ => return Err(UrlError::Scheme),
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = host_and_port(authority, if tls { 443 } else { 1935 })?;
        let path = format!("/{path}");
        let app = path
            .strip_suffix(KEY_PLACEHOLDER)
            .unwrap_or(&path)
            .trim_matches('/')
            .to_owned();
        if app.is_empty() {
            return Err(UrlError::App);
        }
        Ok(Self {
            name: host.clone(),
            tls,
            host,
            port,
            app,
        })
    }

    /// One of Twitch's hosts.
    pub fn of_twitch(host: &str, tls: bool) -> Self {
        Self {
            name: host.to_owned(),
            tls,
            host: host.to_owned(),
            port: if tls { 443 } else { 1935 },
            app: "app".to_owned(),
        }
    }

    /// This server with a stream key.
    ///
    /// # Errors
    /// When the key is empty, or has white space in it.
    pub fn target(&self, key: &Secret) -> Result<Target, UrlError> {
        if key.is_empty() {
            return Err(UrlError::NoKey);
        }
        if key
            .reveal()
            .contains(|c: char| c.is_whitespace() || c.is_control())
        {
            return Err(UrlError::KeyCharacter);
        }
        let Self {
            name,
            tls,
            host,
            port,
            app,
        } = self.clone();
        Ok(Target {
            name,
            tls,
            host,
            port,
            app,
            key: key.clone(),
        })
    }
}

impl Target {
    /// Reads an address and a key. When `key` is empty, the last part of the address is the key.
    ///
    /// # Errors
    /// With the part that is wrong.
    pub fn parse(url: &str, key: &Secret) -> Result<Self, UrlError> {
        if !key.is_empty() {
            return Server::parse(url)?.target(key);
        }
        let server = Server::parse(url)?;
        let (app, last) = server.app.rsplit_once('/').ok_or(UrlError::NoKey)?;
        Server {
            app: app.to_owned(),
            ..server.clone()
        }
        .target(&Secret::new(last))
    }

    /// The same, but Twitch tells nobody that the channel is live and shows the figures in its Inspector.
    #[must_use]
    pub fn with_bandwidth_test(self) -> Self {
        let separator = if self.key.reveal().contains('?') { '&' } else { '?' };
        let key = Secret::new(&format!("{}{separator}bandwidthtest=true", self.key.reveal()));
        Self { key, ..self }
    }

    /// The address that `connect` carries: without the key.
    pub fn tc_url(&self) -> String {
        let (scheme, usual) = if self.tls { ("rtmps", 443) } else { ("rtmp", 1935) };
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        let port = if self.port == usual {
            String::new()
        } else {
            format!(":{}", self.port)
        };
        format!("{scheme}://{host}{port}/{}", self.app)
    }
}

fn host_and_port(authority: &str, usual: u16) -> Result<(String, u16), UrlError> {
    if authority.contains('@') {
        return Err(UrlError::UserInformation);
    }
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']').ok_or(UrlError::Host)?;
            address
                .parse::<std::net::Ipv6Addr>()
                .map_err(|_| UrlError::Host)?;
            (address, port)
        }
        None => {
            let end = authority.find(':').unwrap_or(authority.len());
            let (host, port) = authority.split_at(end);
            let valid = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            if host.is_empty() || !host.chars().all(valid) {
                return Err(UrlError::Host);
            }
            (host, port)
        }
    };
    let port = match port.strip_prefix(':') {
        None if port.is_empty() => usual,
        None => return Err(UrlError::Port),
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or(UrlError::Port)?,
    };
    Ok((host.to_ascii_lowercase(), port))
}

/// Why a list of servers is of no use.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// It is not the JSON that Twitch documents.
    #[error("failed to read the list of servers")]
    Json(#[from] serde_json::Error),
    /// Nothing in it can be used.
    #[error("failed to find a usable server in the list")]
    Empty,
}

impl ListError {
    /// A stable word for metrics and status.
    pub fn kind(&self) -> &'static str {
        "ingest-list"
    }

    /// Another try may bring another list.
    pub fn is_retryable(&self) -> bool {
        true
    }
}

#[derive(Deserialize)]
struct List {
    ingests: Vec<serde_json::Value>,
}

/// The usable servers of Twitch's list, in its order, which is by proximity.
///
/// An entry that is not understood is skipped, not an error: the list has grown fields before. So are servers with
/// availability 0 and those that Twitch calls deprecated, one way or the other.
///
/// # Errors
/// When it is no such list, or nothing in it can be used.
pub fn parse_list(json: &[u8], tls: bool) -> Result<Vec<Server>, ListError> {
    let list: List = serde_json::from_slice(json)?;
    let servers: Vec<_> = list
        .ingests
        .iter()
        .filter_map(|entry| usable(entry, tls))
        .collect();
    if servers.is_empty() {
        Err(ListError::Empty)
    } else {
        Ok(servers)
    }
}

fn usable(entry: &serde_json::Value, tls: bool) -> Option<Server> {
    let text = |name: &str| entry.get(name).and_then(serde_json::Value::as_str);
    let name = text("name")?;
    let lower = name.to_lowercase();
    // The second spelling is Twitch's.
    if lower.contains("deprecated") || lower.contains("depracated") {
        return None;
    }
    if entry.get("availability").and_then(serde_json::Value::as_f64) == Some(0.0) {
        return None;
    }
    let url = text(if tls {
        "url_template_secure"
    } else {
        "url_template"
    })?;
    let server = Server::parse(url).ok().filter(|server| server.tls == tls)?;
    Some(Server {
        name: name.to_owned(),
        ..server
    })
}

/// The servers by the time that a connection to them took, the ones that did not answer last.
///
/// Between equals the list's own order holds. Times are given in the order of the servers.
pub fn by_connect_time(servers: Vec<Server>, times: &[Option<Duration>]) -> Vec<Server> {
    let times = times.iter().copied().chain(std::iter::repeat(None));
    let mut timed: Vec<_> = servers.into_iter().zip(times).collect();
    timed.sort_by_key(|(_, time)| time.unwrap_or(Duration::MAX));
    timed.into_iter().map(|(server, _)| server).collect()
}

/// Servers for the day on which Twitch's list cannot be had and never was: hosts that have been in it for years,
/// spread over the world, behind the one that Twitch routes itself.
pub fn fallback(tls: bool) -> Vec<Server> {
    let server = |(host, name): &(&str, &str)| Server {
        name: (*name).to_owned(),
        ..Server::of_twitch(&format!("{host}contribute.live-video.net"), tls)
    };
    FALLBACK.iter().map(server).collect()
}

const FALLBACK: &[(&str, &str)] = &[
    ("ingest.global-", "Default"),
    ("ord02.", "US East: Chicago, IL (2)"),
    ("ord03.", "US East: Chicago, IL (3)"),
    ("dfw.", "US Central: Dallas, TX"),
    ("den.", "US Central: Denver, CO"),
    ("iad03.", "US East: Ashburn, VA (3)"),
    ("iad05.", "US East: Ashburn, VA (5)"),
    ("jfk.", "US East: New York, NY"),
    ("atl.", "US East: Atlanta, GA"),
    ("sea.", "US West: Seattle, WA"),
    ("pdx.", "US West: Portland, OR"),
    ("sfo.", "US West: San Francisco, CA"),
    ("lax.", "US West: Los Angeles, CA"),
    ("phx.", "US West: Phoenix, AZ"),
    ("yto.", "NA: Canada, Toronto"),
    ("qro03.", "NA: Mexico, Queretaro (3)"),
    ("sao03.", "South America: Brazil, Sao Paulo"),
    ("scl01.", "South America: Chile, Santiago (1)"),
    ("lhr03.", "Europe: UK, London (3)"),
    ("cdg10.", "Europe: France, Paris (10)"),
    ("fra05.", "Europe: Germany, Frankfurt (5)"),
    ("ams03.", "Europe: Netherlands, Amsterdam (3)"),
    ("mad02.", "Europe: Spain, Madrid"),
    ("mil02.", "Europe: Italy, Milan (2)"),
    ("vie02.", "Europe: Austria, Vienna (2)"),
    ("waw.", "Europe: Poland, Warsaw"),
    ("arn04.", "Europe: Sweden, Stockholm (4)"),
    ("hel03.", "Europe: Finland, Helsinki (3)"),
    ("bom01.", "Asia: India, Mumbai"),
    ("sin04.", "Asia: Singapore (4)"),
    ("hkg06.", "Asia: China, Hong Kong (6)"),
    ("tpe03.", "Asia: Taiwan, Taipei (3)"),
    ("sel04.", "Asia: South Korea, Seoul (4)"),
    ("tyo05.", "Asia: Japan, Tokyo (5)"),
    ("syd03.", "Oceania: Australia, Sydney (3)"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_address_is_read_with_its_usual_port() {
        let key = Secret::new("k");
        for (url, tls, host, port, app, tc_url) in [
            (
                "rtmp://Live.Example/app",
                false,
                "live.example",
                1935,
                "app",
                "rtmp://live.example/app",
            ),
            (
                "rtmps://live.example/app/",
                true,
                "live.example",
                443,
                "app",
                "rtmps://live.example/app",
            ),
            (
                "rtmp://10.0.0.1:1936/a/b",
                false,
                "10.0.0.1",
                1936,
                "a/b",
                "rtmp://10.0.0.1:1936/a/b",
            ),
            (
                "rtmps://[2001:db8::1]:1/app",
                true,
                "2001:db8::1",
                1,
                "app",
                "rtmps://[2001:db8::1]:1/app",
            ),
            (
                " rtmp://h/app/{stream_key}\n",
                false,
                "h",
                1935,
                "app",
                "rtmp://h/app",
            ),
            (
                "rtmp://h/live2?backup=1",
                false,
                "h",
                1935,
                "live2?backup=1",
                "rtmp://h/live2?backup=1",
            ),
        ] {
            let target = Target::parse(url, &key).unwrap();
            let read = (target.tls, target.host.as_str(), target.port, target.app.as_str());
            assert_eq!(read, (tls, host, port, app), "{url}");
            assert_eq!(target.tc_url(), tc_url);
            assert_eq!(target.key, key);
        }
    }

    #[test]
    fn without_a_key_the_last_part_of_the_address_is_the_key() {
        let target = Target::parse("rtmp://h/live/room?token=1", &Secret::new("")).unwrap();
        assert_eq!(
            (target.app.as_str(), target.key.reveal()),
            ("live", "room?token=1")
        );
        assert_eq!(
            Target::parse("rtmp://h/live", &Secret::new("")),
            Err(UrlError::NoKey)
        );
    }

    #[test]
    fn what_is_wrong_with_an_address_is_named_and_the_address_is_not_shown() {
        for (url, key, error) in [
            ("http://h/live_1", "k", UrlError::Scheme),
            ("h/live_1", "k", UrlError::Scheme),
            ("rtmp:///live_1", "k", UrlError::Host),
            ("rtmp://h%20h/live_1", "k", UrlError::Host),
            ("rtmp://[::1/live_1", "k", UrlError::Host),
            ("rtmp://h:0/live_1", "k", UrlError::Port),
            ("rtmp://h:/live_1", "k", UrlError::Port),
            ("rtmp://[::1]x/live_1", "k", UrlError::Port),
            ("rtmp://h:99999/live_1", "k", UrlError::Port),
            ("rtmp://user:live_1@h/app", "k", UrlError::UserInformation),
            ("rtmp://h", "live_1", UrlError::App),
            ("rtmp://h/{stream_key}", "live_1", UrlError::App),
            ("rtmp://h/a pp", "live_1", UrlError::Character),
            ("rtmp://h/app", "live _1", UrlError::KeyCharacter),
        ] {
            let result = Target::parse(url, &Secret::new(key));
            assert_eq!(result, Err(error), "{url}");
            assert!(!error.to_string().contains("live_1"));
        }
    }

    #[test]
    fn a_bandwidth_test_is_asked_for_in_the_key() {
        let target = |key| {
            Target::parse("rtmp://h/app", &Secret::new(key))
                .unwrap()
                .with_bandwidth_test()
        };
        assert_eq!(target("live_1").key.reveal(), "live_1?bandwidthtest=true");
        assert_eq!(target("live_1?a=b").key.reveal(), "live_1?a=b&bandwidthtest=true");
    }

    const LIST: &str = r#"{"ingests": [
        {"_id": 1, "availability": 1.0, "default": false, "name": "US East: Chicago, IL (2)", "priority": 1,
         "url_template": "rtmp://ord02.contribute.live-video.net/app/{stream_key}",
         "url_template_secure": "rtmps://ord02.contribute.live-video.net/app/{stream_key}"},
        {"_id": 2, "availability": 0.0, "name": "Down", "url_template": "rtmp://down.example/app/{stream_key}"},
        {"_id": 3, "availability": 1, "name": "Old (Depracated)", "url_template": "rtmp://old.example/app"},
        {"_id": 4, "availability": 1, "name": "Old (deprecated)", "url_template": "rtmp://old.example/app"},
        {"_id": 5, "name": "Says nothing of its availability", "url_template": "rtmp://new.example/app/{stream_key}",
         "a_field_of_the_future": [1]},
        {"_id": 6, "name": "No address"},
        "not even an object",
        {"_id": 7, "name": "Bad address", "url_template": "https://x/app"}
    ]}"#;

    #[test]
    fn the_usable_servers_of_a_list_are_found_and_the_rest_is_skipped() {
        let hosts = |tls| -> Vec<_> {
            parse_list(LIST.as_bytes(), tls)
                .unwrap()
                .into_iter()
                .map(|s| (s.name, s.host, s.port))
                .collect()
        };
        let chicago = |port| {
            (
                "US East: Chicago, IL (2)".to_owned(),
                "ord02.contribute.live-video.net".to_owned(),
                port,
            )
        };
        let new = (
            "Says nothing of its availability".to_owned(),
            "new.example".to_owned(),
            1935,
        );
        assert_eq!(hosts(false), [chicago(1935), new]);
        assert_eq!(hosts(true), [chicago(443)]);
    }

    #[test]
    fn a_list_without_a_usable_server_is_refused() {
        assert!(matches!(
            parse_list(br#"{"ingests": []}"#, true),
            Err(ListError::Empty)
        ));
        assert!(matches!(parse_list(b"<html>", true), Err(ListError::Json(_))));
    }

    #[test]
    fn servers_are_ordered_by_connect_time_and_the_silent_ones_come_last() {
        let servers = fallback(true);
        let names: Vec<_> = servers.iter().take(4).map(|server| server.host.clone()).collect();
        let ms = |ms| Some(Duration::from_millis(ms));
        let times = [ms(30), None, ms(10)];
        let ordered = by_connect_time(servers.into_iter().take(4).collect(), &times);
        let ordered: Vec<_> = ordered.into_iter().map(|server| server.host).collect();
        assert_eq!(ordered, [2, 0, 1, 3].map(|index: usize| names[index].clone()));
    }

    #[test]
    fn the_fallback_has_two_servers_in_chicago_and_one_in_dallas() {
        for tls in [false, true] {
            let servers = fallback(tls);
            for host in ["ord02", "ord03", "dfw"] {
                let host = format!("{host}.contribute.live-video.net");
                assert_eq!(
                    servers
                        .iter()
                        .filter(|server| server.host == host && server.tls == tls)
                        .count(),
                    1
                );
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_address_or_an_error(text: String) {
            let _ = Target::parse(&text, &Secret::new(""));
            let _ = parse_list(text.as_bytes(), true);
        }

        #[test]
        fn an_address_survives_being_written(host in "[a-z][a-z0-9.-]{0,20}", port in 1..=u16::MAX, app in "[a-z]{1,8}(/[a-z0-9]{1,8})?", tls: bool) {
            let scheme = if tls { "rtmps" } else { "rtmp" };
            let target = Target::parse(&format!("{scheme}://{host}:{port}/{app}"), &Secret::new("k")).unwrap();
            prop_assert_eq!(&Target::parse(&target.tc_url(), &Secret::new("k")).unwrap(), &target);
            prop_assert_eq!((target.host, target.port, target.app), (host, port, app));
        }
    }
}

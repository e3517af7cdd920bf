//! Enterprise networks: eduroam and its like.

use netsetup_core::profile::{Enterprise, Inner, Method, Server};
use spotstream_core::names::Host;
use spotstream_core::secret::Secret;
use spotstream_settings::checker::absolute;
use spotstream_settings::field::place as written_at;
use spotstream_settings::{Checker, Field};

use super::fragment;
use super::wifi::refuse;

const IDENTITY_HOW: &str =
    "write your name at your university or company: identity = \"student@example.edu\"";
const IDENTITY: (&str, &str) = (
    "a name of 1 to 253 printable characters",
    "\"student@example.edu\"",
);
const PASSWORD_HOW: &str = "write your password at your university or company: password = \"...\"";
const SERVER_HOW: &str = "write server_name = \"radius.example.edu\" or ca = \"/etc/spotstream/wifi-ca.pem\" (your IT department knows both): \
                          without a check of the server, anybody with a network of the same name is given your password";
const SERVER_NAME: (&str, &str) = ("the name of a server, or its end", "\"radius.example.edu\"");
const PATH: (&str, &str) = (
    "a path that begins with a slash",
    "\"/etc/spotstream/wifi-ca.pem\"",
);
const CERTIFICATE_HOW: &str =
    "method \"tls\" needs your certificate (PEM): certificate = \"/etc/spotstream/wifi.pem\"";
const KEY_HOW: &str =
    "method \"tls\" needs the key of your certificate (PEM): key = \"/etc/spotstream/wifi.key\"";
const KEY_PASSWORD_HOW: &str = "take the line away for a key without password";
const METHOD_WORDS: &[(&str, Word)] = &[("peap", Word::Peap), ("ttls", Word::Ttls), ("tls", Word::Tls)];
const INNER_WORDS: &[(&str, Inner)] = &[("mschapv2", Inner::Mschapv2), ("pap", Inner::Pap)];

#[derive(Clone, Copy)]
enum Word {
    Peap,
    Ttls,
    Tls,
}

/// Who we are there, and how the server proves itself.
pub(super) fn enterprise(checker: &mut Checker, from: &fragment::Wifi) -> Option<Enterprise> {
    let identity = identity(checker, from);
    let anonymous_identity = checker.text(
        "wifi.anonymous_identity",
        &from.anonymous_identity,
        IDENTITY,
        name,
    );
    let method = method(checker, from);
    let server = server(checker, from);
    Some(Enterprise {
        identity: identity?,
        anonymous_identity,
        method: method?,
        server: server?,
    })
}

fn identity(checker: &mut Checker, from: &fragment::Wifi) -> Option<String> {
    let at = checker.required("wifi.identity", &from.identity, IDENTITY_HOW)?;
    if !checker.not_empty("wifi.identity", at, IDENTITY_HOW) {
        return None;
    }
    let is_eduroam = matches!(&from.ssid, Field::Given(ssid) if ssid.value == "eduroam");
    if is_eduroam && !at.value.contains('@') {
        let sentence = "in eduroam a name ends with your university, like student@example.edu";
        checker.warn(&at.place, "wifi.identity", sentence);
    }
    checker.text("wifi.identity", &from.identity, IDENTITY, name)
}

fn name(text: &str) -> Option<String> {
    let fits = (1..=253).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    fits.then(|| text.to_owned())
}

fn method(checker: &mut Checker, from: &fragment::Wifi) -> Option<Method> {
    let inner = checker.choice_or("wifi.inner", &from.inner, INNER_WORDS, Inner::Mschapv2);
    let word = checker.choice_or("wifi.method", &from.method, METHOD_WORDS, Word::Peap)?;
    if let Word::Peap | Word::Ttls = word {
        let sentence = "it is for method \"tls\" only: take it away, or write method = \"tls\"";
        for (key, place) in [
            ("wifi.certificate", written_at(&from.certificate)),
            ("wifi.key", written_at(&from.key)),
            ("wifi.key_password", written_at(&from.key_password)),
        ] {
            refuse(checker, key, place, sentence);
        }
    }
    match word {
        Word::Peap => {
            if inner == Some(Inner::Pap) {
                let sentence =
                    "method \"peap\" goes with \"mschapv2\" only: take it away, or write method = \"ttls\"";
                refuse(checker, "wifi.inner", written_at(&from.inner), sentence);
            }
            let password = checker.secret("wifi.password", &from.password, PASSWORD_HOW)?;
            Some(Method::Peap { password })
        }
        Word::Ttls => {
            let password = checker.secret("wifi.password", &from.password, PASSWORD_HOW);
            Some(Method::Ttls {
                inner: inner?,
                password: password?,
            })
        }
        Word::Tls => tls(checker, from),
    }
}

fn tls(checker: &mut Checker, from: &fragment::Wifi) -> Option<Method> {
    let sentence = "with method \"tls\" the certificate is instead of it: take it away; what opens the key is key_password";
    refuse(checker, "wifi.password", written_at(&from.password), sentence);
    refuse(
        checker,
        "wifi.inner",
        written_at(&from.inner),
        "with method \"tls\" there is no inner method: take it away",
    );
    let _ = checker.required("wifi.certificate", &from.certificate, CERTIFICATE_HOW);
    let _ = checker.required("wifi.key", &from.key, KEY_HOW);
    let certificate = checker.text("wifi.certificate", &from.certificate, PATH, path);
    let key = checker.text("wifi.key", &from.key, PATH, path);
    let key_password = if from.key_password.is_written() {
        checker.secret("wifi.key_password", &from.key_password, KEY_PASSWORD_HOW)
    } else {
        Some(Secret::new(""))
    };
    Some(Method::Tls {
        certificate: certificate?,
        key: key?,
        key_password: key_password?,
    })
}

fn server(checker: &mut Checker, from: &fragment::Wifi) -> Option<Server> {
    let ca = checker.text("wifi.ca", &from.ca, PATH, path);
    let name = checker.text("wifi.server_name", &from.server_name, SERVER_NAME, |text| {
        Host::parse(text).map(|host| host.as_str().to_owned())
    });
    if !from.ca.is_written() && !from.server_name.is_written() {
        checker.missing("wifi.server_name", SERVER_HOW);
        return None;
    }
    if let Field::Given(at) = &from.ca
        && !from.server_name.is_written()
    {
        let sentence = "everybody with a certificate of this authority is trusted; write server_name too, unless it is your university's own";
        checker.warn(&at.place, "wifi.ca", sentence);
    }
    Some(Server { ca, name })
}

fn path(text: &str) -> Option<String> {
    absolute(text).map(|_| text.to_owned())
}

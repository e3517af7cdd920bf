//! Who may steer by the page, and who may log in.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use spotstream_core::secret::Secret;
use spotstream_settings::{Checker, Field, Kind};

use super::fragment;

/// A password that is shorter is guessed; a longer one is no password.
const LETTERS: std::ops::RangeInclusive<usize> = 8..=128;
const PASSWORD: Kind = Kind::Malformed {
    expected: "a password of 8 to 128 characters (a few words of your own are best)",
    example: "\"...\"",
};
const KEY: Kind = Kind::Malformed {
    expected: "a list of public keys, each the whole line of a file that ends in .pub",
    example: "[\"ssh-ed25519 AAAA... name@computer\"]",
};
const PRIVATE_KEY: Kind = Kind::Conflict {
    sentence: "this is a private key, which belongs on your own computer alone: write the line of the file that ends \
               in .pub, and make a new pair of keys if this file has been seen by others",
};

/// The kinds of public keys (RFC 4253, RFC 5656, RFC 8709, OpenSSH's `PROTOCOL.u2f`), and of how many parts each is.
const KINDS: [(&str, usize); 7] = [
    ("ssh-ed25519", 2),
    ("ssh-rsa", 3),
    ("ecdsa-sha2-nistp256", 3),
    ("ecdsa-sha2-nistp384", 3),
    ("ecdsa-sha2-nistp521", 3),
    ("sk-ssh-ed25519@openssh.com", 3),
    ("sk-ecdsa-sha2-nistp256@openssh.com", 4),
];

/// The page that tells how the stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusPage {
    /// Who knows it may steer; without one nobody may.
    pub password: Option<Secret>,
}

/// Help from afar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssh {
    /// Who may log in; without a key nobody may.
    pub authorized_keys: Vec<AuthorizedKey>,
}

/// One line of `authorized_keys`: kind, key, and the comment if there is one. It has no options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedKey(String);

impl AuthorizedKey {
    /// The key of a line, when it is one public key, whole and alone.
    pub fn parse(line: &str) -> Option<Self> {
        let line = line.trim();
        let mut words = line.split_whitespace();
        let (kind, key) = (words.next()?, words.next()?);
        let (_, parts) = KINDS.iter().find(|(name, _)| *name == kind)?;
        let key = STANDARD.decode(key).ok()?;
        let found = split(&key)?;
        let fits = found.len() == *parts
            && found.first() == Some(&kind.as_bytes())
            && found.iter().all(|part| !part.is_empty())
            && !line.chars().any(char::is_control);
        fits.then(|| Self(line.to_owned()))
    }
}

impl fmt::Display for AuthorizedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The parts of a key: each is preceded by its length in four bytes.
fn split(mut bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        parts.push(part);
        bytes = rest;
    }
    Some(parts)
}

pub(super) fn status_page(checker: &mut Checker, from: &fragment::StatusPage) -> Option<StatusPage> {
    let Field::Given(at) = &from.password else {
        return Some(StatusPage { password: None });
    };
    let how = "write a password of 8 characters at least, or take the line away";
    let password = checker.secret("status.password", &from.password, how)?;
    if !LETTERS.contains(&password.reveal().chars().count()) {
        checker.problem(&at.place, "status.password", PASSWORD);
        return None;
    }
    Some(StatusPage {
        password: Some(password),
    })
}

pub(super) fn ssh(checker: &mut Checker, from: &fragment::Ssh) -> Option<Ssh> {
    let Field::Given(at) = &from.authorized_keys else {
        return Some(Ssh {
            authorized_keys: Vec::new(),
        });
    };
    let keys: Option<Vec<_>> = at.value.iter().map(|line| AuthorizedKey::parse(line)).collect();
    if keys.is_none() {
        let is_private = at.value.iter().any(|line| line.contains("PRIVATE KEY"));
        let kind = if is_private { PRIVATE_KEY } else { KEY };
        checker.problem(&at.place, "ssh.authorized_keys", kind);
    }
    Some(Ssh {
        authorized_keys: keys?,
    })
}

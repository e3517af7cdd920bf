//! The sections of a session description (RFC 8866 section 5) and what each of them says of its payload types.

use std::collections::BTreeMap;

pub(super) struct Section<'a> {
    pub(super) media: &'a str,
    pub(super) port: u16,
    pub(super) formats: Vec<u8>,
    pub(super) lines: Vec<&'a str>,
}

/// The lines before the first `m=`, and the sections from there on, each with its `m=` line first.
pub(super) fn split(sdp: &str) -> (Vec<&str>, Vec<Section<'_>>) {
    let mut session = Vec::new();
    let mut sections: Vec<Section<'_>> = Vec::new();
    for line in sdp.lines().map(str::trim).filter(|line| !line.is_empty()) {
        if let Some(value) = line.strip_prefix("m=") {
            let mut words = value.split_ascii_whitespace();
            let media = words.next().unwrap_or_default();
            let port = words
                .next()
                .and_then(|port| port.split('/').next()?.parse().ok())
                .unwrap_or(0);
            let formats = words.skip(1).filter_map(|word| word.parse().ok()).collect();
            sections.push(Section {
                media,
                port,
                formats,
                lines: vec![line],
            });
        } else if let Some(section) = sections.last_mut() {
            section.lines.push(line);
        } else {
            session.push(line);
        }
    }
    (session, sections)
}

pub(super) fn direction<'a>(lines: &[&'a str]) -> Option<&'a str> {
    lines
        .iter()
        .filter_map(|line| line.strip_prefix("a="))
        .find(|value| matches!(*value, "sendrecv" | "sendonly" | "recvonly" | "inactive"))
}

/// The values of `a=<name>:<payload type> <value>`, by payload type; `*` stands for every one (RFC 4585 section 4.2).
pub(super) fn by_payload_type<'a>(section: &Section<'a>, name: &str) -> Vec<(Option<u8>, &'a str)> {
    section
        .lines
        .iter()
        .filter_map(|line| line.strip_prefix("a=")?.strip_prefix(name)?.strip_prefix(':'))
        .filter_map(|value| value.trim_start().split_once(' '))
        .filter_map(|(key, value)| match key {
            "*" => Some((None, value.trim())),
            _ => key
                .parse()
                .ok()
                .map(|payload_type| (Some(payload_type), value.trim())),
        })
        .collect()
}

pub(super) struct Mapping {
    pub(super) name: String,
    pub(super) parameters: String,
}

/// What each payload type of a section is, in the order of the `m=` line.
pub(super) fn mappings(section: &Section<'_>) -> Vec<(u8, Mapping)> {
    let names: BTreeMap<_, _> = by_payload_type(section, "rtpmap").into_iter().collect();
    let parameters: BTreeMap<_, _> = by_payload_type(section, "fmtp").into_iter().collect();
    section
        .formats
        .iter()
        .filter_map(|&payload_type| {
            // Static payload types need no rtpmap (RFC 3551 section 6).
            let name = match (names.get(&Some(payload_type)), payload_type) {
                (Some(name), _) => *name,
                (None, 0) => "PCMU/8000",
                (None, 8) => "PCMA/8000",
                (None, _) => return None,
            };
            let parameters = parameters
                .get(&Some(payload_type))
                .copied()
                .unwrap_or_default()
                .to_owned();
            Some((
                payload_type,
                Mapping {
                    name: name.to_ascii_lowercase(),
                    parameters,
                },
            ))
        })
        .collect()
}

/// The value of one format parameter: `name=value` between semicolons.
pub(super) fn parameter<'a>(parameters: &'a str, name: &str) -> Option<&'a str> {
    parameters
        .split(';')
        .filter_map(|item| item.trim().split_once('='))
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.trim())
}

pub(super) fn names(sections: &[&Section<'_>]) -> String {
    let mut names: Vec<String> = Vec::new();
    for (_, mapping) in sections.iter().flat_map(|section| mappings(section)) {
        let name = mapping
            .name
            .split('/')
            .next()
            .unwrap_or_default()
            .to_ascii_uppercase();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names.join(", ")
}

pub(super) fn prepare(session: &[&str], sections: &[Section<'_>]) -> String {
    let mut text = String::new();
    let mut put = |line: &str| {
        text.push_str(line);
        text.push_str("\r\n");
    };
    session.iter().for_each(|line| put(line));
    for (index, section) in sections.iter().enumerate() {
        section
            .lines
            .iter()
            .filter(|line| !is_useless_candidate(line))
            .for_each(|line| put(line));
        // The stack refuses a section without a name (RFC 8829 section 5.2.1 makes it optional for the offerer).
        if !section.lines.iter().any(|line| line.starts_with("a=mid:")) {
            put(&format!("a=mid:{index}"));
        }
        // Nor does it take an SSRC that is not declared, unless there is but one section. Packets are told apart by
        // payload type, so any number does.
        let is_media = matches!(section.media, "audio" | "video");
        if is_media && sections.len() > 1 && !section.lines.iter().any(|line| line.starts_with("a=ssrc:")) {
            put(&format!("a=ssrc:{} cname:undeclared", index + 1));
        }
    }
    text
}

/// `candidate:<foundation> <component> <transport> <priority> <address> <port> ..` (RFC 8839 section 5.1).
fn is_useless_candidate(line: &str) -> bool {
    let Some(value) = line.strip_prefix("a=candidate:") else {
        return false;
    };
    let words: Vec<&str> = value.split_ascii_whitespace().collect();
    let (Some(transport), Some(address)) = (words.get(2), words.get(4)) else {
        return true;
    };
    !transport.eq_ignore_ascii_case("udp") || address.parse::<std::net::IpAddr>().is_err()
}

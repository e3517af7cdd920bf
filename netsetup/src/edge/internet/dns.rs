//! Questions and answers of DNS (RFC 1035) as bytes: what is asked, and whether bytes are an answer to it.

use std::net::IpAddr;

use simple_dns::rdata::RData;
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, Question, RCODE, TYPE};

/// The longest answer that is read, in bytes, by TCP; UDP without EDNS has 512.
pub(super) const LONGEST: usize = 8192;
/// Bytes of a header.
const HEADER: usize = 12;
/// Bytes of the shortest record: a name, type, class, time to live and length.
const SHORTEST_RECORD: usize = 11;
/// How many aliases are followed.
const MOST_ALIASES: usize = 16;
/// How many addresses are taken from an answer.
const MOST_ADDRESSES: usize = 8;

/// Which addresses are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A records.
    V4,
    /// AAAA records.
    V6,
}

impl Kind {
    fn of_record(self) -> TYPE {
        match self {
            Self::V4 => TYPE::A,
            Self::V6 => TYPE::AAAA,
        }
    }
}

/// A question for a name's addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Query<'a> {
    /// Ours, at random.
    pub(super) id: u16,
    /// The name, without a dot at its end.
    pub(super) host: &'a str,
    /// Which addresses.
    pub(super) kind: Kind,
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The addresses; none when the name has none of this kind.
    Addresses(Vec<IpAddr>),
    /// No such name.
    NoSuchHost,
    /// It cannot tell, or will not.
    Refused,
    /// More than fits into UDP, and what did fit.
    Truncated(Vec<IpAddr>),
}

impl Query<'_> {
    /// The question as bytes; `None` when no name of DNS can be as the host's.
    pub(super) fn bytes(&self) -> Option<Vec<u8>> {
        let mut packet = Packet::new_query(self.id);
        packet.set_flags(PacketFlag::RECURSION_DESIRED);
        packet.questions.push(self.question()?);
        packet.build_bytes_vec().ok()
    }

    /// Reads the answer to this question. Bytes that are none are `None`: whoever sent them, it was not the server.
    pub(super) fn read(&self, bytes: &[u8]) -> Option<Answer> {
        if !counts_are_possible(bytes) {
            return None;
        }
        let packet = Packet::parse(bytes).ok()?;
        let wanted = self.question()?;
        let [asked] = packet.questions.as_slice() else {
            return None;
        };
        let is_answer = packet.has_flags(PacketFlag::RESPONSE)
            && packet.id() == self.id
            && asked.qname == wanted.qname
            && asked.qtype == wanted.qtype
            && asked.qclass == wanted.qclass;
        if !is_answer {
            return None;
        }
        let addresses = self.addresses(&packet, wanted.qname);
        let rcode = packet.rcode();
        Some(if rcode == RCODE::NameError {
            Answer::NoSuchHost
        } else if rcode != RCODE::NoError {
            Answer::Refused
        } else if packet.has_flags(PacketFlag::TRUNCATION) {
            Answer::Truncated(addresses)
        } else {
            Answer::Addresses(addresses)
        })
    }

    fn question(&self) -> Option<Question<'_>> {
        let name = Name::new(self.host)
            .ok()
            .filter(|name| !name.get_labels().is_empty())?;
        let (kind, class) = (QTYPE::TYPE(self.kind.of_record()), QCLASS::CLASS(CLASS::IN));
        Some(Question::new(name, kind, class, false))
    }

    /// The addresses of `name` itself, or of what it is an alias of.
    fn addresses(&self, packet: &Packet<'_>, name: Name<'_>) -> Vec<IpAddr> {
        let mut name = name.into_owned();
        for _ in 0..MOST_ALIASES {
            let own = || packet.answers.iter().filter(|record| record.name == name);
            let addresses: Vec<_> = own()
                .filter(|record| record.class == CLASS::IN)
                .filter_map(|record| self.address(&record.rdata))
                .take(MOST_ADDRESSES)
                .collect();
            let alias = own().find_map(|record| alias(&record.rdata));
            match alias {
                Some(alias) if addresses.is_empty() => name = alias,
                _ => return addresses,
            }
        }
        Vec::new()
    }

    fn address(&self, data: &RData<'_>) -> Option<IpAddr> {
        if let (Kind::V4, RData::A(a)) = (self.kind, data) {
            Some(IpAddr::V4(a.address.into()))
        } else if let (Kind::V6, RData::AAAA(aaaa)) = (self.kind, data) {
            Some(IpAddr::V6(aaaa.address.into()))
        } else {
            None
        }
    }
}

fn alias(data: &RData<'_>) -> Option<Name<'static>> {
    if let RData::CNAME(alias) = data {
        Some(alias.0.clone().into_owned())
    } else {
        None
    }
}

/// Whether a header promises no more records than can be in these bytes: memory is set aside by its word.
fn counts_are_possible(bytes: &[u8]) -> bool {
    let Some([_, _, _, _, counts @ ..]) = bytes.first_chunk::<HEADER>() else {
        return false;
    };
    let records: usize = counts
        .chunks_exact(2)
        .map(|count| count.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)))
        .sum();
    // The question is shorter than a record by the time to live and the length.
    bytes.len() <= LONGEST && records <= 1 + bytes.len().saturating_sub(HEADER) / SHORTEST_RECORD
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use simple_dns::ResourceRecord;
    use simple_dns::rdata::{A, CNAME};

    const QUERY: Query<'static> = Query {
        id: 0x1234,
        host: "ingest.example",
        kind: Kind::V4,
    };

    fn reply(records: &[(&'static str, RData<'static>)]) -> Packet<'static> {
        let mut packet = Packet::new_reply(QUERY.id);
        packet.questions.push(QUERY.question().unwrap().into_owned());
        for (name, data) in records {
            let name = Name::new(name).unwrap();
            packet
                .answers
                .push(ResourceRecord::new(name, CLASS::IN, 60, data.clone()));
        }
        packet
    }

    fn read(packet: &Packet<'_>) -> Option<Answer> {
        QUERY.read(&packet.build_bytes_vec_compressed().unwrap())
    }

    fn a(last: u8) -> RData<'static> {
        RData::A(A {
            address: u32::from_be_bytes([192, 0, 2, last]),
        })
    }

    fn cname(name: &'static str) -> RData<'static> {
        RData::CNAME(CNAME(Name::new(name).unwrap()))
    }

    #[test]
    fn aliases_are_followed_to_their_addresses_and_others_records_are_not_taken() {
        let packet = reply(&[
            ("b.example", a(2)),
            ("INGEST.example", cname("a.example")),
            ("other.example", a(9)),
            ("a.example", cname("B.example")),
        ]);
        assert_eq!(
            read(&packet),
            Some(Answer::Addresses(vec![[192, 0, 2, 2].into()]))
        );
        let circle = reply(&[
            ("ingest.example", cname("a.example")),
            ("a.example", cname("ingest.example")),
        ]);
        assert_eq!(read(&circle), Some(Answer::Addresses(Vec::new())));
    }

    #[test]
    fn what_answers_another_question_is_no_answer() {
        let good = reply(&[("ingest.example", a(1))]);
        assert!(read(&good).is_some());
        let mut other = good.clone();
        other.set_id(0x1235);
        assert_eq!(read(&other), None);
        let mut other = good.clone();
        other.remove_flags(PacketFlag::RESPONSE);
        assert_eq!(read(&other), None);
        let mut other = good.clone();
        other.questions[0].qname = Name::new("other.example").unwrap();
        assert_eq!(read(&other), None);
        let mut other = good.clone();
        other.questions[0].qtype = QTYPE::TYPE(TYPE::AAAA);
        assert_eq!(read(&other), None);
        let mut other = good;
        other.questions.clear();
        assert_eq!(read(&other), None);
    }

    #[test]
    fn a_header_that_promises_more_than_there_is_costs_nothing() {
        let mut bytes = reply(&[("ingest.example", a(1))]).build_bytes_vec().unwrap();
        assert!(counts_are_possible(&bytes));
        for at in [4, 6, 8, 10] {
            let kept = std::mem::replace(&mut bytes[at], 0xff);
            assert!(!counts_are_possible(&bytes), "{at}");
            bytes[at] = kept;
        }
    }

    #[test]
    fn a_host_that_is_no_name_is_not_asked_for() {
        let long = "x".repeat(64);
        for host in ["", ".", long.as_str()] {
            assert_eq!(Query { host, ..QUERY }.bytes(), None, "{host}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_received_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let _ = QUERY.read(&bytes);
        }

        #[test]
        fn an_answer_that_is_bent_anywhere_is_read_without_a_panic(
            bends in prop::collection::vec((0..200_usize, any::<u8>()), 1..6), cut in 0..200_usize,
        ) {
            let packet = reply(&[
                ("ingest.example", cname("a.example")), ("a.example", a(1)), ("a.example", a(2)),
            ]);
            let mut bytes = packet.build_bytes_vec_compressed().unwrap();
            for (at, byte) in bends {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            let _ = QUERY.read(&bytes);
            let _ = QUERY.read(&bytes[..cut.min(bytes.len())]);
        }
    }
}

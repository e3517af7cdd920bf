//! The messages of DHCPINFORM (RFC 2131), as whole IP packets.

use std::net::Ipv4Addr;

use netsetup_core::names::MacAddress;
use socket2::SockFilter;

/// The server says that no portal is there (RFC 8910 section 2).
const UNRESTRICTED: &str = "urn:ietf:params:capport:unrestricted";

const SERVER_PORT: u16 = 67;
const CLIENT_PORT: u16 = 68;
/// Ethernet (RFC 1700), and the bytes of an address of its kind.
const ETHERNET: [u8; 2] = [1, 6];
const REQUEST: u8 = 1;
const REPLY: u8 = 2;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Bytes before the options, the cookie included (RFC 2131 section 2).
const HEAD: usize = 240;
/// Bytes of a message that even old relays take (RFC 1542 section 2.1).
const SHORTEST: usize = 300;
/// IPPROTO_UDP.
const PROTOCOL_UDP: u8 = 17;
const IP_HEAD: u16 = 20;
const UDP_HEAD: u16 = 8;

/// Options, RFC 2132 and RFC 8910.
mod option {
    pub(super) const PAD: u8 = 0;
    pub(super) const OVERLOAD: u8 = 52;
    pub(super) const MESSAGE_TYPE: u8 = 53;
    pub(super) const PARAMETERS: u8 = 55;
    pub(super) const CAPTIVE_PORTAL: u8 = 114;
    pub(super) const END: u8 = 255;
}
const ACK: u8 = 5;
const INFORM: u8 = 8;

/// What is asked, and known again in the answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    /// At random.
    pub(super) transaction: [u8; 4],
    /// Ours.
    pub(super) address: Ipv4Addr,
    /// What we are called.
    pub(super) client: MacAddress,
}

impl Question {
    /// The IP packet to send.
    pub(super) fn packet(&self, server: Ipv4Addr) -> Vec<u8> {
        let message = self.message();
        let udp_length = UDP_HEAD + u16::try_from(message.len()).unwrap_or(0);
        let [from, to] = [self.address.octets(), server.octets()];
        let ports = [SERVER_PORT, udp_length].map(u16::to_be_bytes);
        let mut udp = [
            &CLIENT_PORT.to_be_bytes(),
            ports.as_flattened(),
            &[0, 0],
            &message[..],
        ]
        .concat();
        let pseudo_head = [&from[..], &to, &[0, PROTOCOL_UDP], &udp_length.to_be_bytes()].concat();
        let sum = checksum(&[&pseudo_head[..], &udp].concat());
        if let Some(field) = udp.get_mut(6..8) {
            field.copy_from_slice(&sum.to_be_bytes());
        }
        // The kernel fills in its identification and its checksum (raw(7)).
        let [high, low] = (IP_HEAD + udp_length).to_be_bytes();
        let head = [0x45, 0, high, low, 0, 0, 0, 0, 64, PROTOCOL_UDP, 0, 0];
        [&head[..], &from, &to, &udp].concat()
    }

    fn message(&self) -> Vec<u8> {
        let mut message = vec![REQUEST];
        message.extend(ETHERNET);
        message.push(0);
        message.extend(self.transaction);
        // Some relays take no message of the first second.
        message.extend([0, 1, 0, 0]);
        message.extend(self.address.octets());
        message.resize(28, 0);
        message.extend(self.client.0);
        message.resize(HEAD - COOKIE.len(), 0);
        message.extend(COOKIE);
        message.extend([option::MESSAGE_TYPE, 1, INFORM]);
        message.extend([option::PARAMETERS, 1, option::CAPTIVE_PORTAL, option::END]);
        message.resize(SHORTEST, option::PAD);
        message
    }

    /// What the kernel lets through to us, so that a stream of other people's packets does not wake us.
    pub(super) fn filter(&self) -> [SockFilter; 7] {
        // Classic BPF: linux/bpf_common.h. The index is the end of the IP header.
        const INDEX_BY_IP_HEAD: u16 = 0xb1;
        const WORD_AT_INDEX: u16 = 0x40;
        const IF_EQUAL: u16 = 0x15;
        const RETURN: u16 = 0x06;
        let ports = u32::from(SERVER_PORT) << 16 | u32::from(CLIENT_PORT);
        [
            SockFilter::new(INDEX_BY_IP_HEAD, 0, 0, 0),
            SockFilter::new(WORD_AT_INDEX, 0, 0, 0),
            SockFilter::new(IF_EQUAL, 0, 3, ports),
            SockFilter::new(WORD_AT_INDEX, 0, 0, u32::from(UDP_HEAD) + 4),
            SockFilter::new(IF_EQUAL, 0, 1, u32::from_be_bytes(self.transaction)),
            SockFilter::new(RETURN, 0, 0, u32::MAX),
            SockFilter::new(RETURN, 0, 0, 0),
        ]
    }

    /// What a packet says of the portal, if it is a server's answer to this question.
    ///
    /// The checksum of UDP is not looked at: of packets that a virtual cable brings, it is never filled in.
    pub(super) fn answer(&self, packet: &[u8]) -> Option<Option<String>> {
        let message = message_of(packet)?;
        let (head, options) = message.split_at_checked(HEAD)?;
        let is_ours = head.starts_with(&[REPLY, ETHERNET[0], ETHERNET[1]])
            && head.get(4..8)? == self.transaction
            && [[0; 4], self.address.octets()]
                .iter()
                .any(|it| head.get(12..16) == Some(it.as_slice()))
            && head.get(28..34)? == self.client.0
            && head.ends_with(&COOKIE);
        if !is_ours {
            return None;
        }
        let mut options = read_options(options)?;
        let overload = value(&options, option::OVERLOAD);
        if matches!(overload[..], [1 | 3]) {
            options.extend(read_options(head.get(108..236)?)?);
        }
        if matches!(overload[..], [2 | 3]) {
            options.extend(read_options(head.get(44..108)?)?);
        }
        (value(&options, option::MESSAGE_TYPE) == [ACK]).then(|| uri(value(&options, option::CAPTIVE_PORTAL)))
    }
}

/// The message that a server sends to a client in this IP packet.
fn message_of(packet: &[u8]) -> Option<&[u8]> {
    let words = packet.first().filter(|first| *first >> 4 == 4)? & 0x0f;
    let (ip, udp) = packet.split_at_checked(usize::from(words) * 4)?;
    let (udp_head, message) = udp.split_first_chunk::<8>()?;
    let [a, b, c, d, high, low, ..] = *udp_head;
    let ports = [[a, b], [c, d]].map(u16::from_be_bytes);
    let length = usize::from(u16::from_be_bytes([high, low]).checked_sub(UDP_HEAD)?);
    (ip.get(9) == Some(&PROTOCOL_UDP) && ports == [SERVER_PORT, CLIENT_PORT])
        .then(|| message.get(..length))
        .flatten()
}

/// The options of a field up to its end, which every field has (RFC 2131 section 4.1).
fn read_options(mut field: &[u8]) -> Option<Vec<(u8, &[u8])>> {
    let mut options = Vec::new();
    loop {
        match *field {
            [option::END, ..] => return Some(options),
            [option::PAD, ref rest @ ..] => field = rest,
            [code, length, ref rest @ ..] => {
                let (value, rest) = rest.split_at_checked(length.into())?;
                options.push((code, value));
                field = rest;
            }
            [] | [_] => return None,
        }
    }
}

/// The value of an option, which a server may send in several parts (RFC 3396).
fn value(options: &[(u8, &[u8])], wanted: u8) -> Vec<u8> {
    options
        .iter()
        .filter(|(code, _)| *code == wanted)
        .flat_map(|(_, value)| value.iter().copied())
        .collect()
}

/// Some servers end a text with zero bytes, though none should (RFC 2132 section 2).
fn uri(bytes: Vec<u8>) -> Option<String> {
    let text = String::from_utf8(bytes).ok()?;
    let uri = text.trim_end_matches('\0').trim();
    (!uri.is_empty() && !uri.eq_ignore_ascii_case(UNRESTRICTED)).then(|| uri.to_owned())
}

/// RFC 1071; of UDP over IPv4, where zero means none (RFC 768).
fn checksum(bytes: &[u8]) -> u16 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let last = rest.first().map_or(0, |byte| u32::from(*byte) << 8);
    let sum = pairs
        .iter()
        .map(|pair| u32::from(u16::from_be_bytes(*pair)))
        .sum::<u32>()
        + last;
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap_or(u16::MAX);
    if sum == u16::MAX { sum } else { !sum }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const URI: &str = "https://portal.example/api";
    const QUESTION: Question = Question {
        transaction: [1, 2, 3, 4],
        address: Ipv4Addr::new(198, 51, 100, 20),
        client: MacAddress([2, 0, 0, 0, 0, 1]),
    };

    /// A server's answer, with `options` after the cookie.
    fn answer(options: &[&[u8]]) -> Vec<u8> {
        let mut packet = QUESTION.packet(Ipv4Addr::LOCALHOST);
        packet[20..24].copy_from_slice(&[0, 67, 0, 68]);
        packet[28] = REPLY;
        packet.truncate(28 + HEAD);
        packet.extend(options.concat());
        let length = u16::try_from(packet.len() - 20).unwrap();
        packet[24..26].copy_from_slice(&length.to_be_bytes());
        packet
    }

    fn named(uri: &str) -> Vec<u8> {
        let length = u8::try_from(uri.len()).unwrap();
        [&[option::CAPTIVE_PORTAL, length], uri.as_bytes()].concat()
    }

    fn said(options: &[&[u8]]) -> Option<Option<String>> {
        QUESTION.answer(&answer(options))
    }

    const IS_ACK: &[u8] = &[53, 1, 5];

    #[test]
    fn an_answer_names_a_portal_or_none() {
        let some = |uri: &str| Some(Some(uri.to_owned()));
        assert_eq!(said(&[IS_ACK, &named(URI), &[255]]), some(URI));
        assert_eq!(said(&[&[0, 0], &named(URI), IS_ACK, &[255, 7]]), some(URI));
        assert_eq!(said(&[IS_ACK, &named("http://p/\0"), &[255]]), some("http://p/"));
        let parts = [&named("https://portal.")[..], &named("example/api")];
        assert_eq!(said(&[IS_ACK, parts[0], &[3, 1, 1], parts[1], &[255]]), some(URI));
        for none in ["", "\0", UNRESTRICTED, "URN:ietf:params:capport:unrestricted"] {
            assert_eq!(said(&[IS_ACK, &named(none), &[255]]), Some(None), "{none}");
        }
        assert_eq!(said(&[IS_ACK, &[114, 2, 0xff, 0xfe], &[255]]), Some(None));
        assert_eq!(said(&[IS_ACK, &[255]]), Some(None));
    }

    #[test]
    fn options_go_on_in_the_fields_for_boot_files_where_the_answer_says_so() {
        for (overload, at) in [(1, 108), (2, 44), (3, 44), (3, 108)] {
            let mut packet = answer(&[IS_ACK, &[52, 1, overload], &[255]]);
            for field in [44, 108] {
                packet[28 + field] = option::END;
            }
            let option = [&named(URI)[..], &[255]].concat();
            packet[28 + at..][..option.len()].copy_from_slice(&option);
            let wanted = Some(Some(URI.to_owned()));
            assert_eq!(QUESTION.answer(&packet), wanted, "{overload} {at}");
            packet[28 + HEAD + 5] ^= 3;
            assert_ne!(QUESTION.answer(&packet), wanted, "{overload} {at}");
        }
    }

    #[test]
    fn what_answers_another_question_or_is_no_answer_says_nothing() {
        let good = answer(&[IS_ACK, &named(URI), &[255]]);
        assert!(QUESTION.answer(&good).is_some());
        // IP version, protocol, ports; operation, hardware, transaction, address, client, cookie, type.
        for at in [0, 9, 21, 23, 28, 29, 30, 35, 43, 61, 264, 270] {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert_eq!(QUESTION.answer(&bad), None, "byte {at}");
        }
        assert_eq!(said(&[&[53, 1, 6], &named(URI), &[255]]), None, "a refusal");
        assert_eq!(said(&[&named(URI), &[255]]), None, "BOOTP");
    }

    proptest! {
        #[test]
        fn whatever_is_received_is_read_without_a_panic(
            noise in prop::collection::vec(any::<u8>(), 0..600), options in prop::collection::vec(any::<u8>(), 0..600),
        ) {
            let _ = QUESTION.answer(&noise);
            let _ = said(&[&options]);
            let _ = said(&[IS_ACK, &options, &[255]]);
        }

        #[test]
        fn an_answer_that_is_cut_says_nothing(cut in 0_usize..300) {
            let whole = answer(&[IS_ACK, &named(URI), &[255]]);
            prop_assume!(cut < whole.len());
            prop_assert_eq!(QUESTION.answer(&whole[..cut]), None);
            // The same, when the length says that nothing is missing.
            if let Some(length) = cut.checked_sub(20).filter(|length| *length >= 8) {
                let mut cut = whole[..cut].to_vec();
                cut[24..26].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
                prop_assert_eq!(QUESTION.answer(&cut), None);
            }
        }

        #[test]
        fn the_sum_over_what_is_sent_is_right(address: u32, client: [u8; 6], transaction: [u8; 4], server: u32) {
            let question = Question { transaction, address: Ipv4Addr::from_bits(address), client: MacAddress(client) };
            let packet = question.packet(Ipv4Addr::from_bits(server));
            prop_assert_eq!(packet.len(), 20 + 8 + SHORTEST);
            let mut summed = packet[12..].to_vec();
            summed.extend([0, PROTOCOL_UDP]);
            summed.extend(&packet[24..26]);
            // With its own sum among them, the words come to minus zero.
            let words = summed.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(pair[1]));
            prop_assert_eq!(words.sum::<u64>() % 0xffff, 0);
        }
    }
}

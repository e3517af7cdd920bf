//! The regulatory domain, which decides on WiFi's channels and power (linux/nl80211.h, over generic netlink).

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NlasIterator, Parseable, ParseableParametrized,
};
use netlink_packet_generic::{GenlFamily, GenlHeader, GenlMessage};
use netlink_proto::sys::protocols::NETLINK_GENERIC;
use netsetup_core::names::CountryCode;

use super::netlink::{Error, Exchange};

// linux/genetlink.h
const GENL_ID_CTRL: u16 = 0x10;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const CTRL_VERSION: u8 = 2;

// linux/nl80211.h
const NL80211_CMD_REQ_SET_REG: u8 = 27;
const NL80211_CMD_GET_REG: u8 = 31;
const NL80211_ATTR_REG_ALPHA2: u16 = 33;

/// The domain that holds for all WiFi interfaces; none when the kernel has no WiFi.
///
/// "00" where it is the world's, and where the kernel has made up one of its own ("98", "99").
pub async fn observe() -> Result<Option<CountryCode>, Error> {
    let doing = "read the WiFi country";
    let socket = open(doing)?;
    let Some(family) = family(&socket, doing).await? else {
        return Ok(None);
    };
    let question = Request::new(NL80211_CMD_GET_REG, 0, Vec::new());
    let answers = socket.request(question.to(family), 0, doing).await?;
    Ok(answers.iter().find_map(|answer| country(&answer.payload)))
}

/// Asks for this domain, as a user does. Without WiFi in the kernel there is nothing to set, which is an error.
///
/// The kernel reads its rules from the disk meanwhile: [`observe`] tells the new domain some milliseconds later.
pub async fn set(country: CountryCode) -> Result<(), Error> {
    let doing = format!("set the WiFi country to '{country}'");
    let socket = open(&doing)?;
    let Some(family) = family(&socket, &doing).await? else {
        return Err(Error::Refused {
            doing,
            source: std::io::Error::from_raw_os_error(libc::EOPNOTSUPP),
        });
    };
    socket
        .request(wish(country).to(family), 0, &doing)
        .await
        .map(drop)
}

type Message = GenlMessage<Request>;

fn open(doing: &str) -> Result<Exchange<Message>, Error> {
    Exchange::open(NETLINK_GENERIC, doing)
}

/// The number that nl80211 has in this kernel; none while nobody has registered that name.
async fn family(socket: &Exchange<Message>, doing: &str) -> Result<Option<u16>, Error> {
    match socket.request(whereabouts().to(GENL_ID_CTRL), 0, doing).await {
        Ok(answers) => Ok(answers.iter().find_map(|answer| number(&answer.payload))),
        Err(Error::Refused { source, .. }) if source.raw_os_error() == Some(libc::ENOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn whereabouts() -> Request {
    let name = DefaultNla::new(CTRL_ATTR_FAMILY_NAME, b"nl80211\0".to_vec());
    Request::new(CTRL_CMD_GETFAMILY, CTRL_VERSION, vec![name])
}

fn number(answer: &Request) -> Option<u16> {
    let value = answer.value(CTRL_ATTR_FAMILY_ID)?;
    value.try_into().ok().map(u16::from_ne_bytes)
}

fn wish(country: CountryCode) -> Request {
    let [a, b] = country.as_bytes();
    let alpha2 = DefaultNla::new(NL80211_ATTR_REG_ALPHA2, vec![a, b, 0]);
    Request::new(NL80211_CMD_REQ_SET_REG, 0, vec![alpha2])
}

fn country(answer: &Request) -> Option<CountryCode> {
    let value = answer.value(NL80211_ATTR_REG_ALPHA2)?;
    let letters = std::str::from_utf8(&value)
        .ok()?
        .trim_end_matches('\0')
        .to_owned();
    let world = || CountryCode::try_from("00".to_owned()).ok();
    CountryCode::try_from(letters).ok().or_else(world)
}

/// A message of any generic netlink family, its attributes left as they are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Request {
    command: u8,
    version: u8,
    attributes: Vec<DefaultNla>,
}

impl Request {
    fn new(command: u8, version: u8, attributes: Vec<DefaultNla>) -> Self {
        Self {
            command,
            version,
            attributes,
        }
    }

    fn to(self, family: u16) -> Message {
        let mut message = GenlMessage::from_payload(self);
        message.set_resolved_family_id(family);
        message
    }

    fn value(&self, kind: u16) -> Option<Vec<u8>> {
        use netlink_packet_core::Nla;
        let attribute = self
            .attributes
            .iter()
            .find(|attribute| attribute.kind() == kind)?;
        let mut value = vec![0; attribute.value_len()];
        attribute.emit_value(&mut value);
        Some(value)
    }
}

impl GenlFamily for Request {
    fn family_name() -> &'static str {
        "nl80211"
    }

    fn command(&self) -> u8 {
        self.command
    }

    fn version(&self) -> u8 {
        self.version
    }
}

impl Emitable for Request {
    fn buffer_len(&self) -> usize {
        self.attributes.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.attributes.as_slice().emit(buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for Request {
    fn parse_with_param(bytes: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        let attributes = NlasIterator::new(bytes)
            .map(|attribute| DefaultNla::parse(&attribute?))
            .collect::<Result<_, _>>()?;
        Ok(Self::new(header.cmd, header.version, attributes))
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::NetlinkMessage;

    use super::*;

    /// `struct nlmsghdr`, `struct genlmsghdr`, `struct nlattr` as the headers document them, on a little-endian machine.
    const SET_DE: [u8; 28] = [
        28, 0, 0, 0, 0x1c, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0,
        0, // length, family 0x1c, NLM_F_REQUEST | NLM_F_ACK
        27, 0, 0, 0, // NL80211_CMD_REQ_SET_REG
        7, 0, 33, 0, b'D', b'E', 0, 0, // NL80211_ATTR_REG_ALPHA2, a string with its end
    ];

    fn bytes(message: Message, flags: u16) -> Vec<u8> {
        let mut message = NetlinkMessage::from(message);
        message.header.flags = flags;
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes
    }

    fn answer(payload: &[u8]) -> Request {
        let mut bytes = vec![20 + u8::try_from(payload.len()).unwrap(), 0, 0, 0, 0x1c, 0, 0, 0];
        bytes.extend([0; 8]);
        bytes.extend([NL80211_CMD_GET_REG, 1, 0, 0]);
        bytes.extend(payload);
        let message = NetlinkMessage::<Message>::deserialize(&bytes).unwrap();
        let netlink_packet_core::NetlinkPayload::InnerMessage(message) = message.payload else {
            panic!("{message:?}");
        };
        message.payload
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_wish_is_written_as_the_header_file_says() {
        let germany = CountryCode::try_from("de".to_owned()).unwrap();
        assert_eq!(bytes(wish(germany).to(0x1c), 5), SET_DE);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_family_is_asked_for_by_its_name() {
        let question = bytes(whereabouts().to(GENL_ID_CTRL), 5);
        assert_eq!(question[4..6], [0x10, 0]);
        assert_eq!(question[16..], *b"\x03\x02\0\0\x0c\0\x02\0nl80211\0");
        let told = answer(b"\x0c\0\x02\0nl80211\0\x06\0\x01\0\x1c\0\0\0");
        assert_eq!(number(&told), Some(0x1c));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn the_country_is_read_among_other_attributes() {
        let nested_rules_first = b"\x08\0\x22\x80\x04\0\0\x80\x07\0\x21\0DE\0\0";
        assert_eq!(country(&answer(nested_rules_first)).unwrap().to_string(), "DE");
        let world = b"\x07\0\x21\x0000\0\0";
        assert_eq!(country(&answer(world)).unwrap().to_string(), "00");
        let made_up = b"\x07\0\x21\x0099\0\0";
        assert_eq!(country(&answer(made_up)).unwrap().to_string(), "00");
        assert_eq!(country(&answer(b"")), None);
    }
}

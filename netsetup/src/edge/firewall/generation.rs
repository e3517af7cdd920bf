//! How often the tables were changed (linux/netfilter/nf_tables.h: NFT_MSG_GETGEN): one message, where a look at a table
//! takes a program of its own.

use netlink_packet_core::{
    DecodeError, NetlinkDeserializable, NetlinkHeader, NetlinkPayload, NetlinkSerializable, NlasIterator,
};
use netlink_proto::sys::protocols::NETLINK_NETFILTER;

use crate::edge::netlink::{Error, Exchange};

// linux/netfilter/nfnetlink.h
const NFNL_SUBSYS_NFTABLES: u16 = 10;
/// `struct nfgenmsg`: family, version, resource; none of them is asked for here.
const NFGENMSG: [u8; 4] = [0; 4];

// linux/netfilter/nf_tables.h
const NFT_MSG_GETGEN: u16 = 16;
const NFTA_GEN_ID: u16 = 1;

/// A way to ask the kernel.
#[derive(Clone, Debug)]
pub(super) struct Generations(Exchange<Message>);

impl Generations {
    pub(super) fn open() -> Result<Self, Error> {
        Exchange::open(NETLINK_NETFILTER, DOING).map(Self)
    }

    /// The number that every change of any table in this network namespace makes another one; none where the kernel
    /// tells no number.
    pub(super) async fn current(&self) -> Result<Option<u32>, Error> {
        let answers = self.0.request(Message::default(), 0, DOING).await?;
        Ok(answers.iter().find_map(|answer| answer.generation))
    }
}

const DOING: &str = "look at the firewall";

/// The question, which has no number, or the answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Message {
    generation: Option<u32>,
}

impl NetlinkSerializable for Message {
    fn message_type(&self) -> u16 {
        NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN
    }

    fn buffer_len(&self) -> usize {
        NFGENMSG.len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&NFGENMSG);
    }
}

impl NetlinkDeserializable for Message {
    type Error = DecodeError;

    fn deserialize(_: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        let attributes = payload.get(NFGENMSG.len()..).unwrap_or_default();
        for attribute in NlasIterator::new(attributes) {
            let attribute = attribute?;
            if attribute.kind() == NFTA_GEN_ID {
                let generation = attribute.value().try_into().ok().map(u32::from_be_bytes);
                return Ok(Self { generation });
            }
        }
        Ok(Self::default())
    }
}

impl From<Message> for NetlinkPayload<Message> {
    fn from(message: Message) -> Self {
        Self::InnerMessage(message)
    }
}

//! From frames to RTMP messages, and the server's answers to decisions.
//!
//! The stage thinks in messages (RTMP 1.0 section 5.4); the socket, TLS, the handshake and the chunk writer are the
//! caller's. [`command::Publisher`] is the machine of one connection, [`pace::Pace`] of its queue.

use bytes::Bytes;

pub mod amf;
pub mod chunk;
pub mod command;
pub mod directory;
pub mod flv;
pub mod pace;
mod refusal;

/// One RTMP message, in either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Message type id (RTMP 1.0 section 5.4, 6.1.1, 7.1): 8 audio, 9 video, 18 AMF0 data, 20 AMF0 command, ...
    pub type_id: u8,
    /// Message stream id; 0 is the connection itself.
    pub stream_id: u32,
    /// Milliseconds, modulo 2^32.
    pub timestamp: u32,
    /// The message body.
    pub payload: Bytes,
}

/// Message type ids (RTMP 1.0 sections 5.4, 6.2 and 7.1).
pub mod message_type {
    /// The peer's chunks have another size from here on.
    pub const SET_CHUNK_SIZE: u8 = 1;
    /// The rest of a message will not come.
    pub const ABORT: u8 = 2;
    /// How many bytes were received so far.
    pub const ACKNOWLEDGEMENT: u8 = 3;
    /// Events, pings among them.
    pub const USER_CONTROL: u8 = 4;
    /// After how many bytes an acknowledgement is expected.
    pub const WINDOW_SIZE: u8 = 5;
    /// How much the peer may send without an acknowledgement.
    pub const SET_PEER_BANDWIDTH: u8 = 6;
    /// An FLV audio tag's body.
    pub const AUDIO: u8 = 8;
    /// An FLV video tag's body.
    pub const VIDEO: u8 = 9;
    /// An AMF0 command behind one byte that announces AMF3.
    pub const COMMAND_AMF3: u8 = 17;
    /// AMF0 data: metadata.
    pub const DATA: u8 = 18;
    /// An AMF0 command.
    pub const COMMAND: u8 = 20;
}

//! The only place that knows `rml_rtmp`: its handshake and its chunk writer.
//!
//! Its reader is not used: it panics on chunks and commands that a server may send.

use bytes::Bytes;
use rml_rtmp::chunk_io::ChunkSerializer;
use rml_rtmp::handshake::{self, HandshakeProcessResult, PeerType};
use rml_rtmp::messages::MessagePayload;
use rml_rtmp::time::RtmpTimestamp;
use spotstream_core::ingest::Message;

/// Why bytes could not be made or understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The server does not speak RTMP.
    #[error("failed to shake hands")]
    Handshake(#[source] handshake::HandshakeError),
    /// A message that does not fit into chunks.
    #[error("failed to write a message")]
    Write(#[from] rml_rtmp::chunk_io::ChunkSerializationError),
}

/// The client's side of the handshake (RTMP 1.0 section 5.2).
pub(super) struct Handshake(handshake::Handshake);

/// How far the handshake is.
#[derive(Debug)]
pub(super) enum Progress {
    /// Send this (it may be empty) and go on reading.
    Continue(Vec<u8>),
    /// Send `last`; `rest` belongs to the chunks that follow.
    Done {
        /// C2.
        last: Vec<u8>,
        /// What came behind S2.
        rest: Vec<u8>,
    },
}

impl Handshake {
    /// Begins a handshake; the bytes are C0 and C1.
    ///
    /// # Errors
    /// Never in practice; the library reserves the right.
    pub(super) fn begin() -> Result<(Self, Vec<u8>), Error> {
        let mut handshake = handshake::Handshake::new(PeerType::Client);
        let first = handshake
            .generate_outbound_p0_and_p1()
            .map_err(Error::Handshake)?;
        Ok((Self(handshake), first))
    }

    /// Takes what the server sent, cut anywhere.
    ///
    /// # Errors
    /// When it is not a handshake, or the handshake is over.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<Progress, Error> {
        Ok(match self.0.process_bytes(bytes).map_err(Error::Handshake)? {
            HandshakeProcessResult::InProgress { response_bytes } => Progress::Continue(response_bytes),
            HandshakeProcessResult::Completed {
                response_bytes,
                remaining_bytes,
            } => Progress::Done {
                last: response_bytes,
                rest: remaining_bytes,
            },
        })
    }
}

/// The chunk writer of one connection.
///
/// Two habits of the library matter here. It writes nothing at all for an empty body, so there are none. And a message
/// whose time is as far from its predecessor's as that one, in a full header, was from zero gets a header of type 3,
/// which servers read in two ways (section 5.3.1.2.4). Full headers stand only at the beginning of a chunk stream,
/// there the bodies are decoder configurations, and no frame has exactly the length of its configuration, so the
/// second header is always one with a time of its own.
pub(super) struct Writer(ChunkSerializer);

impl Default for Writer {
    fn default() -> Self {
        Self(ChunkSerializer::new())
    }
}

impl Writer {
    /// Announces a chunk size and uses it from the next message on.
    ///
    /// # Errors
    /// When `size` is above 2^31.
    pub(super) fn set_chunk_size(&mut self, size: u32) -> Result<Vec<u8>, Error> {
        Ok(self.0.set_max_chunk_size(size, RtmpTimestamp::new(0))?.bytes)
    }

    /// The chunks of a message, which must be sent in the order in which they are written.
    ///
    /// # Errors
    /// When the body is longer than 16 MiB.
    pub(super) fn write(&mut self, message: Message) -> Result<Vec<u8>, Error> {
        let Message {
            type_id,
            stream_id,
            timestamp,
            payload,
        } = message;
        let payload = MessagePayload {
            timestamp: RtmpTimestamp::new(timestamp),
            type_id,
            message_stream_id: stream_id,
            data: Bytes::clone(&payload),
        };
        Ok(self.0.serialize(&payload, false, false)?.bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use spotstream_core::ingest::chunk::Reader;

    fn read(bytes: &[u8], piece: usize) -> Vec<Message> {
        let mut reader = Reader::default();
        let mut messages = Vec::new();
        for piece in bytes.chunks(piece) {
            reader.push(piece);
            while let Some(message) = reader.poll().unwrap() {
                messages.push(message);
            }
        }
        messages
    }

    fn message(type_id: u8, timestamp: u32, payload: Vec<u8>) -> Message {
        Message {
            type_id,
            stream_id: u32::from(type_id < 10),
            timestamp,
            payload: Bytes::from(payload),
        }
    }

    #[test]
    fn the_reader_reads_what_the_writer_writes_across_24_bits_of_time() {
        let mut writer = Writer::default();
        let mut bytes = writer.set_chunk_size(4096).unwrap();
        let mut messages = Vec::new();
        let start = 0x00ff_ffff - 200;
        for frame in 0..20 {
            messages.push(message(9, start + frame * 33, vec![9; 10_000 + frame as usize]));
            messages.push(message(8, start + frame * 33 + 5, vec![8; 300]));
        }
        for message in &messages {
            bytes.extend(writer.write(message.clone()).unwrap());
        }
        assert_eq!(read(&bytes, 1500)[1..], messages);
    }

    #[test]
    fn a_handshake_with_the_librarys_own_server_ends_on_both_sides() {
        let (mut client, first) = Handshake::begin().unwrap();
        let mut server = handshake::Handshake::new(PeerType::Server);
        let answer = match server.process_bytes(&first).unwrap() {
            HandshakeProcessResult::InProgress { response_bytes } => response_bytes,
            other => panic!("{other:?}"),
        };
        let mut with_rest = answer;
        with_rest.extend(b"rest");
        match client.read(&with_rest).unwrap() {
            Progress::Done { last, rest } => {
                assert!(matches!(
                    server.process_bytes(&last),
                    Ok(HandshakeProcessResult::Completed { .. })
                ));
                assert_eq!(rest, b"rest");
            }
            Progress::Continue(_) => panic!("not done"),
        }
    }

    proptest! {
        #[test]
        fn any_messages_survive_writing_and_reading(
            messages in prop::collection::vec(
                (prop::sample::select(vec![8_u8, 9, 18, 20]), 0..0x0200_0000_u32, 1..9000_usize, any::<u8>()), 1..30,
            ),
            chunk_size in 1..20_000_u32,
            piece in 1..5000_usize,
        ) {
            let mut writer = Writer::default();
            let mut bytes = writer.set_chunk_size(chunk_size).unwrap();
            let mut time = 0xff00_0000_u32;
            let mut sent = Vec::new();
            for (type_id, step, length, fill) in messages {
                // Forward only, through the 32-bit wrap: that is what a clamped clock gives.
                time = time.wrapping_add(step);
                sent.push(message(type_id, time, vec![fill; length]));
                bytes.extend(writer.write(sent[sent.len() - 1].clone()).unwrap());
            }
            let read = read(&bytes, piece);
            prop_assert_eq!(&read[1..], &sent[..]);
        }

        #[test]
        fn any_bytes_are_a_handshake_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
            let (mut client, _) = Handshake::begin().unwrap();
            let _ = client.read(&bytes);
            let mut with_version = vec![3];
            with_version.extend(bytes);
            let (mut client, _) = Handshake::begin().unwrap();
            let _ = client.read(&with_version);
        }
    }
}

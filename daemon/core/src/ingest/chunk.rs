//! Reading RTMP chunks (RTMP 1.0 section 5.3): bytes in, messages out.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Buf, BytesMut};

use super::{Message, message_type};

/// The chunk size before anybody says another (section 5.4.1).
const FIRST_CHUNK_SIZE: usize = 128;

/// The longest message that a server may send to a publisher. Commands have a few hundred bytes.
const LONGEST_MESSAGE: usize = 256 * 1024;

/// How many bytes of unfinished messages are kept, over all chunk streams.
const MOST_UNFINISHED: usize = 512 * 1024;

/// How many chunk streams a server may open. Two to five are in use.
const MOST_STREAMS: usize = 64;

/// A timestamp field of this value means that the timestamp stands in four bytes of its own (section 5.3.1.3).
const EXTENDED: u32 = 0x00ff_ffff;

/// Why bytes are not RTMP. The stream cannot be read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The first chunk of a chunk stream refers to one before it.
    #[error("failed to read chunk stream {0}: its first header is not complete")]
    NoHeader(u32),
    /// A message begins while another of the same chunk stream is not finished.
    #[error("failed to read chunk stream {0}: a message begins inside another")]
    Interrupted(u32),
    /// A message longer than any that a server has reason to send.
    #[error("failed to read chunk stream {stream}: a message of {length} bytes is too long")]
    TooLong {
        /// The chunk stream id.
        stream: u32,
        /// The length that its header gives.
        length: usize,
    },
    /// Too much is begun and not finished.
    #[error("failed to read chunks: more than {MOST_UNFINISHED} bytes of unfinished messages")]
    TooMuchUnfinished,
    /// More chunk streams than any server uses.
    #[error("failed to read chunks: more than {MOST_STREAMS} chunk streams")]
    TooManyStreams,
    /// A chunk size of 0, or above 2^31.
    #[error("failed to read chunks: a chunk size of {0} is not allowed")]
    BadChunkSize(u32),
    /// A control message that is shorter than its one field.
    #[error("failed to read chunks: a control message of type {0} is cut short")]
    ShortControl(u8),
}

/// The reader of one connection. It obeys Set Chunk Size and Abort itself and passes them on nevertheless.
#[derive(Debug)]
pub struct Reader {
    input: BytesMut,
    chunk_size: usize,
    streams: BTreeMap<u32, Stream>,
    unfinished: usize,
    ready: VecDeque<Message>,
}

/// What the next header of a chunk stream may refer to.
#[derive(Debug, Default)]
struct Stream {
    timestamp: u32,
    /// What a message with a type 3 header adds to the timestamp.
    delta: u32,
    extended: bool,
    length: usize,
    type_id: u8,
    stream_id: u32,
    body: BytesMut,
    begun: bool,
}

/// The header of one chunk: where it belongs and what it changes.
struct Header {
    stream: u32,
    format: u8,
    size: usize,
    timestamp: u32,
    extended: bool,
    length: usize,
    type_id: u8,
    stream_id: u32,
}

impl Default for Reader {
    fn default() -> Self {
        Self {
            input: BytesMut::new(),
            chunk_size: FIRST_CHUNK_SIZE,
            streams: BTreeMap::new(),
            unfinished: 0,
            ready: VecDeque::new(),
        }
    }
}

impl Reader {
    /// Adds what came from the peer; cut anywhere.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The next whole message, or nothing until there are more bytes.
    ///
    /// # Errors
    /// When the bytes are not RTMP or ask for unreasonable memory. Nothing can be read after that.
    pub fn poll(&mut self) -> Result<Option<Message>, Error> {
        while self.ready.is_empty() && self.chunk()? {}
        Ok(self.ready.pop_front())
    }

    /// Reads one chunk; false when it is not there as a whole.
    fn chunk(&mut self) -> Result<bool, Error> {
        let Some(header) = self.header() else {
            return Ok(false);
        };
        let id = header.stream;
        let known = self.streams.len();
        let stream = match self.streams.get_mut(&id) {
            Some(stream) => stream,
            None if header.format != 0 => return Err(Error::NoHeader(id)),
            None if known >= MOST_STREAMS => return Err(Error::TooManyStreams),
            None => self.streams.entry(id).or_default(),
        };
        if header.format != 3 && stream.begun {
            return Err(Error::Interrupted(id));
        }
        let length = if header.format < 2 {
            header.length
        } else {
            stream.length
        };
        if length > LONGEST_MESSAGE {
            return Err(Error::TooLong { stream: id, length });
        }
        let part = (length - stream.body.len()).min(self.chunk_size);
        if self.input.len() < header.size + part {
            return Ok(false);
        }

        self.input.advance(header.size);
        stream.take(&header);
        stream.body.extend_from_slice(&self.input.split_to(part));
        self.unfinished += part;
        if stream.body.len() == stream.length {
            self.unfinished -= stream.length;
            let message = stream.finish();
            self.obey(&message)?;
            self.ready.push_back(message);
        } else if self.unfinished > MOST_UNFINISHED {
            return Err(Error::TooMuchUnfinished);
        }
        Ok(true)
    }

    /// Looks at the header in front of the input without taking it.
    fn header(&self) -> Option<Header> {
        let mut cursor = Cursor {
            input: &self.input,
            at: 0,
        };
        cursor.header(|stream| self.streams.get(&stream).is_some_and(|stream| stream.extended))
    }

    fn obey(&mut self, message: &Message) -> Result<(), Error> {
        let field = || {
            let bytes = message
                .payload
                .first_chunk()
                .ok_or(Error::ShortControl(message.type_id))?;
            Ok(u32::from_be_bytes(*bytes))
        };
        match message.type_id {
            message_type::SET_CHUNK_SIZE => {
                let size = field()?;
                match usize::try_from(size) {
                    // A chunk is at most a message, and a message at most 2^24 bytes.
                    Ok(size @ 1..=0x7fff_ffff) => self.chunk_size = size.min(0x00ff_ffff),
                    _ => return Err(Error::BadChunkSize(size)),
                }
            }
            message_type::ABORT => {
                if let Some(stream) = self.streams.get_mut(&field()?) {
                    self.unfinished -= stream.body.len();
                    stream.body.clear();
                    stream.begun = false;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Stream {
    /// Applies a chunk's header (section 5.3.1.2).
    fn take(&mut self, header: &Header) {
        if self.begun {
            return;
        }
        match header.format {
            0 => {
                self.timestamp = header.timestamp;
                // Section 5.3.1.2.4: a type 3 message after a type 0 header adds the timestamp once more.
                self.delta = header.timestamp;
                self.stream_id = header.stream_id;
            }
            1 | 2 => {
                self.delta = header.timestamp;
                self.timestamp = self.timestamp.wrapping_add(self.delta);
            }
            _ => self.timestamp = self.timestamp.wrapping_add(self.delta),
        }
        if header.format < 2 {
            self.length = header.length;
            self.type_id = header.type_id;
        }
        if header.format < 3 {
            self.extended = header.extended;
        }
        self.begun = true;
    }

    fn finish(&mut self) -> Message {
        self.begun = false;
        Message {
            type_id: self.type_id,
            stream_id: self.stream_id,
            timestamp: self.timestamp,
            payload: std::mem::take(&mut self.body).freeze(),
        }
    }
}

struct Cursor<'a> {
    input: &'a [u8],
    at: usize,
}

impl Cursor<'_> {
    fn header(&mut self, is_extended: impl Fn(u32) -> bool) -> Option<Header> {
        let first = self.number::<1>()?;
        let format = u8::try_from(first >> 6).ok()?;
        // Section 5.3.1.1: ids below 64 fit here, others take one or two bytes more, the low one first.
        let stream = match first & 0x3f {
            0 => 64 + self.number::<1>()?,
            1 => 64 + self.number::<1>()? + 256 * self.number::<1>()?,
            id => id,
        };
        let mut timestamp = if format < 3 { self.number::<3>()? } else { 0 };
        let length = if format < 2 {
            usize::try_from(self.number::<3>()?).ok()?
        } else {
            0
        };
        let type_id = if format < 2 {
            u8::try_from(self.number::<1>()?).ok()?
        } else {
            0
        };
        // The one little-endian number of the protocol.
        let stream_id = if format == 0 {
            self.number::<4>()?.swap_bytes()
        } else {
            0
        };
        let extended = if format < 3 {
            timestamp == EXTENDED
        } else {
            is_extended(stream)
        };
        if extended {
            timestamp = self.number::<4>()?;
        }
        Some(Header {
            stream,
            format,
            size: self.at,
            timestamp,
            extended,
            length,
            type_id,
            stream_id,
        })
    }

    /// The next `N` bytes as a big-endian number.
    fn number<const N: usize>(&mut self) -> Option<u32> {
        let bytes = self.input.get(self.at..self.at + N)?;
        self.at += N;
        Some(
            bytes
                .iter()
                .fold(0, |number, byte| number << 8 | u32::from(*byte)),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<Vec<Message>, Error> {
        let mut reader = Reader::default();
        reader.push(bytes);
        std::iter::from_fn(|| reader.poll().transpose()).collect()
    }

    fn message(type_id: u8, stream_id: u32, timestamp: u32, payload: &[u8]) -> Message {
        Message {
            type_id,
            stream_id,
            timestamp,
            payload: Bytes::copy_from_slice(payload),
        }
    }

    #[test]
    fn the_examples_of_the_specification_are_read() {
        // Section 5.3.2.1: four audio messages of 32 bytes, 20 ms apart.
        let mut bytes = b"\x03\x00\x03\xe8\x00\x00\x20\x08\x39\x30\x00\x00".to_vec();
        bytes.extend([1; 32]);
        bytes.extend(b"\x83\x00\x00\x14");
        bytes.extend([2; 32]);
        bytes.push(0xc3);
        bytes.extend([3; 32]);
        bytes.push(0xc3);
        bytes.extend([4; 32]);
        let times: Vec<_> = read(&bytes)
            .unwrap()
            .iter()
            .map(|message| message.timestamp)
            .collect();
        assert_eq!(times, [1000, 1020, 1040, 1060]);

        // Section 5.3.2.2: one video message of 307 bytes in three chunks.
        let body: Vec<u8> = (0..=255).chain(0..51).collect();
        let mut bytes = b"\x04\x00\x03\xe8\x00\x01\x33\x09\x3a\x30\x00\x00".to_vec();
        bytes.extend(&body[..128]);
        bytes.push(0xc4);
        bytes.extend(&body[128..256]);
        bytes.push(0xc4);
        bytes.extend(&body[256..]);
        assert_eq!(read(&bytes), Ok(vec![message(9, 12346, 1000, &body)]));
    }

    #[test]
    fn messages_of_two_chunk_streams_may_be_interleaved() {
        let mut bytes = b"\x04\0\0\x05\0\0\xc8\x09\x01\0\0\0".to_vec();
        bytes.extend([9; 128]);
        bytes.extend(b"\x05\0\0\x07\0\0\x02\x08\x01\0\0\0ab");
        bytes.push(0xc4);
        bytes.extend([9; 72]);
        assert_eq!(
            read(&bytes),
            Ok(vec![message(8, 1, 7, b"ab"), message(9, 1, 5, &[9; 200])])
        );
    }

    #[test]
    fn an_extended_timestamp_is_repeated_in_every_chunk_of_its_message() {
        let mut bytes = b"\x04\xff\xff\xff\0\0\xc8\x09\x01\0\0\0\x01\x02\x03\x04".to_vec();
        bytes.extend([9; 128]);
        bytes.extend(b"\xc4\x01\x02\x03\x04");
        bytes.extend([8; 72]);
        // A delta of 10 ms follows, and its header is short again.
        bytes.extend(b"\x84\0\0\x0a");
        bytes.extend([7; 128]);
        bytes.push(0xc4);
        bytes.extend([7; 72]);
        let messages = read(&bytes).unwrap();
        assert_eq!(messages[0].timestamp, 0x0102_0304);
        assert_eq!(messages[0].payload[128..], [8; 72]);
        assert_eq!(messages[1].timestamp, 0x0102_030e);
    }

    #[test]
    fn a_new_chunk_size_holds_from_the_next_chunk_on() {
        let mut bytes = b"\x02\0\0\0\0\0\x04\x01\0\0\0\0\0\0\x10\0".to_vec();
        bytes.extend(b"\x03\0\0\0\0\x01\0\x14\0\0\0\0");
        bytes.extend([5; 256]);
        assert_eq!(read(&bytes).unwrap()[1], message(20, 0, 0, &[5; 256]));
    }

    #[test]
    fn an_aborted_message_is_forgotten() {
        let mut bytes = b"\x05\0\0\0\0\0\xc8\x14\0\0\0\0".to_vec();
        bytes.extend([1; 128]);
        bytes.extend(b"\x02\0\0\0\0\0\x04\x02\0\0\0\0\0\0\0\x05");
        bytes.extend(b"\x05\0\0\0\0\0\x01\x14\0\0\0\0!");
        assert_eq!(read(&bytes).unwrap()[1..], [message(20, 0, 0, b"!")]);
    }

    #[test]
    fn long_chunk_stream_ids_are_read() {
        let bytes = b"\x00\x05\0\0\0\0\0\x01\x14\0\0\0\0a\x01\x05\x02\0\0\0\0\0\x01\x14\0\0\0\0b\xc0\x05c";
        let bodies: Vec<_> = read(bytes)
            .unwrap()
            .into_iter()
            .map(|message| message.payload)
            .collect();
        assert_eq!(bodies, [&b"a"[..], b"b", b"c"]);
    }

    #[test]
    fn an_empty_message_is_a_message() {
        assert_eq!(
            read(b"\x03\0\0\0\0\0\0\x14\0\0\0\0"),
            Ok(vec![message(20, 0, 0, b"")])
        );
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_reason() {
        let mut interrupted = b"\x04\0\0\0\0\0\xc8\x09\x01\0\0\0".to_vec();
        interrupted.extend([0; 128]);
        interrupted.extend(b"\x04\0\0\0\0\0\xc8\x09\x01\0\0\0");
        let cases: [(&[u8], Error); 6] = [
            (b"\xc4", Error::NoHeader(4)),
            (b"\x44\0\0\0\0\0\x01\x09", Error::NoHeader(4)),
            (&interrupted, Error::Interrupted(4)),
            (
                b"\x04\0\0\0\xff\xff\xff\x09\x01\0\0\0",
                Error::TooLong {
                    stream: 4,
                    length: 0xff_ffff,
                },
            ),
            (b"\x02\0\0\0\0\0\x04\x01\0\0\0\0\0\0\0\0", Error::BadChunkSize(0)),
            (b"\x02\0\0\0\0\0\x02\x01\0\0\0\0\0\0", Error::ShortControl(1)),
        ];
        for (bytes, error) in cases {
            assert_eq!(read(bytes), Err(error));
        }
    }

    #[test]
    fn memory_is_bounded_whatever_is_begun() {
        let mut bytes = Vec::new();
        for id in 2..64_u8 {
            bytes.extend([id, 0, 0, 0, 0x03, 0, 0, 9, 1, 0, 0, 0]);
            bytes.extend([0; 128]);
            for _ in 0..200 {
                bytes.push(0xc0 | id);
                bytes.extend([0; 128]);
            }
        }
        assert_eq!(read(&bytes), Err(Error::TooMuchUnfinished));

        let streams: Vec<u8> = (0..=255)
            .flat_map(|id| [0, id, 0, 0, 0, 0, 0, 1, 20, 0, 0, 0, 0, b'x'])
            .collect();
        assert_eq!(read(&streams), Err(Error::TooManyStreams));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..4096)) {
            let _ = read(&bytes);
        }

        #[test]
        fn headers_with_arbitrary_fields_are_read_or_refused(
            chunks in prop::collection::vec((0..4_u8, 2..6_u8, any::<[u8; 11]>(), any::<u8>()), 0..200)
        ) {
            let mut bytes = Vec::new();
            for (format, id, fields, length) in chunks {
                bytes.push(format << 6 | id);
                let mut fields = fields;
                // Short lengths, so that messages do end.
                fields[3] = 0;
                fields[4] = 0;
                bytes.extend(&fields[..[11, 7, 3, 0][usize::from(format)]]);
                bytes.extend(std::iter::repeat_n(length, usize::from(length)));
            }
            let _ = read(&bytes);
        }
    }
}

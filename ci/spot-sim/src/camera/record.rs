//! What a session sent, taken out of the very RTP packets: the NAL units as Annex B, and one row an access unit.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

use super::annexb::{self, Unpacker};

/// One access unit as it left, times in ns of `CLOCK_MONOTONIC`.
#[derive(Debug, Default, Clone, Serialize)]
struct Row {
    frame: u32,
    rtp_timestamp: u32,
    first_sequence: u16,
    last_sequence: u16,
    packets: u32,
    /// Packets of this unit that were withheld on purpose.
    dropped: u32,
    /// Bytes of RTP payload.
    payload: usize,
    idr: bool,
    /// Place of the unit in the `.h264` file.
    offset: usize,
    length: usize,
    /// When the last packet of the unit was handed to the transport.
    sent_ns: u64,
}

/// The facts of one packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet<'a> {
    pub(crate) frame: u32,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload: &'a [u8],
    pub(crate) dropped: bool,
    pub(crate) sent_ns: u64,
}

/// Writes `session-N.h264` and `session-N.jsonl`. Every row is on disk when the next unit starts.
#[derive(Debug)]
pub(crate) struct Recorder {
    video: BufWriter<File>,
    rows: BufWriter<File>,
    unpacker: Unpacker,
    row: Option<Row>,
    offset: usize,
}

impl Recorder {
    pub(crate) fn create(folder: &Path, session: u64) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("failed to make '{}'", folder.display()))?;
        let create = |extension| {
            let path = folder.join(format!("session-{session}.{extension}"));
            File::create(&path)
                .map(BufWriter::new)
                .with_context(|| format!("failed to write '{}'", path.display()))
        };
        Ok(Self {
            video: create("h264")?,
            rows: create("jsonl")?,
            unpacker: Unpacker::default(),
            row: None,
            offset: 0,
        })
    }

    pub(crate) fn push(&mut self, packet: Packet<'_>) -> std::io::Result<()> {
        let row = self.row.get_or_insert_with(|| Row {
            frame: packet.frame,
            rtp_timestamp: packet.timestamp,
            first_sequence: packet.sequence,
            offset: self.offset,
            ..Row::default()
        });
        row.last_sequence = packet.sequence;
        row.packets += 1;
        row.dropped += u32::from(packet.dropped);
        row.payload += packet.payload.len();
        row.sent_ns = packet.sent_ns;

        let mut units = Vec::new();
        self.unpacker.push(packet.payload, |nal| {
            row.idr |= annexb::kind(nal) == Some(annexb::IDR);
            units.extend_from_slice(&[0, 0, 0, 1]);
            units.extend_from_slice(nal);
        });
        row.length += units.len();
        self.offset += units.len();
        self.video.write_all(&units)?;

        if packet.marker
            && let Some(row) = self.row.take()
        {
            serde_json::to_writer(&mut self.rows, &row)?;
            self.rows.write_all(b"\n")?;
            self.video.flush()?;
            self.rows.flush()?;
        }
        Ok(())
    }
}

//! A recording to replay: `video.h264` (Annex B) and `index.jsonl`, one row an access unit.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::annexb;

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    frame: u32,
    offset: usize,
    length: usize,
    idr: bool,
}

/// Writes a tape.
#[derive(Debug)]
pub(crate) struct TapeWriter {
    video: BufWriter<File>,
    index: BufWriter<File>,
    offset: usize,
}

impl TapeWriter {
    pub(crate) fn create(folder: &Path) -> anyhow::Result<Self> {
        std::fs::create_dir_all(folder).with_context(|| format!("failed to make '{}'", folder.display()))?;
        let create = |name| {
            let path = folder.join(name);
            File::create(&path)
                .map(BufWriter::new)
                .with_context(|| format!("failed to write '{}'", path.display()))
        };
        Ok(Self {
            video: create("video.h264")?,
            index: create("index.jsonl")?,
            offset: 0,
        })
    }

    pub(crate) fn push(&mut self, frame: u32, unit: &[u8]) -> anyhow::Result<()> {
        self.video.write_all(unit)?;
        let row = Row {
            frame,
            offset: self.offset,
            length: unit.len(),
            idr: annexb::has_idr(unit),
        };
        serde_json::to_writer(&mut self.index, &row)?;
        self.index.write_all(b"\n")?;
        self.offset += unit.len();
        Ok(())
    }

    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        self.video.flush()?;
        self.index.flush()?;
        Ok(())
    }
}

/// A tape that is played in a loop.
#[derive(Debug)]
pub(crate) struct Tape {
    units: Vec<(Bytes, bool)>,
    next: usize,
    since_idr: u32,
}

impl Tape {
    pub(crate) fn load(folder: &Path) -> anyhow::Result<Self> {
        let read = |name| {
            let path = folder.join(name);
            std::fs::read(&path).with_context(|| format!("failed to read '{}'", path.display()))
        };
        let video = Bytes::from(read("video.h264")?);
        let mut units = Vec::new();
        for row in serde_json::Deserializer::from_slice(&read("index.jsonl")?).into_iter::<Row>() {
            let row = row.context("failed to read the tape's index")?;
            let end = row
                .offset
                .checked_add(row.length)
                .filter(|end| *end <= video.len());
            units.push((
                video.slice(row.offset..end.context("the tape's index leaves the tape")?),
                row.idr,
            ));
        }
        anyhow::ensure!(
            units.first().is_some_and(|(_, idr)| *idr),
            "a tape starts with an IDR"
        );
        Ok(Self {
            units,
            next: 0,
            since_idr: 0,
        })
    }

    /// The next access unit. When an IDR is due (asked for, or `idr_interval` frames after the last; 0 = never) the
    /// tape winds on to its next one.
    pub(crate) fn play(&mut self, asked: bool, idr_interval: u32) -> Option<Bytes> {
        if asked || idr_interval != 0 && self.since_idr >= idr_interval {
            let ahead = self.units.iter().skip(self.next).position(|(_, idr)| *idr);
            self.next = ahead.map_or(0, |ahead| self.next + ahead);
        }
        let (unit, idr) = self.units.get(self.next)?;
        self.next = (self.next + 1) % self.units.len();
        self.since_idr = if *idr { 1 } else { self.since_idr.saturating_add(1) };
        Some(unit.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(frame: u8, idr: bool) -> Vec<u8> {
        vec![0, 0, 0, 1, if idr { 0x65 } else { 0x41 }, frame]
    }

    fn tape() -> Tape {
        let folder = std::env::temp_dir().join(format!(
            "spot-sim-tape-{}-{:?}",
            std::process::id(),
            std::thread::current().id()
        ));
        let mut writer = TapeWriter::create(&folder).unwrap();
        for frame in 0..10 {
            writer
                .push(u32::from(frame), &unit(frame, frame % 5 == 0))
                .unwrap();
        }
        writer.finish().unwrap();
        let tape = Tape::load(&folder).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        tape
    }

    fn frames(tape: &mut Tape, count: usize, interval: u32) -> Vec<u8> {
        (0..count)
            .map(|_| tape.play(false, interval).unwrap()[5])
            .collect()
    }

    #[test]
    fn a_tape_plays_in_a_loop() {
        assert_eq!(frames(&mut tape(), 12, 0), [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]);
    }

    #[test]
    fn a_request_winds_to_the_next_idr() {
        let mut tape = tape();
        frames(&mut tape, 2, 0);
        assert_eq!(tape.play(true, 0).unwrap()[5], 5);
        assert_eq!(tape.play(true, 0).unwrap()[5], 0);
    }

    #[test]
    fn the_idr_interval_is_kept_by_winding() {
        assert_eq!(frames(&mut tape(), 6, 3), [0, 1, 2, 5, 6, 7]);
    }
}

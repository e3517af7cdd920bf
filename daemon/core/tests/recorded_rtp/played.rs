//! Arrivals played in virtual time, and what came of them.

use std::time::{Duration, Instant};

use bytes::Bytes;
use spotstream_core::media::Frame;
use spotstream_core::media::transmux::{Input, Output, Settings, Transmuxer};

#[expect(
    clippy::disallowed_methods,
    reason = "an Instant has no other constructor; tests only add to it"
)]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}

pub(crate) struct Played {
    pub(crate) outputs: Vec<(Instant, Output)>,
    pub(crate) machine: Transmuxer,
}

impl Played {
    pub(crate) fn frames(&self) -> Vec<Frame> {
        let frame = |output: &Output| {
            if let Output::Frame(frame) = output {
                Some(frame.clone())
            } else {
                None
            }
        };
        self.outputs
            .iter()
            .filter_map(|(_, output)| frame(output))
            .collect()
    }

    /// Index of each published picture in the recording, with its time and whether it is an IDR picture.
    pub(crate) fn pictures(&self, units: &[Vec<Vec<u8>>]) -> Vec<(usize, u64, bool)> {
        let mut pictures = Vec::new();
        let mut search = 0;
        for frame in self.frames() {
            let Frame::Video {
                at,
                idr,
                nals,
                composition_offset_ms,
            } = frame
            else {
                continue;
            };
            assert_eq!(composition_offset_ms, 0);
            let found = units.iter().skip(search).position(|unit| *unit == nals);
            let index =
                search + found.expect("a published picture is byte for byte one of the encoder's, in order");
            search = index + 1;
            pictures.push((index, at.as_millis(), idr));
        }
        pictures
    }
}

/// Plays arrivals in virtual time, honouring every deadline.
pub(crate) fn play(settings: Settings, mut arrivals: Vec<(Duration, Input)>) -> Played {
    let start = epoch();
    arrivals.sort_by_key(|(at, _)| *at);
    let mut machine = Transmuxer::new(settings);
    let mut outputs = Vec::new();
    let end = arrivals.last().map_or(Duration::ZERO, |(at, _)| *at) + Duration::from_secs(1);
    let mut feed = |machine: &mut Transmuxer, now: Instant, input: Input| {
        machine.handle(now, input);
        let mut samples = 0;
        while let Some(output) = machine.poll() {
            if let Output::Audio(step) = &output {
                samples += step.samples();
            }
            outputs.push((now, output));
        }
        samples
    };
    let mut backlog = 0;
    for (at, input) in arrivals
        .into_iter()
        .map(|(at, input)| (at, Some(input)))
        .chain([(end, None)])
    {
        let now = start + at;
        while let Some((deadline, _)) = machine.deadline().filter(|(deadline, _)| *deadline < now) {
            backlog += feed(&mut machine, deadline, Input::Tick);
        }
        backlog += feed(&mut machine, now, input.unwrap_or(Input::Tick));
        // A transcoder: one frame for every 1024 samples.
        while backlog >= 1024 {
            backlog -= 1024;
            backlog += feed(&mut machine, now, Input::Aac(vec![Bytes::from_static(b"aac")]));
        }
    }
    Played { outputs, machine }
}

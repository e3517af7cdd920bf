//! The coded sound. It repeats every second, so one second is encoded once, by the real encoder, and sent for ever.

use anyhow::Context;
use bytes::Bytes;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSrc};

use super::tone::Tone;

/// Length of one audio frame in ms.
pub(crate) const FRAME_MS: u64 = 20;
const FRAMES_A_SECOND: u64 = 1000 / FRAME_MS;

/// What the camera offers beside the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Codec {
    Opus,
    Pcmu,
    Pcma,
    None,
}

/// How a codec is encoded and packed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    pub(crate) rate: u32,
    channels: u32,
    encoder: &'static str,
    /// Caps of the coded frames.
    pub(crate) coded: &'static str,
    pub(crate) payloader: &'static str,
    /// Caps of the RTP packets.
    pub(crate) rtp: &'static str,
}

impl Codec {
    /// `None` where there is no sound.
    pub(crate) fn format(self) -> Option<Format> {
        match self {
            Self::Opus => Some(Format {
                rate: 48_000,
                channels: 2,
                encoder: "opusenc bitrate=96000 frame-size=20",
                coded: "audio/x-opus,rate=48000,channels=2,channel-mapping-family=0",
                payloader: "rtpopuspay pt=111",
                rtp: "application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000",
            }),
            Self::Pcmu => Some(Format {
                rate: 8000,
                channels: 1,
                encoder: "mulawenc",
                coded: "audio/x-mulaw,rate=8000,channels=1",
                payloader: "rtppcmupay pt=0 min-ptime=20000000 max-ptime=20000000",
                rtp: "application/x-rtp,media=audio,encoding-name=PCMU,payload=0,clock-rate=8000",
            }),
            Self::Pcma => Some(Format {
                rate: 8000,
                channels: 1,
                encoder: "alawenc",
                coded: "audio/x-alaw,rate=8000,channels=1",
                payloader: "rtppcmapay pt=8 min-ptime=20000000 max-ptime=20000000",
                rtp: "application/x-rtp,media=audio,encoding-name=PCMA,payload=8,clock-rate=8000",
            }),
            Self::None => None,
        }
    }
}

/// The frames of one second, the first of which starts on the second.
pub(crate) fn second(format: Format) -> anyhow::Result<Vec<Bytes>> {
    let Format {
        rate,
        channels,
        encoder,
        ..
    } = format;
    let description = format!(
        "appsrc name=input format=time caps=audio/x-raw,format=S16LE,layout=interleaved,rate={rate},channels={channels} \
         ! {encoder} ! appsink name=output sync=false"
    );
    let pipeline = gstreamer::parse::launch(&description).context("failed to make the audio encoder")?;
    let pipeline = pipeline
        .downcast::<gstreamer::Bin>()
        .ok()
        .context("failed to make the audio encoder")?;
    let input = pipeline
        .by_name("input")
        .and_downcast::<AppSrc>()
        .context("failed to find the audio input")?;
    let output = pipeline
        .by_name("output")
        .and_downcast::<AppSink>()
        .context("failed to find the audio output")?;
    pipeline
        .set_state(gstreamer::State::Playing)
        .context("failed to start the audio encoder")?;

    // The second of three: the encoder has settled before it and nothing ends within it.
    let tone = Tone::new(rate, usize::try_from(channels)?);
    for index in 0..3 * FRAMES_A_SECOND {
        let mut buffer = gstreamer::Buffer::from_mut_slice(tone.samples(index * FRAME_MS, FRAME_MS));
        if let Some(buffer) = buffer.get_mut() {
            buffer.set_pts(gstreamer::ClockTime::from_mseconds(index * FRAME_MS));
            buffer.set_duration(gstreamer::ClockTime::from_mseconds(FRAME_MS));
        }
        input
            .push_buffer(buffer)
            .context("failed to hand sound to the encoder")?;
    }
    input.end_of_stream().context("failed to end the sound")?;
    let mut frames = Vec::new();
    while let Ok(sample) = output.pull_sample() {
        let map = sample
            .buffer()
            .context("failed to read coded sound")?
            .map_readable()?;
        frames.push(Bytes::copy_from_slice(&map));
    }
    pipeline
        .set_state(gstreamer::State::Null)
        .context("failed to stop the audio encoder")?;

    let frames: Vec<_> = frames
        .into_iter()
        .skip(usize::try_from(FRAMES_A_SECOND)?)
        .take(usize::try_from(FRAMES_A_SECOND)?)
        .collect();
    anyhow::ensure!(
        frames.len() == usize::try_from(FRAMES_A_SECOND)?,
        "the audio encoder made too few frames"
    );
    Ok(frames)
}

//! The media of one session: packets in, frames out, sound turned into AAC on the way.

use std::time::Instant;

use spotstream_core::Deadline;
use spotstream_core::media::Frame;
use spotstream_core::media::audio::{AacStream, Codec, Source};
use spotstream_core::media::gate::KeyFrameNeeded;
use spotstream_core::media::transmux::{self, Input, Picture, Settings, Statistics, Transmuxer, Unsupported};
use spotstream_core::session::offer::{AudioCodec, Offer};
use spotstream_core::units::Bitrate;
use tracing::{info, warn};

use crate::config::choice::Audio;
use crate::edge::transcode::Transcoder;

/// Twitch's advice for sound.
const AUDIO_BITRATE: Bitrate = Bitrate::kbps(128);

/// What becomes of the media.
#[derive(Debug)]
pub enum Output {
    /// To be published.
    Frame(Frame),
    /// The camera is to be asked for a key frame.
    KeyFrameNeeded(KeyFrameNeeded),
    /// What the picture is like.
    Picture(Picture),
    /// The publication cannot go on with the picture's new size.
    SizeChanged,
    /// The camera sends what cannot be published.
    Unsupported(Unsupported),
}

/// Core's transmuxer and the transcoder that it asks for.
#[derive(Debug)]
pub struct Media {
    transmuxer: Transmuxer,
    transcoder: Option<Transcoder>,
}

impl Media {
    /// For what the camera offered.
    pub fn new(offer: &Offer, audio: Audio) -> Self {
        let sound = match audio {
            Audio::Camera => sound(offer),
            Audio::Silent => None,
        };
        let source = sound
            .as_ref()
            .map_or(Source::Silent, |(codec, transcoder)| Source::Camera {
                codec: *codec,
                aac: AacStream {
                    configuration: transcoder.audio_specific_config(),
                    priming_samples: transcoder.priming_samples(),
                },
            });
        let settings = Settings {
            parameter_sets: offer.parameter_sets().to_vec(),
            ..Settings::new(source)
        };
        Self {
            transmuxer: Transmuxer::new(settings),
            transcoder: sound.map(|(_, transcoder)| transcoder),
        }
    }

    /// Takes what came from the camera.
    pub fn handle(&mut self, now: Instant, input: Input) {
        self.transmuxer.handle(now, input);
    }

    /// What becomes of it.
    pub fn poll(&mut self) -> Option<Output> {
        loop {
            return Some(match self.transmuxer.poll()? {
                transmux::Output::Audio(step) => {
                    self.transcode(step);
                    continue;
                }
                transmux::Output::Frame(frame) => Output::Frame(frame),
                transmux::Output::KeyFrameNeeded(request) => Output::KeyFrameNeeded(request),
                transmux::Output::Picture(picture) => Output::Picture(picture),
                transmux::Output::SizeChanged { from, to } => {
                    info!(
                        "the camera's picture was {}x{} and is {}x{} now",
                        from.0, from.1, to.0, to.1
                    );
                    Output::SizeChanged
                }
                transmux::Output::Unsupported(unsupported) => Output::Unsupported(unsupported),
            });
        }
    }

    /// When [`Input::Tick`] is due.
    pub fn deadline(&self) -> Deadline {
        self.transmuxer.deadline()
    }

    /// What was counted so far.
    pub fn statistics(&self) -> Statistics {
        self.transmuxer.statistics()
    }

    fn transcode(&mut self, step: spotstream_core::media::audio::Step) {
        let Some(transcoder) = &mut self.transcoder else {
            return;
        };
        match transcoder.feed(step) {
            Ok(frames) => self.transmuxer.handle(Instant::now(), Input::Aac(frames)),
            Err(error) => warn!(kind = error.kind(), "failed to encode sound: {error}"),
        }
    }
}

fn sound(offer: &Offer) -> Option<(Codec, Transcoder)> {
    let Some(format) = &offer.audio else {
        info!("the camera offers no sound that is known, so the stream has a silent track");
        return None;
    };
    let codec = match format.codec {
        // The offer always says two channels; a mono sound is heard on both.
        AudioCodec::Opus => Codec::Opus { channels: 2 },
        AudioCodec::Pcmu => Codec::Pcmu,
        AudioCodec::Pcma => Codec::Pcma,
    };
    match Transcoder::new(codec, codec.channels(), AUDIO_BITRATE) {
        Ok(transcoder) => Some((codec, transcoder)),
        Err(error) => {
            warn!(kind = error.kind(), "the stream has a silent track: {error}");
            None
        }
    }
}

//! Audio: Opus or G.711 to AAC-LC at 48 kHz. Why these two libraries: docs/decisions/0002-audio-codecs.md.

use bytes::Bytes;
use opus_rs::OpusDecoder;
use spotstream_core::media::audio::{Codec, SAMPLE_RATE, Step};
use spotstream_core::units::Bitrate;
use syom::{EncodeOptions, Encoder};

mod g711;

/// Samples per channel in the longest Opus packet, 120 ms.
const LONGEST: usize = 5760;
/// Concealment works in units of 2.5 ms.
const CONCEAL_UNIT: usize = 120;
/// Samples per channel that are concealed at once, 20 ms.
const MOST_CONCEALED: usize = 960;
/// What the encoder puts in front of the first sample: one frame of overlap.
const PRIMING_SAMPLES: u32 = 1024;

/// Why audio cannot be transcoded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The decoder cannot be made.
    #[error("failed to make a decoder for {0:?}")]
    Decoder(Codec),
    /// The encoder refuses its settings or its input.
    #[error("failed to encode AAC")]
    Encoder(#[from] syom::AacError),
}

impl Error {
    /// A stable word for status and metrics.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Decoder(_) => "audio-decoder",
            Self::Encoder(_) => "audio-encoder",
        }
    }

    /// Whether a new transcoder may do better.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Encoder(_))
    }
}

/// Carries out the steps of one session.
pub struct Transcoder {
    decoder: Decoder,
    encoder: Encoder,
    channels: usize,
    /// Decoded samples, interleaved.
    decoded: Vec<f32>,
    /// The same, one plane per channel, as the encoder wants them.
    planes: [Vec<f32>; 2],
    concealed: u64,
}

enum Decoder {
    Opus(Box<OpusDecoder>),
    G711(Box<g711::Decoder>),
}

impl std::fmt::Debug for Transcoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transcoder")
            .field("channels", &self.channels)
            .finish_non_exhaustive()
    }
}

impl Transcoder {
    /// From `codec` to AAC-LC of `channels` channels (1 or 2) at `bitrate`.
    ///
    /// # Errors
    /// When a library refuses the settings.
    pub fn new(codec: Codec, channels: u8, bitrate: Bitrate) -> Result<Self, Error> {
        let channels = channels.clamp(1, 2);
        let decoder = match codec {
            Codec::Opus { .. } => {
                let rate = i32::try_from(SAMPLE_RATE).map_err(|_| Error::Decoder(codec))?;
                let decoder =
                    OpusDecoder::new(rate, usize::from(channels)).map_err(|_| Error::Decoder(codec))?;
                Decoder::Opus(Box::new(decoder))
            }
            Codec::Pcmu => Decoder::G711(Box::new(g711::Decoder::new(g711::Law::Mu))),
            Codec::Pcma => Decoder::G711(Box::new(g711::Decoder::new(g711::Law::A))),
        };
        let bps = u32::try_from(bitrate.as_bps()).unwrap_or(u32::MAX);
        let encoder = Encoder::new(
            SAMPLE_RATE,
            usize::from(channels),
            &EncodeOptions::raw().with_bitrate_bps(bps),
        )?;
        Ok(Self {
            decoder,
            encoder,
            channels: usize::from(channels),
            decoded: vec![0.0; LONGEST * usize::from(channels)],
            planes: [Vec::new(), Vec::new()],
            concealed: 0,
        })
    }

    /// The AudioSpecificConfig (ISO 14496-3 section 1.6.2.1) of all frames.
    pub fn audio_specific_config(&self) -> Bytes {
        Bytes::copy_from_slice(self.encoder.asc())
    }

    /// Samples by which what is decoded from the frames lags what was fed.
    pub fn priming_samples(&self) -> u32 {
        PRIMING_SAMPLES
    }

    /// Packets that could not be decoded and were concealed.
    pub fn concealed_packets(&self) -> u64 {
        self.concealed
    }

    /// Carries out one step: exactly `step.samples()` samples go into the encoder. Returns the frames of 1024
    /// samples that filled up.
    ///
    /// # Errors
    /// When the encoder fails; a packet that cannot be decoded is concealed and is no error.
    pub fn feed(&mut self, step: Step) -> Result<Vec<Bytes>, Error> {
        let wanted = usize::try_from(step.samples()).unwrap_or(0);
        for plane in &mut self.planes {
            plane.clear();
        }
        match step {
            Step::Decode { payload, .. } => self.decode(&payload, wanted),
            Step::Conceal { .. } => self.conceal(wanted),
            Step::Silence { .. } => self.silence(wanted),
        }
        let mut frames = Vec::new();
        let mut keep = |frame: syom::EncodedFrame<'_>| {
            frames.push(Bytes::copy_from_slice(frame.payload));
            Ok(())
        };
        let [left, right] = &self.planes;
        if self.channels == 1 {
            self.encoder.feed(&[left], &mut keep)?;
        } else {
            self.encoder.feed(&[left, right], &mut keep)?;
        }
        Ok(frames)
    }

    fn decode(&mut self, payload: &[u8], wanted: usize) {
        let samples = match &mut self.decoder {
            Decoder::Opus(decoder) => decoder.decode(payload, LONGEST, &mut self.decoded).unwrap_or(0),
            Decoder::G711(decoder) => {
                for sample in decoder.decode(payload) {
                    for plane in self.planes.iter_mut().take(self.channels) {
                        plane.push(sample);
                    }
                }
                self.keep_last(wanted);
                return;
            }
        };
        if samples < wanted {
            self.concealed += 1;
            self.conceal(wanted);
        } else {
            self.take(samples - wanted, samples);
        }
    }

    fn conceal(&mut self, wanted: usize) {
        let mut left = wanted;
        while left > 0 {
            let Decoder::Opus(decoder) = &mut self.decoder else {
                break;
            };
            let ask = left.next_multiple_of(CONCEAL_UNIT).min(MOST_CONCEALED);
            let made = decoder.decode(&[], ask, &mut self.decoded).unwrap_or(0).min(left);
            if made == 0 {
                break;
            }
            self.take(0, made);
            left -= made;
        }
        self.silence(left);
    }

    fn silence(&mut self, wanted: usize) {
        for plane in self.planes.iter_mut().take(self.channels) {
            plane.resize(plane.len() + wanted, 0.0);
        }
    }

    /// Moves the decoded samples from `from` to `to` into the planes.
    fn take(&mut self, from: usize, to: usize) {
        for (channel, plane) in self.planes.iter_mut().take(self.channels).enumerate() {
            let samples = self
                .decoded
                .iter()
                .skip(from * self.channels + channel)
                .step_by(self.channels);
            plane.extend(samples.take(to - from).map(|sample| tame(*sample)));
        }
    }

    fn keep_last(&mut self, wanted: usize) {
        for plane in self.planes.iter_mut().take(self.channels) {
            plane.drain(..plane.len().saturating_sub(wanted));
            plane.resize(wanted, 0.0);
        }
    }
}

/// The encoder takes samples from -1 to 1 and nothing else.
fn tame(sample: f32) -> f32 {
    if sample.is_finite() {
        sample.clamp(-1.0, 1.0)
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use opus_rs::{Application, OpusEncoder};
    use proptest::prelude::*;

    const OPUS: Codec = Codec::Opus { channels: 2 };

    fn transcoder(codec: Codec) -> Transcoder {
        Transcoder::new(codec, 2, Bitrate::kbps(128)).unwrap()
    }

    /// A chirp: like nothing but itself at any other time.
    #[expect(clippy::cast_precision_loss, reason = "a few thousand samples")]
    fn chirp(samples: usize) -> Vec<f32> {
        (0..samples)
            .map(|n| {
                let t = n as f32 / 48_000.0;
                0.4 * (std::f32::consts::TAU * (300.0 + 900.0 * t) * t).sin()
            })
            .collect()
    }

    fn opus_packets(sound: &[f32]) -> Vec<Bytes> {
        let mut encoder = OpusEncoder::new(48_000, 2, Application::Audio).unwrap();
        encoder.bitrate_bps = 96_000;
        sound
            .chunks_exact(960)
            .map(|chunk| {
                let stereo: Vec<f32> = chunk.iter().flat_map(|sample| [*sample, *sample]).collect();
                let mut packet = [0; 1500];
                let length = encoder.encode(&stereo, 960, &mut packet).unwrap();
                Bytes::copy_from_slice(&packet[..length])
            })
            .collect()
    }

    fn decoded(transcoder: &Transcoder, frames: &[Bytes]) -> Vec<f32> {
        assert_eq!(&transcoder.audio_specific_config()[..], [0x11, 0x90]);
        let mut adts = Vec::new();
        for frame in frames {
            adts.extend_from_slice(&syom::wrap_adts_au(frame, 48_000, 2).unwrap());
        }
        syom::decode_with(&adts, &syom::DecodeOptions::unbounded())
            .unwrap()
            .channels[0]
            .clone()
    }

    #[test]
    fn opus_becomes_aac_that_lags_by_the_priming_and_sounds_the_same() {
        let sound = chirp(48_000);
        let mut transcoder = transcoder(OPUS);
        let mut frames = Vec::new();
        for payload in opus_packets(&sound) {
            frames.extend(
                transcoder
                    .feed(Step::Decode {
                        payload,
                        samples: 960,
                    })
                    .unwrap(),
            );
        }
        assert_eq!(frames.len(), 48_000 / 1024);
        let heard = decoded(&transcoder, &frames);
        // libopus and its ports look 6.5 ms ahead (RFC 7845 section 4.2): 312 samples.
        let lag = usize::try_from(transcoder.priming_samples()).unwrap() + 312;
        let (mut signal, mut noise) = (0.0, 0.0);
        for n in 4800..43_000 {
            signal += sound[n] * sound[n];
            noise += (heard[n + lag] - sound[n]).powi(2);
        }
        let ratio = 10.0 * (signal / noise).log10();
        assert!(ratio > 20.0, "{ratio} dB");
    }

    #[test]
    fn a_packet_that_cannot_be_decoded_is_concealed() {
        let mut transcoder = transcoder(OPUS);
        let broken = Step::Decode {
            payload: Bytes::from_static(&[0xFB]),
            samples: 1024,
        };
        assert_eq!(transcoder.feed(broken).unwrap().len(), 1);
        assert_eq!(transcoder.concealed_packets(), 1);
    }

    #[test]
    fn telephone_sound_becomes_six_times_as_many_samples() {
        for codec in [Codec::Pcmu, Codec::Pcma] {
            let mut transcoder = transcoder(codec);
            let payload = Bytes::from(vec![0xD5; 1024]);
            assert_eq!(
                transcoder
                    .feed(Step::Decode {
                        payload,
                        samples: 6144
                    })
                    .unwrap()
                    .len(),
                6
            );
        }
    }

    fn step() -> impl Strategy<Value = Step> {
        let samples = 1u32..6000;
        prop_oneof![
            (prop::collection::vec(any::<u8>(), 0..200), samples.clone()).prop_map(|(payload, samples)| {
                Step::Decode {
                    payload: payload.into(),
                    samples,
                }
            }),
            samples.clone().prop_map(|samples| Step::Conceal { samples }),
            samples.prop_map(|samples| Step::Silence { samples }),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_the_packets_hold_a_step_makes_exactly_its_samples(
            steps in prop::collection::vec(step(), 1..40),
            telephone in any::<bool>(),
        ) {
            let mut transcoder = transcoder(if telephone { Codec::Pcmu } else { OPUS });
            let (mut samples, mut frames) = (0, 0);
            for step in steps {
                samples += step.samples();
                frames += transcoder.feed(step).unwrap().len();
                prop_assert_eq!(frames, usize::try_from(samples / 1024).unwrap());
            }
        }
    }
}

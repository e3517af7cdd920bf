//! Frames as FLV tag bodies (Adobe FLV 10.1, annex E), which is what RTMP carries.

use std::collections::VecDeque;

use bytes::Bytes;

use super::amf::{self, Value};
use super::{Message, message_type};
use crate::media::Frame;
use crate::media::h264::DecoderConfiguration;
use crate::units::{Bitrate, FrameRate, MediaTime};

/// An RTMP message has a 24-bit length.
const LONGEST_BODY: usize = 0x00ff_ffff;

/// A composition offset has 24 bits and a sign.
const LARGEST_OFFSET_MS: u32 = 0x007f_ffff;

/// What is told about the stream beside the size of its picture, for people and dashboards: no decoder needs it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    /// How often there is a picture.
    pub frame_rate: Option<FrameRate>,
    /// What the camera was asked for.
    pub video_bitrate: Option<Bitrate>,
    /// The audio track, unless there is none.
    pub audio: Option<AudioDescription>,
}

/// What is told about the audio track.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioDescription {
    /// In Hz.
    pub sample_rate_hz: u32,
    /// 1 or 2.
    pub channels: u8,
    /// Of the AAC.
    pub bitrate: Bitrate,
}

/// Why a frame cannot be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// An SPS or PPS that no decoder configuration can hold.
    #[error("failed to describe the video: its parameter sets are {sps} and {pps} bytes long")]
    ParameterSets {
        /// Length of the SPS in bytes.
        sps: usize,
        /// Length of the PPS in bytes.
        pps: usize,
    },
    /// A frame of 16 MiB and more.
    #[error("failed to wrap a frame of {0} bytes: RTMP has room for {LONGEST_BODY}")]
    TooLong(usize),
}

/// Turns the frames of one publication into messages: time starts at zero and never falls.
#[derive(Debug)]
pub struct Tags {
    stream_id: u32,
    description: Description,
    zero: Option<MediaTime>,
    video: Clock,
    audio: Clock,
}

/// The last timestamp of a track.
#[derive(Debug, Default)]
struct Clock {
    last: Option<u64>,
}

impl Clock {
    /// A server takes a step back for a step of 49 days forward, so a frame is at least 1 ms after the one before.
    fn frame(&mut self, at: u64) -> u64 {
        let at = self.last.map_or(at, |last| at.max(last + 1));
        self.last = Some(at);
        at
    }

    /// A header may share its time with the frame that it belongs to.
    fn header(&self, at: u64) -> u64 {
        self.last.map_or(at, |last| at.max(last))
    }
}

impl Tags {
    /// For the message stream that the server gave us.
    pub fn new(stream_id: u32, description: Description) -> Self {
        Self {
            stream_id,
            description,
            zero: None,
            video: Clock::default(),
            audio: Clock::default(),
        }
    }

    /// Appends the messages of one frame. A video header comes with the metadata that describes it.
    ///
    /// # Errors
    /// When FLV has no room for the frame; nothing is appended then.
    pub fn write(&mut self, frame: &Frame, out: &mut VecDeque<Message>) -> Result<(), Error> {
        let zero = *self.zero.get_or_insert(frame.at());
        let at = frame.at().as_millis().saturating_sub(zero.as_millis());
        match frame {
            Frame::VideoHeader { configuration, .. } => {
                let body = video_header(configuration)?;
                let at = self.video.header(at);
                out.push_back(self.message(message_type::DATA, at, self.metadata(configuration)));
                out.push_back(self.message(message_type::VIDEO, at, body));
            }
            Frame::Video {
                composition_offset_ms,
                idr,
                nals,
                ..
            } => {
                let body = video(*composition_offset_ms, *idr, nals)?;
                let at = self.video.frame(at);
                out.push_back(self.message(message_type::VIDEO, at, body));
            }
            Frame::AudioHeader { configuration, .. } => {
                let body = audio(0, configuration)?;
                out.push_back(self.message(message_type::AUDIO, self.audio.header(at), body));
            }
            Frame::Audio { payload, .. } => {
                let body = audio(1, payload)?;
                let at = self.audio.frame(at);
                out.push_back(self.message(message_type::AUDIO, at, body));
            }
        }
        Ok(())
    }

    fn message(&self, type_id: u8, at: u64, body: Vec<u8>) -> Message {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "RTMP 1.0 section 4: timestamps are modulo 2^32 ms"
        )]
        let timestamp = at as u32;
        Message {
            type_id,
            stream_id: self.stream_id,
            timestamp,
            payload: Bytes::from(body),
        }
    }

    /// `@setDataFrame` with `onMetaData` (annex E.5).
    fn metadata(&self, video: &DecoderConfiguration) -> Vec<u8> {
        let number = |name: &str, value: f64| (name.to_owned(), Value::Number(value));
        let mut properties = vec![
            number("duration", 0.0),
            number("width", f64::from(video.width)),
            number("height", f64::from(video.height)),
            number("videocodecid", 7.0),
        ];
        if let Some(bitrate) = self.description.video_bitrate {
            properties.push(number("videodatarate", bitrate.as_kbps_f64()));
        }
        if let Some(rate) = self.description.frame_rate {
            properties.push(number("framerate", rate.as_f64()));
        }
        if let Some(audio) = self.description.audio {
            properties.extend([
                number("audiocodecid", 10.0),
                number("audiodatarate", audio.bitrate.as_kbps_f64()),
                number("audiosamplerate", f64::from(audio.sample_rate_hz)),
                number("audiosamplesize", 16.0),
                number("audiochannels", f64::from(audio.channels)),
                ("stereo".to_owned(), Value::Boolean(audio.channels == 2)),
            ]);
        }
        let encoder = concat!("spotstream ", env!("CARGO_PKG_VERSION"));
        properties.push(("encoder".to_owned(), Value::string(encoder)));
        amf::write_all(&[
            Value::string("@setDataFrame"),
            Value::string("onMetaData"),
            Value::EcmaArray(properties),
        ])
    }
}

/// Annex E.4.3.1: frame type in the upper, codec 7 (AVC) in the lower four bits.
const KEY_FRAME: u8 = 0x17;
const INTER_FRAME: u8 = 0x27;
/// Annex E.4.2.1: AAC, and the rate, size and channels that annex E prescribes for it whatever they are.
const AAC: u8 = 0xaf;

fn video_header(configuration: &DecoderConfiguration) -> Result<Vec<u8>, Error> {
    let mut body = vec![KEY_FRAME, 0, 0, 0, 0];
    body.extend(avc_configuration(configuration)?);
    Ok(body)
}

fn video(composition_offset_ms: u32, idr: bool, nals: &[Bytes]) -> Result<Vec<u8>, Error> {
    let length = 5 + nals.iter().map(|nal| 4 + nal.len()).sum::<usize>();
    let mut body = buffer(length)?;
    let [_, offset @ ..] = composition_offset_ms.min(LARGEST_OFFSET_MS).to_be_bytes();
    body.extend([if idr { KEY_FRAME } else { INTER_FRAME }, 1]);
    body.extend(offset);
    for nal in nals {
        body.extend(u32::try_from(nal.len()).unwrap_or(u32::MAX).to_be_bytes());
        body.extend_from_slice(nal);
    }
    Ok(body)
}

fn audio(packet_type: u8, payload: &[u8]) -> Result<Vec<u8>, Error> {
    let mut body = buffer(2 + payload.len())?;
    body.extend([AAC, packet_type]);
    body.extend_from_slice(payload);
    Ok(body)
}

fn buffer(length: usize) -> Result<Vec<u8>, Error> {
    if length > LONGEST_BODY {
        Err(Error::TooLong(length))
    } else {
        Ok(Vec::with_capacity(length))
    }
}

/// The AVCDecoderConfigurationRecord (ISO 14496-15 section 5.3.3.1) with one SPS and 4-byte lengths.
fn avc_configuration(configuration: &DecoderConfiguration) -> Result<Vec<u8>, Error> {
    let DecoderConfiguration { sps, pps, high, .. } = configuration;
    let bad = || Error::ParameterSets {
        sps: sps.len(),
        pps: pps.iter().map(Bytes::len).sum(),
    };
    let [_, profile, compatibility, level, ..] = **sps else {
        return Err(bad());
    };
    if pps.is_empty() || pps.iter().any(Bytes::is_empty) {
        return Err(bad());
    }
    let count = u8::try_from(pps.len()).map_err(|_| bad())?;
    let mut record = vec![1, profile, compatibility, level, 0xfc | 3, 0xe0 | 1];
    record.extend(u16::try_from(sps.len()).map_err(|_| bad())?.to_be_bytes());
    record.extend_from_slice(sps);
    record.push(count);
    for nal in pps {
        record.extend(u16::try_from(nal.len()).map_err(|_| bad())?.to_be_bytes());
        record.extend_from_slice(nal);
    }
    if let Some(high) = high {
        record.extend([
            0xfc | high.chroma_format_idc & 3,
            0xf8 | high.bit_depth_luma_minus8 & 7,
            0xf8 | high.bit_depth_chroma_minus8 & 7,
            // No SPS extensions.
            0,
        ]);
    }
    Ok(record)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::h264::HighProfile;

    /// 640x480 High, as x264 writes it.
    const HIGH: &[u8] =
        b"\x67\x64\x00\x1e\xac\xd9\x40\xa0\x3d\xa1\x00\x00\x03\x00\x01\x00\x00\x03\x00\x3c\x8f\x16\x2d\x96";
    const BASELINE: &[u8] =
        b"\x67\x42\xc0\x1f\xda\x01\x40\x16\xe8\x40\x00\x00\x03\x00\x40\x00\x00\x0c\x83\xc6\x0c\xa8";
    const PPS: &[u8] = b"\x68\xce\x3c\x80";

    fn configuration(sps: &'static [u8]) -> DecoderConfiguration {
        DecoderConfiguration {
            sps: Bytes::from_static(sps),
            pps: vec![Bytes::from_static(PPS)],
            width: 1280,
            height: 720,
            high: (sps == HIGH).then_some(HighProfile {
                chroma_format_idc: 1,
                bit_depth_luma_minus8: 0,
                bit_depth_chroma_minus8: 0,
            }),
        }
    }

    fn video_frame(at: u64, idr: bool) -> Frame {
        let nals = vec![Bytes::from_static(b"\x65abc"), Bytes::from_static(b"\x65d")];
        Frame::Video {
            at: MediaTime::millis(at),
            composition_offset_ms: 40,
            idr,
            nals,
        }
    }

    fn audio_frame(at: u64) -> Frame {
        Frame::Audio {
            at: MediaTime::millis(at),
            payload: Bytes::from_static(b"aac"),
        }
    }

    fn write(tags: &mut Tags, frames: &[Frame]) -> Vec<Message> {
        let mut out = VecDeque::new();
        frames
            .iter()
            .for_each(|frame| tags.write(frame, &mut out).unwrap());
        out.into()
    }

    #[test]
    fn frames_become_the_tag_bodies_of_annex_e() {
        let mut tags = Tags::new(1, Description::default());
        let messages = write(
            &mut tags,
            &[
                Frame::VideoHeader {
                    at: MediaTime::millis(7000),
                    configuration: configuration(BASELINE),
                },
                Frame::AudioHeader {
                    at: MediaTime::millis(7000),
                    configuration: Bytes::from_static(b"\x11\x90"),
                },
                video_frame(7000, true),
                audio_frame(7005),
                video_frame(7033, false),
            ],
        );
        let bodies: Vec<(u8, u32, &[u8])> = messages[1..]
            .iter()
            .map(|m| (m.type_id, m.timestamp, &m.payload[..]))
            .collect();
        let mut header = b"\x17\0\0\0\0\x01\x42\xc0\x1f\xff\xe1\0\x16".to_vec();
        header.extend(BASELINE);
        header.extend(b"\x01\0\x04");
        header.extend(PPS);
        assert_eq!(
            bodies,
            [
                (9, 0, &header[..]),
                (8, 0, b"\xaf\0\x11\x90"),
                (9, 0, b"\x17\x01\0\0\x28\0\0\0\x04\x65abc\0\0\0\x02\x65d"),
                (8, 5, b"\xaf\x01aac"),
                (9, 33, b"\x27\x01\0\0\x28\0\0\0\x04\x65abc\0\0\0\x02\x65d"),
            ]
        );
    }

    #[test]
    fn the_metadata_says_what_obs_says() {
        let mut tags = Tags::new(
            1,
            Description {
                frame_rate: Some(FrameRate::millihertz(29_970)),
                video_bitrate: Some(Bitrate::kbps(4500)),
                audio: Some(AudioDescription {
                    sample_rate_hz: 48_000,
                    channels: 2,
                    bitrate: Bitrate::kbps(128),
                }),
            },
        );
        let header = Frame::VideoHeader {
            at: MediaTime::ZERO,
            configuration: configuration(BASELINE),
        };
        let message = write(&mut tags, &[header]).remove(0);
        assert_eq!((message.type_id, message.stream_id), (18, 1));
        let values = amf::read_all(&message.payload).unwrap();
        assert_eq!(values[0].as_str(), Some("@setDataFrame"));
        assert_eq!(values[1].as_str(), Some("onMetaData"));
        for (name, value) in [
            ("width", 1280.0),
            ("height", 720.0),
            ("framerate", 29.97),
            ("videocodecid", 7.0),
            ("videodatarate", 4500.0),
            ("audiocodecid", 10.0),
            ("audiodatarate", 128.0),
            ("audiosamplerate", 48_000.0),
            ("audiosamplesize", 16.0),
            ("audiochannels", 2.0),
        ] {
            assert_eq!(
                values[2].get(name).and_then(Value::as_number),
                Some(value),
                "{name}"
            );
        }
    }

    #[test]
    fn a_high_profile_configuration_ends_with_its_chroma_format_and_bit_depths() {
        let record = avc_configuration(&configuration(HIGH)).unwrap();
        assert_eq!(record[record.len() - 4..], [0xfd, 0xf8, 0xf8, 0]);
    }

    #[test]
    fn parameter_sets_that_do_not_fit_are_refused() {
        let mut empty = configuration(BASELINE);
        empty.pps.clear();
        let mut long = configuration(BASELINE);
        long.sps = Bytes::from(vec![0x67; 70_000]);
        for bad in [configuration(b"\x67\x42"), empty, long] {
            let frame = Frame::VideoHeader {
                at: MediaTime::ZERO,
                configuration: bad,
            };
            let mut out = VecDeque::new();
            let result = Tags::new(1, Description::default()).write(&frame, &mut out);
            assert!(matches!(result, Err(Error::ParameterSets { .. })));
            assert!(out.is_empty());
        }
    }

    #[test]
    fn the_time_of_a_track_never_falls_and_the_other_track_does_not_matter() {
        let mut tags = Tags::new(1, Description::default());
        let frames = [
            video_frame(1000, true),
            audio_frame(990),
            video_frame(1000, false),
            audio_frame(1011),
            video_frame(980, false),
            audio_frame(1032),
            video_frame(1033, false),
        ];
        let times: Vec<_> = write(&mut tags, &frames)
            .iter()
            .map(|message| message.timestamp)
            .collect();
        assert_eq!(times, [0, 0, 1, 11, 2, 32, 33]);
    }

    #[test]
    fn time_goes_on_after_49_days() {
        let mut tags = Tags::new(1, Description::default());
        let frames = [
            video_frame(0, true),
            video_frame(0xffff_fff0, true),
            video_frame(0x1_0000_0011, true),
        ];
        let times: Vec<_> = write(&mut tags, &frames)
            .iter()
            .map(|message| message.timestamp)
            .collect();
        assert_eq!(times, [0, 0xffff_fff0, 0x11]);
    }
}

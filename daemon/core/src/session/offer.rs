//! What the camera offers, read from its SDP (RFC 8866, RFC 8829), and what of it can be used.
//!
//! Only what decides something is read. The camera's real offer has never been seen by the authors, so everything
//! that a WebRTC sender may legally leave out may be missing, and what is not understood is passed over.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::sections::{Section, by_payload_type, direction, mappings, names, parameter, prepare, split};
use crate::rtp::Track;

/// An offer that can be answered: at least one H.264 stream that the camera wants to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The video formats that can be used, in the camera's order. Never empty.
    pub video: Vec<VideoFormat>,
    /// The audio format that is answered, if one of those offered can be used.
    pub audio: Option<AudioFormat>,
    /// Whether the camera insists on being the DTLS client (`a=setup:active`, RFC 8842 section 5.2), so that we must
    /// wait for it.
    pub camera_opens_dtls: bool,
    sdp: String,
}

/// An H.264 payload type (RFC 6184 section 8.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VideoFormat {
    /// The RTP payload type.
    pub payload_type: u8,
    /// The format parameters as they were offered; they go back unchanged in the answer.
    pub parameters: String,
    /// Parameter sets from `sprop-parameter-sets`: NAL units without start codes.
    pub parameter_sets: Vec<Bytes>,
    /// The payload type of retransmissions (RFC 4588), if the camera offers them.
    pub retransmission: Option<Retransmission>,
    /// The feedback (RFC 4585) that the camera says it understands for this payload type.
    pub feedback: Vec<Feedback>,
}

/// A retransmission payload type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retransmission {
    /// The RTP payload type.
    pub payload_type: u8,
    /// Its format parameters as offered: `apt=..`.
    pub parameters: String,
}

/// One `a=rtcp-fb` value: the type and its parameter, which may be empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// `nack`, `ccm`, `goog-remb`, ...
    pub kind: String,
    /// `pli`, `fir`, ... or empty.
    pub parameter: String,
}

/// An audio payload type that can be turned into AAC.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioFormat {
    /// The RTP payload type.
    pub payload_type: u8,
    /// The codec.
    pub codec: AudioCodec,
    /// The format parameters as they were offered.
    pub parameters: String,
}

/// The audio codecs that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AudioCodec {
    /// Opus, always 48 kHz on the wire (RFC 7587). An offer's channel count is always 2; it says nothing about
    /// the sound itself.
    Opus,
    /// G.711 mu-law, 8 kHz mono.
    Pcmu,
    /// G.711 A-law, 8 kHz mono.
    Pcma,
}

impl AudioCodec {
    /// The RTP clock, in hertz.
    pub fn clock_rate(self) -> u32 {
        match self {
            Self::Opus => 48_000,
            Self::Pcmu | Self::Pcma => 8_000,
        }
    }
}

/// Whose packets a payload type carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// The track itself.
    Media(Track),
    /// Packets of the track that were lost once: two octets of the original sequence number come first (RFC 4588).
    Retransmission(Track),
}

/// Why an offer cannot be answered.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum Error {
    /// It does not begin as SDP does.
    #[error("the camera's offer is not a session description")]
    NotSdp,
    /// There is no video in it.
    #[error("the camera offers no video")]
    NoVideo,
    /// There is video, but the camera does not want to send any.
    #[error("the camera offers video that it will not send (its direction is '{0}')")]
    NotSent(String),
    /// There is video, but not H.264 in a packetization that can be used.
    #[error("the camera offers video only as '{0}', and H.264 is needed")]
    NoH264(String),
    /// There is nothing to check the camera's DTLS certificate against.
    #[error("the camera's offer has no certificate fingerprint, so its media could not be decrypted")]
    NoFingerprint,
    /// There is nothing to check connectivity with.
    #[error("the camera's offer has no ICE credentials")]
    NoIce,
}

impl Error {
    /// A stable word for metrics and status.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotSdp => "offer-not-sdp",
            Self::NoVideo => "offer-no-video",
            Self::NotSent(_) => "offer-not-sent",
            Self::NoH264(_) => "offer-no-h264",
            Self::NoFingerprint => "offer-no-fingerprint",
            Self::NoIce => "offer-no-ice",
        }
    }

    /// Whether a later offer may be better: a camera that starts may offer less at first.
    pub fn is_retryable(&self) -> bool {
        true
    }
}

impl Offer {
    /// Reads an offer.
    ///
    /// # Errors
    /// Says why the offer cannot be used.
    pub fn parse(sdp: &str) -> Result<Self, Error> {
        if !sdp.trim_start().starts_with("v=0") {
            return Err(Error::NotSdp);
        }
        let (session, sections) = split(sdp);
        let all = || {
            session
                .iter()
                .chain(sections.iter().flat_map(|section| section.lines.iter()))
                .copied()
        };
        if !all().any(|line| line.starts_with("a=fingerprint:")) {
            return Err(Error::NoFingerprint);
        }
        if !all().any(|line| line.starts_with("a=ice-ufrag:"))
            || !all().any(|line| line.starts_with("a=ice-pwd:"))
        {
            return Err(Error::NoIce);
        }

        let default = direction(&session).unwrap_or("sendrecv");
        // Port 0 refuses a section, unless it only lives in a bundle (RFC 9143 section 6).
        let is_alive = |section: &Section<'_>| section.port != 0 || section.lines.contains(&"a=bundle-only");
        let sends = |section: &&Section<'_>| {
            is_alive(section)
                && matches!(
                    direction(&section.lines).unwrap_or(default),
                    "sendonly" | "sendrecv"
                )
        };
        let video: Vec<&Section<'_>> = sections
            .iter()
            .filter(|section| section.media == "video")
            .collect();
        let Some(first) = video.first() else {
            return Err(Error::NoVideo);
        };
        if !video.iter().any(sends) {
            return Err(Error::NotSent(
                direction(&first.lines).unwrap_or(default).to_owned(),
            ));
        }
        let mut formats: Vec<VideoFormat> = Vec::new();
        for format in video
            .iter()
            .filter(|s| sends(s))
            .flat_map(|section| video_formats(section))
        {
            // Several sections of one bundle use a payload type for the same format, or not at all (RFC 9143).
            if !formats
                .iter()
                .any(|known| known.payload_type == format.payload_type)
            {
                formats.push(format);
            }
        }
        if formats.is_empty() {
            return Err(Error::NoH264(names(&video)));
        }

        let audio = sections
            .iter()
            .filter(|section| section.media == "audio")
            .filter(sends)
            .flat_map(audio_formats)
            .min_by_key(|format| match format.codec {
                AudioCodec::Opus => 0,
                AudioCodec::Pcmu => 1,
                AudioCodec::Pcma => 2,
            });
        let camera_opens_dtls = all().any(|line| line == "a=setup:active");
        Ok(Self {
            video: formats,
            audio,
            camera_opens_dtls,
            sdp: prepare(&session, &sections),
        })
    }

    /// Whose packets `payload_type` carries, if it is one of those answered.
    pub fn route(&self, payload_type: u8) -> Option<Route> {
        if self
            .audio
            .as_ref()
            .is_some_and(|audio| audio.payload_type == payload_type)
        {
            return Some(Route::Media(Track::Audio));
        }
        self.video.iter().find_map(|format| {
            if format.payload_type == payload_type {
                Some(Route::Media(Track::Video))
            } else if format
                .retransmission
                .as_ref()
                .is_some_and(|rtx| rtx.payload_type == payload_type)
            {
                Some(Route::Retransmission(Track::Video))
            } else {
                None
            }
        })
    }

    /// The parameter sets that the offer carries, if any: NAL units without start codes, of the first format that
    /// has them.
    pub fn parameter_sets(&self) -> &[Bytes] {
        self.video
            .iter()
            .map(|format| format.parameter_sets.as_slice())
            .find(|sets| !sets.is_empty())
            .unwrap_or(&[])
    }

    /// Whether lost video packets may be asked for again (RFC 4585 section 6.2.1).
    pub fn takes_nack(&self) -> bool {
        self.video.iter().any(|format| format.understands("nack", ""))
    }

    /// The offer for the WebRTC stack: as the camera sent it, but with a `mid` and an SSRC for every section and
    /// without the candidates that we never use (TCP, and names that would need multicast DNS).
    pub fn sdp(&self) -> &str {
        &self.sdp
    }
}

impl VideoFormat {
    /// Whether the camera says it understands this feedback.
    pub fn understands(&self, kind: &str, parameter: &str) -> bool {
        self.feedback
            .iter()
            .any(|feedback| feedback.kind == kind && feedback.parameter == parameter)
    }
}

/// The offer without what would let somebody else take part in the session: for the record of a field test.
pub fn redacted(sdp: &str) -> String {
    let mut text = String::with_capacity(sdp.len());
    for line in sdp.lines() {
        let secret = ["a=ice-pwd:", "a=ice-ufrag:", "a=crypto:", "a=identity:", "k="];
        match secret.iter().find(|key| line.starts_with(**key)) {
            Some(key) => {
                text.push_str(key);
                text.push_str("<cut>");
            }
            None => text.push_str(line),
        }
        text.push_str("\r\n");
    }
    text
}

fn video_formats(section: &Section<'_>) -> Vec<VideoFormat> {
    let mappings = mappings(section);
    let feedback = by_payload_type(section, "rtcp-fb");
    mappings
        .iter()
        .filter(|(_, mapping)| mapping.name == "h264/90000")
        // Interleaved packetization (RFC 6184 section 5.5) changes the order of NAL units; nobody sends it.
        .filter(|(_, mapping)| !matches!(parameter(&mapping.parameters, "packetization-mode"), Some("2")))
        .map(|(payload_type, mapping)| VideoFormat {
            payload_type: *payload_type,
            parameters: mapping.parameters.clone(),
            parameter_sets: parameter(&mapping.parameters, "sprop-parameter-sets")
                .map(nal_units)
                .unwrap_or_default(),
            retransmission: mappings
                .iter()
                .find(|(_, rtx)| {
                    rtx.name == "rtx/90000"
                        && parameter(&rtx.parameters, "apt").and_then(|apt| apt.parse().ok())
                            == Some(*payload_type)
                })
                .map(|(payload_type, rtx)| Retransmission {
                    payload_type: *payload_type,
                    parameters: rtx.parameters.clone(),
                }),
            feedback: feedback
                .iter()
                .filter(|(key, _)| key.is_none_or(|key| key == *payload_type))
                .map(|(_, value)| {
                    let (kind, parameter) = value.split_once(' ').unwrap_or((value, ""));
                    Feedback {
                        kind: kind.to_owned(),
                        parameter: parameter.trim().to_owned(),
                    }
                })
                .collect(),
        })
        .collect()
}

fn audio_formats(section: &Section<'_>) -> Vec<AudioFormat> {
    mappings(section)
        .into_iter()
        .filter_map(|(payload_type, mapping)| {
            let codec = match mapping.name.as_str() {
                "pcmu/8000" | "pcmu/8000/1" => AudioCodec::Pcmu,
                "pcma/8000" | "pcma/8000/1" => AudioCodec::Pcma,
                name if name.starts_with("opus/48000") => AudioCodec::Opus,
                _ => return None,
            };
            Some(AudioFormat {
                payload_type,
                codec,
                parameters: mapping.parameters,
            })
        })
        .collect()
}

/// NAL units from `sprop-parameter-sets` (RFC 6184 section 8.1). What is not base64 is left out: in-band sets follow.
fn nal_units(value: &str) -> Vec<Bytes> {
    value
        .split(',')
        .filter_map(|item| STANDARD.decode(item.trim()).ok())
        .filter(|nal| !nal.is_empty())
        .map(Bytes::from)
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEAD: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n\
        a=ice-ufrag:u\r\na=ice-pwd:secretsecret\r\na=fingerprint:sha-256 AA\r\n";
    const VIDEO: &str = "m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:0\r\na=sendonly\r\na=rtpmap:96 H264/90000\r\n\
        a=fmtp:96 packetization-mode=1;profile-level-id=42e01f;sprop-parameter-sets=Z0LgH9oBQBbpUg==,aM4G4g==\r\n\
        a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtcp-fb:* nack\r\na=rtcp-fb:96 nack pli\r\na=ssrc:1 cname:c\r\n";
    const AUDIO: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111 0\r\na=mid:1\r\na=sendrecv\r\na=rtpmap:111 opus/48000/2\r\n\
        a=fmtp:111 minptime=10;useinbandfec=1\r\na=ssrc:2 cname:c\r\n";

    fn parse(sections: &[&str]) -> Result<Offer, Error> {
        Offer::parse(&format!("{HEAD}{}", sections.concat()))
    }

    #[test]
    fn formats_parameter_sets_and_feedback_are_read() {
        let offer = parse(&[VIDEO, AUDIO]).unwrap();
        let [format] = offer.video.as_slice() else {
            panic!("{:?}", offer.video)
        };
        assert_eq!((format.payload_type, offer.takes_nack()), (96, true));
        assert!(format.understands("nack", "pli") && !format.understands("ccm", "fir"));
        let sets: Vec<u8> = offer.parameter_sets().iter().map(|nal| nal[0] & 0x1f).collect();
        assert_eq!(sets, [7, 8]);
        assert_eq!(offer.audio.as_ref().unwrap().codec, AudioCodec::Opus);
        assert_eq!(offer.route(96), Some(Route::Media(Track::Video)));
        assert_eq!(offer.route(97), Some(Route::Retransmission(Track::Video)));
        assert_eq!(offer.route(111), Some(Route::Media(Track::Audio)));
        assert_eq!(offer.route(0), None, "one audio format is answered");
    }

    #[test]
    fn any_profile_and_no_format_parameters_at_all_are_taken() {
        for fmtp in ["a=fmtp:96 profile-level-id=640028;packetization-mode=0\r\n", ""] {
            let video = format!("m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 h264/90000\r\n{fmtp}");
            let offer = parse(&[&video]).unwrap();
            assert_eq!((offer.video.len(), offer.audio), (1, None));
        }
    }

    #[test]
    fn a_static_payload_type_needs_no_rtpmap() {
        let offer = parse(&[VIDEO, "m=audio 9 UDP/TLS/RTP/SAVPF 8\r\n"]).unwrap();
        assert_eq!(offer.audio.unwrap().codec, AudioCodec::Pcma);
    }

    #[test]
    fn a_section_that_lives_only_in_the_bundle_is_not_a_refused_one() {
        let refused = AUDIO.replace("audio 9", "audio 0");
        assert_eq!(parse(&[VIDEO, &refused]).unwrap().audio, None);
        let bundled = format!("{refused}a=bundle-only\r\n");
        assert!(parse(&[VIDEO, &bundled]).unwrap().audio.is_some());
    }

    #[test]
    fn two_video_sections_of_one_format_count_once() {
        assert_eq!(parse(&[VIDEO, VIDEO]).unwrap().video.len(), 1);
    }

    #[test]
    fn what_the_stack_cannot_take_is_made_up_or_left_out() {
        let video = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 H264/90000\r\n\
            a=candidate:1 1 UDP 1 192.168.50.6 31000 typ host\r\na=candidate:2 1 tcp 1 192.168.50.6 9 typ host\r\n\
            a=candidate:3 1 udp 1 f00.local 9 typ host\r\na=candidate:4\r\n";
        let offer = parse(&[video, AUDIO]).unwrap();
        let candidates: Vec<&str> = offer
            .sdp()
            .lines()
            .filter(|line| line.contains("candidate"))
            .collect();
        assert_eq!(candidates, ["a=candidate:1 1 UDP 1 192.168.50.6 31000 typ host"]);
        assert!(
            offer
                .sdp()
                .contains("a=mid:0\r\na=ssrc:1 cname:undeclared\r\nm=audio"),
            "{}",
            offer.sdp()
        );
    }

    #[test]
    fn an_offer_of_no_use_says_why() {
        let reason = |sections: &[&str]| parse(sections).unwrap_err().to_string();
        assert_eq!(Offer::parse("hello"), Err(Error::NotSdp));
        assert_eq!(parse(&[AUDIO]), Err(Error::NoVideo));
        assert_eq!(
            reason(&[&VIDEO.replace("sendonly", "recvonly")]),
            "the camera offers video that it will not send (its direction is 'recvonly')"
        );
        assert_eq!(
            reason(&[&VIDEO.replace("H264", "VP8")]),
            "the camera offers video only as 'VP8, RTX', and H.264 is needed"
        );
        assert_eq!(
            reason(&[&VIDEO.replace("mode=1", "mode=2")]),
            reason(&[&VIDEO.replace("H264/90000", "H264/1")])
        );
        assert_eq!(
            Offer::parse(&format!("v=0\r\na=ice-ufrag:u\r\n{VIDEO}")),
            Err(Error::NoFingerprint)
        );
        assert_eq!(
            Offer::parse(&format!("v=0\r\na=fingerprint:sha-256 AA\r\n{VIDEO}")),
            Err(Error::NoIce)
        );
    }

    #[test]
    fn the_record_of_an_offer_holds_no_secret() {
        let record = redacted(&format!("{HEAD}{VIDEO}"));
        assert!(
            !record.contains("secretsecret") && record.contains("a=ice-pwd:<cut>\r\n"),
            "{record}"
        );
        assert!(record.contains("profile-level-id=42e01f"));
    }

    proptest! {
        #[test]
        fn any_text_is_an_offer_or_an_error(text in "\\PC{0,400}") {
            let _ = Offer::parse(&format!("v=0\n{text}"));
        }

        #[test]
        fn any_mixture_of_lines_is_an_offer_or_an_error(
            lines in proptest::collection::vec("(m=video|m=audio|a=rtpmap:|a=fmtp:|a=rtcp-fb:|a=candidate:|a=mid:)[ -~]{0,40}", 0..40),
        ) {
            let _ = Offer::parse(&format!("{HEAD}{}", lines.join("\r\n")));
        }

        #[test]
        fn what_is_left_of_a_real_offer_after_any_cuts_never_panics(keep in proptest::collection::vec(any::<bool>(), 40)) {
            let whole = format!("{HEAD}{VIDEO}{AUDIO}");
            let cut: Vec<&str> = whole.lines().zip(keep).filter_map(|(line, keep)| keep.then_some(line)).collect();
            if let Ok(offer) = Offer::parse(&cut.join("\n")) {
                prop_assert!(!offer.video.is_empty());
            }
        }
    }
}

//! Which packet belongs to which track, and which stream of several is the picture.
//!
//! Packets are told apart by payload type, as the offer names them; a sender that declares no SSRC, or sends more
//! than one video stream, is understood all the same. The first video stream that delivers is the one that is used.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::Bytes;

use super::nack::Nack;
use super::offer::{Offer, Route};
use crate::Deadline;
use crate::rtp::{RtpPacket, SenderReport, Track};

/// A packet as it comes out of SRTP, padding cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The synchronization source.
    pub ssrc: u32,
    /// The payload type, which decides the track.
    pub payload_type: u8,
    /// The rest of the packet.
    pub packet: RtpPacket,
}

/// What comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// An RTP packet.
    Rtp(Arrival),
    /// A sender report of an SSRC.
    SenderReport(u32, SenderReport),
    /// The sender of an SSRC says that it leaves (RTCP BYE).
    Goodbye(u32),
    /// Time has passed.
    Tick,
}

/// What comes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// A packet of a track, in order of arrival. Its payload is empty if it was all padding: such packets count in
    /// the sequence numbers and nowhere else.
    Rtp(Track, RtpPacket),
    /// A sender report of a track.
    SenderReport(Track, SenderReport),
    /// Packets of this SSRC to ask for again.
    Nack(u32, Vec<u16>),
    /// No packet of this track will come any more.
    Ended(Track),
}

/// Sorts the packets of a session.
#[derive(Debug)]
pub struct Streams {
    offer: Offer,
    video: Option<u32>,
    audio: Option<u32>,
    /// Reports that came before the first packet of their stream; the newest last.
    early: VecDeque<(u32, SenderReport)>,
    nack: Option<Nack>,
    outputs: VecDeque<Output>,
}

/// A report is kept for a stream that may yet begin; a handful is more than any camera has streams.
const MOST_EARLY: usize = 8;

impl Streams {
    /// For the packets that this offer announces.
    pub fn new(offer: Offer) -> Self {
        let nack = offer.takes_nack().then(Nack::default);
        Self {
            offer,
            video: None,
            audio: None,
            early: VecDeque::new(),
            nack,
            outputs: VecDeque::new(),
        }
    }

    /// The SSRC of the video stream in use, once it delivers.
    pub fn video_ssrc(&self) -> Option<u32> {
        self.video
    }

    /// Takes a packet, a report or the time.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Rtp(arrival) => self.sort(now, arrival),
            Input::SenderReport(ssrc, report) => self.report(ssrc, report),
            Input::Goodbye(ssrc) => {
                if let Some(track) = self.track_of(ssrc) {
                    self.outputs.push_back(Output::Ended(track));
                }
            }
            Input::Tick => {}
        }
        if let (Some(nack), Some(ssrc)) = (&mut self.nack, self.video) {
            let lost = nack.poll(now);
            if !lost.is_empty() {
                self.outputs.push_back(Output::Nack(ssrc, lost));
            }
        }
    }

    /// The next result, in order.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When packets are asked for again.
    pub fn deadline(&self) -> Deadline {
        self.nack.as_ref().and_then(Nack::deadline)
    }

    fn sort(&mut self, now: Instant, arrival: Arrival) {
        match self.offer.route(arrival.payload_type) {
            Some(Route::Media(track)) => {
                if !self.is_ours(track, &arrival) {
                    return;
                }
                if let (Track::Video, Some(nack)) = (track, &mut self.nack) {
                    nack.handle(now, arrival.packet.sequence);
                }
                self.outputs.push_back(Output::Rtp(track, arrival.packet));
            }
            Some(Route::Retransmission(track)) => {
                let Some(packet) = original(arrival.packet) else {
                    return;
                };
                // Retransmissions are also sent unasked, to probe the path: what is not missing is not news.
                let Some(nack) = self.nack.as_mut().filter(|nack| nack.wants(packet.sequence)) else {
                    return;
                };
                nack.handle(now, packet.sequence);
                self.outputs.push_back(Output::Rtp(track, packet));
            }
            None => {}
        }
    }

    fn is_ours(&mut self, track: Track, arrival: &Arrival) -> bool {
        let slot = match track {
            Track::Video => &mut self.video,
            Track::Audio => &mut self.audio,
        };
        if slot.is_none() && !arrival.packet.payload.is_empty() {
            *slot = Some(arrival.ssrc);
            let newest = self.early.iter().rev().find(|(ssrc, _)| *ssrc == arrival.ssrc);
            if let Some((_, report)) = newest {
                self.outputs.push_back(Output::SenderReport(track, *report));
            }
            self.early.retain(|(ssrc, _)| *ssrc != arrival.ssrc);
        }
        *slot == Some(arrival.ssrc)
    }

    fn report(&mut self, ssrc: u32, report: SenderReport) {
        if let Some(track) = self.track_of(ssrc) {
            self.outputs.push_back(Output::SenderReport(track, report));
            return;
        }
        if self.early.len() == MOST_EARLY {
            self.early.pop_front();
        }
        self.early.push_back((ssrc, report));
    }

    fn track_of(&self, ssrc: u32) -> Option<Track> {
        [(self.video, Track::Video), (self.audio, Track::Audio)]
            .into_iter()
            .find_map(|(known, track)| (known == Some(ssrc)).then_some(track))
    }
}

/// The packet inside a retransmission: the original sequence number comes first (RFC 4588 section 4).
fn original(packet: RtpPacket) -> Option<RtpPacket> {
    let (&[high, low], _) = packet.payload.split_first_chunk::<2>()?;
    let payload: Bytes = packet.payload.slice(2..);
    Some(RtpPacket {
        sequence: u16::from_be_bytes([high, low]),
        payload,
        ..packet
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "virtual time needs a zero")]
    fn zero() -> Instant {
        Instant::now()
    }

    fn streams() -> Streams {
        let sdp = "v=0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=fingerprint:sha-256 AA\r\n\
            m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=rtpmap:96 H264/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n\
            a=rtcp-fb:96 nack\r\nm=audio 9 UDP/TLS/RTP/SAVPF 0\r\n";
        Streams::new(Offer::parse(sdp).unwrap())
    }

    fn arrival(ssrc: u32, payload_type: u8, sequence: u16, payload: &'static [u8]) -> Input {
        let payload = Bytes::from_static(payload);
        Input::Rtp(Arrival {
            ssrc,
            payload_type,
            packet: RtpPacket {
                sequence,
                timestamp: 0,
                marker: false,
                payload,
            },
        })
    }

    fn run(streams: &mut Streams, inputs: impl IntoIterator<Item = Input>) -> Vec<Output> {
        let now = zero();
        inputs.into_iter().for_each(|input| streams.handle(now, input));
        std::iter::from_fn(|| streams.poll()).collect()
    }

    fn sequences(outputs: &[Output]) -> Vec<(Track, u16)> {
        let sequence = |output: &Output| match output {
            Output::Rtp(track, packet) => Some((*track, packet.sequence)),
            Output::SenderReport(..) | Output::Nack(..) | Output::Ended(_) => None,
        };
        outputs.iter().filter_map(sequence).collect()
    }

    #[test]
    fn payload_types_decide_the_track_and_the_first_stream_that_delivers_is_the_picture() {
        let outputs = run(
            &mut streams(),
            [
                arrival(7, 96, 1, b""),
                arrival(8, 96, 50, b"x"),
                arrival(7, 96, 2, b"x"),
                arrival(9, 0, 5, b"x"),
                arrival(9, 101, 6, b"x"),
                arrival(8, 96, 51, b""),
            ],
        );
        let expected = [(Track::Video, 50), (Track::Audio, 5), (Track::Video, 51)];
        assert_eq!(
            sequences(&outputs),
            expected,
            "padding alone starts nothing, but counts"
        );
    }

    #[test]
    fn a_retransmission_fills_the_gap_it_was_asked_for_and_nothing_else() {
        let mut streams = streams();
        let lost = run(&mut streams, [arrival(8, 96, 10, b"x"), arrival(8, 96, 12, b"x")]);
        assert_eq!(lost.last(), Some(&Output::Nack(8, vec![11])));
        let probes = [
            arrival(20, 97, 1, b"\x00\x0ax"),
            arrival(20, 97, 2, b"\x00"),
            arrival(20, 97, 3, b"\x00\x0b"),
        ];
        let outputs = run(&mut streams, probes);
        assert_eq!(sequences(&outputs), [(Track::Video, 11)]);
        assert!(
            run(&mut streams, [arrival(20, 97, 4, b"\x00\x0bx")]).is_empty(),
            "once is enough"
        );
    }

    #[test]
    fn a_report_that_comes_before_its_stream_is_kept_for_it() {
        let report = |ntp| SenderReport {
            ntp,
            rtp_timestamp: 0,
        };
        let mut streams = streams();
        let early = (0..20).map(|ntp| Input::SenderReport(8, report(ntp)));
        assert!(run(&mut streams, early).is_empty());
        let outputs = run(
            &mut streams,
            [arrival(8, 96, 1, b"x"), Input::SenderReport(9, report(99))],
        );
        assert_eq!(
            outputs.first(),
            Some(&Output::SenderReport(Track::Video, report(19)))
        );
        assert_eq!(outputs.len(), 2);
    }

    #[test]
    fn a_goodbye_ends_the_track_it_is_about() {
        let outputs = run(
            &mut streams(),
            [arrival(8, 96, 1, b"x"), Input::Goodbye(3), Input::Goodbye(8)],
        );
        assert_eq!(outputs.last(), Some(&Output::Ended(Track::Video)));
        assert_eq!(outputs.len(), 2);
    }
}

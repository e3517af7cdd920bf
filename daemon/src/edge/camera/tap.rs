//! Where packets leave the WebRTC stack: the last interceptor of its chain.
//!
//! Taken here, a packet needs neither the stack's track objects nor their queue of 256 events, which a single large
//! key frame overruns; packets of a stream that the offer did not declare are seen; and sender reports, which the
//! stack would keep to itself, come along in order.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use rtc::interceptor::{AttributedPacket, Interceptor, Packet, StreamInfo, TaggedPacket};
use rtc::rtcp;
use rtc::rtcp::payload_feedbacks::full_intra_request::{FirEntry, FullIntraRequest};
use rtc::rtcp::payload_feedbacks::picture_loss_indication::PictureLossIndication;
use rtc::rtcp::payload_feedbacks::receiver_estimated_maximum_bitrate::ReceiverEstimatedMaximumBitrate;
use rtc::rtcp::transport_feedbacks::transport_layer_nack::{
    TransportLayerNack, nack_pairs_from_sequence_numbers,
};
use rtc::sansio::Protocol;
use rtc::shared::TransportContext;
use rtc::shared::error::Error;
use spotstream_core::rtp::{RtpPacket, SenderReport, Track};
use spotstream_core::session::health::KeyFrameRequest;
use spotstream_core::session::offer::Offer;
use spotstream_core::session::streams::{Arrival, Input, Output, Streams};
use spotstream_core::units::Bitrate;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// How many packets may wait for the session's task: more than the largest key frame, and seconds of any bitrate.
pub(super) const QUEUE: usize = 4096;

/// The longest that feedback waits when no packet comes by to carry the chain on.
const TICK: Duration = Duration::from_millis(100);

/// What the chain brings.
#[derive(Debug)]
pub(super) enum Delivery {
    Rtp(Track, RtpPacket),
    SenderReport(Track, SenderReport),
    Ended(Track),
}

/// What the chain is to send.
#[derive(Debug)]
pub(super) enum Feedback {
    Ask(KeyFrameRequest),
    Estimate(Bitrate),
}

pub(super) struct Tap {
    streams: Streams,
    ssrc: u32,
    deliveries: mpsc::Sender<Delivery>,
    feedback: mpsc::UnboundedReceiver<Feedback>,
    writes: VecDeque<TaggedPacket>,
    next_tick: Instant,
    lost: u64,
}

impl Tap {
    pub(super) fn new(
        offer: Offer,
        deliveries: mpsc::Sender<Delivery>,
        feedback: mpsc::UnboundedReceiver<Feedback>,
    ) -> Self {
        Self {
            streams: Streams::new(offer),
            ssrc: rand::random(),
            deliveries,
            feedback,
            writes: VecDeque::new(),
            next_tick: Instant::now(),
            lost: 0,
        }
    }

    fn drain(&mut self, now: Instant) {
        while let Some(output) = self.streams.poll() {
            match output {
                Output::Rtp(track, packet) => self.deliver(Delivery::Rtp(track, packet)),
                Output::SenderReport(track, report) => self.deliver(Delivery::SenderReport(track, report)),
                Output::Ended(track) => self.deliver(Delivery::Ended(track)),
                Output::Nack(media_ssrc, lost) => {
                    let nacks = nack_pairs_from_sequence_numbers(&lost);
                    self.write(
                        now,
                        TransportLayerNack {
                            sender_ssrc: self.ssrc,
                            media_ssrc,
                            nacks,
                        },
                    );
                }
            }
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        match self.deliveries.try_send(delivery) {
            // A session that has ended reads no more.
            Ok(()) | Err(TrySendError::Closed(_)) => {}
            Err(TrySendError::Full(_)) => {
                self.lost += 1;
                if self.lost.is_power_of_two() {
                    tracing::warn!(
                        lost = self.lost,
                        "the daemon is too slow for the camera's packets"
                    );
                }
            }
        }
    }

    fn write(&mut self, now: Instant, packet: impl rtcp::Packet + 'static) {
        self.writes.push_back(TaggedPacket {
            now,
            transport: TransportContext::default(),
            message: AttributedPacket::new(Packet::Rtcp(vec![Box::new(packet)])),
        });
    }

    fn give_feedback(&mut self, now: Instant) {
        // Feedback names a stream; until one delivers there is nothing to say.
        let Some(media_ssrc) = self.streams.video_ssrc() else {
            return;
        };
        while let Ok(feedback) = self.feedback.try_recv() {
            let sender_ssrc = self.ssrc;
            match feedback {
                Feedback::Ask(KeyFrameRequest::Pli) => {
                    self.write(
                        now,
                        PictureLossIndication {
                            sender_ssrc,
                            media_ssrc,
                        },
                    );
                }
                Feedback::Ask(KeyFrameRequest::Fir(sequence_number)) => {
                    let fir = vec![FirEntry {
                        ssrc: media_ssrc,
                        sequence_number,
                    }];
                    // The media source of a FIR is 0; the entries name the streams (RFC 5104 section 4.3.1.2).
                    self.write(
                        now,
                        FullIntraRequest {
                            sender_ssrc,
                            media_ssrc: 0,
                            fir,
                        },
                    );
                }
                Feedback::Estimate(ceiling) => {
                    #[expect(clippy::cast_precision_loss, reason = "the wire has 18 bits of mantissa")]
                    let bitrate = ceiling.as_bps() as f32;
                    self.write(
                        now,
                        ReceiverEstimatedMaximumBitrate {
                            sender_ssrc,
                            bitrate,
                            ssrcs: vec![media_ssrc],
                        },
                    );
                }
            }
        }
    }
}

impl Protocol<TaggedPacket, TaggedPacket, ()> for Tap {
    type Rout = TaggedPacket;
    type Wout = TaggedPacket;
    type Eout = ();
    type Error = Error;
    type Time = Instant;

    fn handle_read(&mut self, message: TaggedPacket) -> Result<(), Error> {
        let now = message.now;
        match message.message.packet {
            Packet::Rtp(packet) => {
                let header = packet.header;
                let arrival = Arrival {
                    ssrc: header.ssrc,
                    payload_type: header.payload_type,
                    packet: RtpPacket {
                        sequence: header.sequence_number,
                        timestamp: header.timestamp,
                        marker: header.marker,
                        payload: packet.payload,
                    },
                };
                self.streams.handle(now, Input::Rtp(arrival));
            }
            Packet::Rtcp(packets) => {
                for packet in &packets {
                    if let Some(report) = packet
                        .as_any()
                        .downcast_ref::<rtcp::sender_report::SenderReport>()
                    {
                        let clocks = SenderReport {
                            ntp: report.ntp_time,
                            rtp_timestamp: report.rtp_time,
                        };
                        self.streams.handle(now, Input::SenderReport(report.ssrc, clocks));
                    } else if let Some(goodbye) = packet.as_any().downcast_ref::<rtcp::goodbye::Goodbye>() {
                        for ssrc in &goodbye.sources {
                            self.streams.handle(now, Input::Goodbye(*ssrc));
                        }
                    }
                }
            }
            _ => {}
        }
        self.drain(now);
        self.give_feedback(now);
        Ok(())
    }

    fn poll_read(&mut self) -> Option<TaggedPacket> {
        None
    }

    fn handle_write(&mut self, message: TaggedPacket) -> Result<(), Error> {
        self.writes.push_back(message);
        Ok(())
    }

    fn poll_write(&mut self) -> Option<TaggedPacket> {
        self.writes.pop_front()
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), Error> {
        self.streams.handle(now, Input::Tick);
        self.drain(now);
        self.give_feedback(now);
        if now >= self.next_tick {
            self.next_tick = now + TICK;
        }
        Ok(())
    }

    fn poll_timeout(&mut self) -> Option<Instant> {
        let again = self.streams.deadline().map(|(at, _)| at);
        Some(again.map_or(self.next_tick, |at| at.min(self.next_tick)))
    }
}

impl Interceptor for Tap {
    fn bind_local_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_local_stream(&mut self, _info: &StreamInfo) {}
    fn bind_remote_stream(&mut self, _info: &StreamInfo) {}
    fn unbind_remote_stream(&mut self, _info: &StreamInfo) {}
}

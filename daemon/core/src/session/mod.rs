//! One WebRTC session with the camera: what is offered, what we answer, and whether it is well.
//!
//! ```text
//! GET body -> signalling::Invitation -> offer::Offer -> (ICE, DTLS, SRTP) -> streams::Streams -> RtpPacket
//!                                                                              nack::Nack, health::Health
//! ```

pub mod health;
pub mod nack;
pub mod offer;
mod sections;
pub mod signalling;
pub mod streams;

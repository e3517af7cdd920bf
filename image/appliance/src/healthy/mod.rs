//! `healthy`: whether the image itself is well, and so whether its slot is good.
//!
//! The rule is about what the image brings along. The robot, the WiFi and Twitch do not count: a slot is not left
//! because the network is down.

pub mod rule;
pub mod wait;

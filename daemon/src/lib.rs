//! The effects of spotstream: gRPC, WebRTC, RTMP sockets, D-Bus, systemd. The decisions are in `spotstream-core`.

pub mod config;
pub mod control;
pub mod edge;
pub mod logging;

//! The effects of spotstream: gRPC, WebRTC, RTMP sockets, D-Bus, systemd. The decisions are in `spotstream-core`.

pub mod edge;

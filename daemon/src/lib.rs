//! The effects of spotstream: gRPC, WebRTC, RTMP sockets, D-Bus, systemd, HTTP. The decisions are in `spotstream-core`.

pub mod assemble;
pub mod config;
pub mod control;
pub mod edge;
pub mod networks;
pub mod problem;
pub mod report;
pub mod run;
pub mod stage;
pub mod web;

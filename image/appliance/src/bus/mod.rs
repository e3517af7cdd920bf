//! The system bus: what we ask of systemd, whom we follow, and what we say ourselves.

pub mod appliance;
pub mod follow;
pub mod systemd;

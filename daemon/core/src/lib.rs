//! The decisions of spotstream, and nothing else.
//!
//! Every stage is a machine with one contract: values and the time go in by `handle(now, input)`, decisions come
//! out of `poll()`, and `deadline()` says when the machine wants to be woken and why. The caller drains `poll()`
//! after each `handle()`. Nothing here opens a socket, reads a clock or touches a file, so every test runs in
//! virtual time.
//!
//! Values flow robot -> session -> media -> ingest. A module uses only modules upstream of it; [`supervise`] alone
//! sees them all, and it alone carries feedback (a key frame please, less bitrate please) upstream.
#![forbid(unsafe_code)]

pub mod backoff;
pub mod ingest;
pub mod media;
pub mod names;
pub mod robot;
pub mod rtp;
pub mod secret;
pub mod session;
pub mod supervise;
pub mod units;

/// When a machine wants to be woken, and who asked for it.
pub type Deadline = Option<(std::time::Instant, &'static str)>;

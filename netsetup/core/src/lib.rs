//! The decisions of netsetup, and nothing else: no socket, no clock, no file.
//!
//! [`desired`] says what a person wants, [`observed`] what there is. [`select`] finds out which interface is which,
//! [`plan`] compares the two and says what is to be done, step by step; of a verified state the plan is empty.
//! [`engine`] decides when to look, to probe, to apply and to check, with the contract of all machines of spotstream:
//! `handle(now, input)`, `poll() -> Option<Output>`, `deadline()`. [`status`] is what everybody is told.
#![forbid(unsafe_code)]

pub mod again;
pub mod desired;
pub mod engine;
pub mod finder;
pub mod internet;
pub mod layout;
pub mod names;
pub mod observed;
pub mod plan;
pub mod profile;
pub mod repair;
pub mod routing;
pub mod select;
pub mod status;

/// When a machine wants to be woken, and who asked for it.
pub type Deadline = Option<(std::time::Instant, &'static str)>;

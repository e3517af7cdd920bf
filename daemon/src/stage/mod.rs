//! The stages of the stream, each the owner of its machines and its effects.
//!
//! A stage takes commands as method calls that return at once, and says what happened by `next()`, which may be
//! dropped at any await without losing anything. No stage knows another; [`crate::run`] stands between them.

use spotstream_core::Deadline;

pub mod loan;
pub mod login;
pub mod media;
pub mod publication;
pub mod session;

/// Waits for a deadline; for ever when there is none.
pub(crate) async fn until(deadline: Deadline) {
    match deadline {
        Some((at, _)) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

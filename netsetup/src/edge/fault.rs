//! Points at which a test can end the program as a power cut would; without the feature `fault-points` they are nothing.

/// Ends the program without a word when it is this point's turn: `NETSETUP_DIE_AFTER` counts them from 0.
#[cfg(feature = "fault-points")]
pub fn point() {
    use std::sync::atomic::{AtomicU32, Ordering};
    static PASSED: AtomicU32 = AtomicU32::new(0);
    let turn = std::env::var("NETSETUP_DIE_AFTER")
        .ok()
        .and_then(|number| number.parse().ok());
    if turn == Some(PASSED.fetch_add(1, Ordering::Relaxed)) {
        // Nothing is left to report to if the kernel does not take it.
        let _ = nix::sys::signal::kill(nix::unistd::Pid::this(), nix::sys::signal::Signal::SIGKILL);
    }
}

/// Nothing.
#[cfg(not(feature = "fault-points"))]
pub const fn point() {}

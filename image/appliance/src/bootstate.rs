//! Reads and writes the boot loader's state, by libubootenv.

use crate::slots::{BootState, Slot};
use crate::tool;

/// Reads the state.
///
/// # Errors
/// What `fw_printenv` says.
pub fn read() -> Result<BootState, tool::Error> {
    tool::run("fw_printenv", &[], "").map(|text| BootState::parse(&text))
}

/// Marks a slot good: it runs, and has all its tries again.
///
/// # Errors
/// What `fw_setenv` says.
pub fn mark_good(slot: Slot) -> Result<(), tool::Error> {
    tool::run("fw_setenv", &["--script", "/dev/stdin"], &BootState::good(slot)).map(drop)
}

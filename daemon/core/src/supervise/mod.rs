//! The conductor: which stage runs, which waits, and what a person is told.

pub mod network;
pub mod state;
pub mod step;
pub mod watchdog;

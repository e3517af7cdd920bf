//! The LED: one look tells how it is.

pub mod pattern;
pub mod sysfs;

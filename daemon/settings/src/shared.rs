//! What more than one program reads, and so stands here once.

/// The defaults of the keys that the daemon and netsetup both read, as TOML.
pub const DEFAULTS: &str = include_str!("shared.toml");

/// The section to begin with, for a key that stands outside of all of them and that nobody knows.
pub const FIRST_SECTION: &str = "stream";

/// Sections that a file may have several times, as `[[wifi]]`.
pub const REPEATABLE: &[&str] = &["wifi"];

//! Where things are, below a root directory: `/` on the appliance, a test's folder in a test.

use std::path::{Path, PathBuf};

/// The settings of the appliance.
pub const SETTINGS: &str = "/etc/spotstream/spotstream.toml";
/// Keys that may log in by SSH; sshd runs only where this file is.
pub const AUTHORIZED_KEYS: &str = "/etc/spotstream/authorized_keys";
/// Certificates and other files that came with the settings.
pub const FILES: &str = "/etc/spotstream/files";
/// More settings that a person or program has laid over the file.
pub const DROP_INS: &str = "/etc/spotstream/spotstream.d";
/// What this program remembers from start to start.
pub const MEMORY: &str = "/var/lib/spotstream-appliance";
/// Where the card's or stick's FAT is mounted for the moment.
pub const CARD: &str = "/run/spotstream/card";
/// What the initrd has told about this start.
pub const BOOT: &str = "/run/spotstream/boot";
/// The FAT partition of the disk that we booted from.
pub const BOOT_PARTITION: &str = "/dev/spotstream/spot-boot";
/// The data partition of the disk that we booted from.
pub const DATA_PARTITION: &str = "/dev/spotstream/spot-data";

/// A root directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(PathBuf);

impl Place {
    /// The root of the machine.
    pub fn machine() -> Self {
        Self(PathBuf::from("/"))
    }

    /// Another root.
    pub fn below(root: impl Into<PathBuf>) -> Self {
        Self(root.into())
    }

    /// An absolute path below the root.
    pub fn at(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The text of a small file without its last line end; nothing when it is not there or not text.
    pub fn text(&self, path: impl AsRef<Path>) -> Option<String> {
        let text = std::fs::read_to_string(self.at(path)).ok()?;
        Some(text.trim_end_matches(['\n', '\0']).to_owned())
    }

    /// The names in a folder, in order; none when it is not there.
    pub fn names(&self, path: impl AsRef<Path>) -> Vec<String> {
        let entries = std::fs::read_dir(self.at(path)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    }
}

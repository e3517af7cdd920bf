//! A folder becomes a FAT file system, always the same bytes.

use std::path::Path;

use crate::digest;
use crate::error::Result;
use crate::program::Program;
use crate::tree;

/// The size of each FAT partition.
const MEBIBYTES: u64 = 128;

/// Makes the file system `to`, labelled `label`, of all that is in `from`.
///
/// # Errors
/// When a program fails, or it does not fit.
pub fn pack(from: &Path, label: &str, epoch: u64, to: &Path) -> Result<()> {
    tree::remove(to)?;
    let serial = digest::of_bytes(format!("spotstream fat {label}").as_bytes());
    let serial = serial.get(..8).unwrap_or_default();
    let clock = epoch.to_string();
    Program::new("mkfs.vfat")
        .args(["--invariant", "-F", "32", "-n", label, "-i", serial, "-C"])
        .arg(to)
        .arg((MEBIBYTES << 10).to_string())
        .env("SOURCE_DATE_EPOCH", &clock)
        .run()?;
    let tool = |name: &str| {
        Program::new(name)
            .env("SOURCE_DATE_EPOCH", &clock)
            .env("MTOOLS_SKIP_CHECK", "1")
            .arg("-i")
            .arg(to)
    };
    for item in tree::walk(from)? {
        let there = format!("::/{}", item.name.display());
        if item.metadata.is_dir() {
            tool("mmd").arg(there).run()?;
        } else {
            tool("mcopy").arg(&item.path).arg(there).run()?;
        }
    }
    Ok(())
}

//! All partitions become one file.

use std::path::{Path, PathBuf};

use crate::digest;
use crate::error::Result;
use crate::program::Program;
use crate::tree;

const DATA_MEBIBYTES: &str = "256M";

/// The empty data partition, which the first start grows.
///
/// # Errors
/// When mke2fs fails.
pub fn data(epoch: u64, to: &Path) -> Result<()> {
    tree::remove(to)?;
    Program::new("mke2fs")
        .args([
            "-q",
            "-t",
            "ext4",
            "-b",
            "4096",
            "-i",
            "16384",
            "-m",
            "1",
            "-L",
            "spot-data",
        ])
        .args(["-U", &digest::uuid("data")])
        .arg("-E")
        .arg(format!(
            "hash_seed={},lazy_itable_init=0,lazy_journal_init=0,root_owner=0:0,nodiscard",
            digest::uuid("data directories")
        ))
        .arg(to)
        .arg(DATA_MEBIBYTES)
        .env("SOURCE_DATE_EPOCH", epoch.to_string())
        .env("E2FSPROGS_FAKE_TIME", epoch.to_string())
        .run()?;
    Ok(())
}

/// Puts the partitions in `parts` together as `layout` (image/genimage.cfg) says; the file has holes where there is nothing.
///
/// # Errors
/// When genimage fails.
pub fn assemble(layout: &Path, parts: &Path, scratch: &Path) -> Result<PathBuf> {
    let (work, output, empty) = (
        scratch.join("genimage"),
        scratch.join("disk"),
        scratch.join("empty"),
    );
    for folder in [&work, &output, &empty] {
        tree::fresh(folder)?;
    }
    Program::new("genimage")
        .arg("--config")
        .arg(layout)
        .arg("--inputpath")
        .arg(parts)
        .arg("--outputpath")
        .arg(&output)
        .arg("--tmppath")
        .arg(&work)
        .arg("--rootpath")
        .arg(&empty)
        .run()?;
    let disk = output.join("spotstream.img");
    Program::new("fallocate").arg("--dig-holes").arg(&disk).run()?;
    Ok(disk)
}

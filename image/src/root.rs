//! The root as a file: erofs, and the hash tree of dm-verity behind it.

use std::fs;
use std::path::Path;

use crate::digest;
use crate::error::{Error, OnFile, Result};
use crate::program::Program;

const BLOCK_BYTES: u64 = 4096;

/// What the initrd must know to open the root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Of the hash tree, in hex.
    pub root_hash: String,
    /// Where the hash tree begins, in bytes: the length of the erofs.
    pub hash_offset: u64,
}

/// Packs the tree `root` into the file `to`.
///
/// # Errors
/// When one of the programs fails.
pub fn pack(root: &Path, epoch: u64, to: &Path) -> Result<Verified> {
    Program::new("mkfs.erofs")
        .args([
            "--quiet",
            "-zlz4hc,12",
            "-C65536",
            "-Efragments,ztailpacking",
            "-x-1",
            "--all-root",
        ])
        .args(["-T", &epoch.to_string(), "-U", &digest::uuid("root")])
        .arg(to)
        .arg(root)
        .run()?;
    let hash_offset = fs::metadata(to).on("read", to)?.len();
    if hash_offset % BLOCK_BYTES != 0 {
        return Err(Error::Unfit {
            path: to.to_owned(),
            why: format!("is no multiple of {BLOCK_BYTES} bytes long"),
        });
    }
    let hash_file = to.with_extension("roothash");
    Program::new("veritysetup")
        .args([
            "format",
            "--hash=sha256",
            "--data-block-size=4096",
            "--hash-block-size=4096",
        ])
        .arg(format!("--data-blocks={}", hash_offset / BLOCK_BYTES))
        .arg(format!("--hash-offset={hash_offset}"))
        .arg(format!("--salt={}", digest::of_bytes(b"spotstream image salt")))
        .arg(format!("--uuid={}", digest::uuid("verity")))
        .arg(format!("--root-hash-file={}", hash_file.display()))
        .args([to, to])
        .run()?;
    let root_hash = fs::read_to_string(&hash_file)
        .on("read", &hash_file)?
        .trim()
        .to_owned();
    Ok(Verified {
        root_hash,
        hash_offset,
    })
}

//! The FAT of the card or a stick, mounted for a moment and no longer.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::libc;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use tracing::{info, warn};

use crate::place::{CARD, Place};
use crate::tool;

/// What sticks and cards are formatted with.
const KINDS: [&str; 2] = ["vfat", "exfat"];
/// What repairs a FAT.
const FSCK: &str = "fsck.vfat";
/// The first sector of a partition, bytes.
const SECTOR: usize = 512;
/// FAT_STATE_DIRTY (linux/fs/fat/fat.h).
const DIRTY: u8 = 1;

/// Why it could not be mounted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such partition.
    #[error("failed to find '{}'", .0.display())]
    NotFound(PathBuf),
    /// The kernel does not understand it, or it is damaged.
    #[error(
        "failed to open the FAT partition '{}': {reason}; have a PC check it for errors, or write the image to the card anew",
        device.display()
    )]
    NotMounted {
        /// The partition.
        device: PathBuf,
        /// What the kernel says.
        reason: Errno,
    },
    /// The mount point.
    #[error("failed to make '{CARD}'")]
    NoPlace(#[source] io::Error),
}

impl Error {
    /// The stable word for logs and tests.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NotFound(_) => "card-not-found",
            Self::NotMounted { .. } => "card-not-mounted",
            Self::NoPlace(_) => "card-no-place",
        }
    }

    /// Whether another try may succeed.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::NotFound(_))
    }
}

/// A mounted FAT; unmounted when it is dropped.
#[derive(Debug)]
pub struct Card {
    target: PathBuf,
    /// It may not be written to.
    pub is_read_only: bool,
}

impl Card {
    /// Mounts a partition at [`CARD`]; its FAT is repaired before, if the power was cut while it was written to.
    ///
    /// # Errors
    /// All of [`Error`].
    pub fn mount(place: &Place, device: &Path) -> Result<Self, Error> {
        let target = place.at(CARD);
        std::fs::create_dir_all(&target).map_err(Error::NoPlace)?;
        if !device.exists() {
            return Err(Error::NotFound(device.to_owned()));
        }
        match tidy(device, FSCK) {
            Ok(true) => info!(
                "repaired the FAT of '{}', which a power cut had left open",
                device.display()
            ),
            Ok(false) => {}
            Err(error) => warn!(kind = error.kind(), "failed to repair the FAT: {error}"),
        }
        let reason = match mount_as(device, &target, MsFlags::empty()) {
            Ok(()) => {
                return Ok(Self {
                    target,
                    is_read_only: false,
                });
            }
            Err(Errno::EROFS | Errno::EACCES) => match mount_as(device, &target, MsFlags::MS_RDONLY) {
                Ok(()) => {
                    return Ok(Self {
                        target,
                        is_read_only: true,
                    });
                }
                Err(reason) => reason,
            },
            Err(reason) => reason,
        };
        Err(Error::NotMounted {
            device: device.to_owned(),
            reason,
        })
    }
}

impl Drop for Card {
    fn drop(&mut self) {
        if let Err(error) = umount2(&self.target, MntFlags::empty()) {
            warn!("failed to unmount '{CARD}', so it is done later: {error}");
            let _ = umount2(&self.target, MntFlags::MNT_DETACH);
        }
    }
}

/// Names are written at once (`MS_DIRSYNC`), so that a cut leaves no name without its file.
fn mount_as(device: &Path, target: &Path, flags: MsFlags) -> Result<(), Errno> {
    let flags = flags
        | MsFlags::MS_NODEV
        | MsFlags::MS_NOSUID
        | MsFlags::MS_NOEXEC
        | MsFlags::MS_NOATIME
        | MsFlags::MS_DIRSYNC;
    let mut reason = Errno::ENODEV;
    for kind in KINDS {
        match mount(Some(device), target, Some(kind), flags, Some("umask=0077")) {
            Ok(()) => return Ok(()),
            // Where the next kind is not known, the first one's word counts.
            Err(Errno::ENODEV) => {}
            Err(error) => reason = error,
        }
    }
    Err(reason)
}

/// Repairs the FAT of a partition that was not unmounted; whether there was need to. Without that the kernel takes it
/// as it is, and for read-only at the first entry that does not fit.
fn tidy(device: &Path, fsck: &str) -> Result<bool, tool::Error> {
    if !was_cut(device).unwrap_or(false) {
        return Ok(false);
    }
    let said = tool::ask(fsck, &["-a", "-w", &device.to_string_lossy()], "")?;
    match said.code {
        // It has repaired something.
        Some(0 | 1) => Ok(true),
        _ => Err(tool::Error::Refused {
            program: fsck.to_owned(),
            said: said.err.lines().last().unwrap_or_default().to_owned(),
        }),
    }
}

/// Whether it was mounted and never unmounted. One that somebody has mounted now is busy, which is an error.
fn was_cut(device: &Path) -> io::Result<bool> {
    let mut sector = [0; SECTOR];
    let mut from = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_EXCL)
        .open(device)?;
    from.read_exact(&mut sector)?;
    Ok(is_dirty(&sector))
}

/// The bit that the kernel sets and syncs when it mounts a FAT to write to it, and takes away when it unmounts it
/// (`fat_set_state` of linux/fs/fat/inode.c). Nothing else than a FAT is ever dirty.
fn is_dirty(sector: &[u8; SECTOR]) -> bool {
    // Where the kind stands, and where the state.
    let kinds: [(&[u8], usize, usize); 2] = [(b"FAT32", 82, 65), (b"FAT1", 54, 37)];
    kinds.into_iter().any(|(kind, at, state)| {
        let is_kind = sector.get(at..).is_some_and(|rest| rest.starts_with(kind));
        is_kind && sector.get(state).is_some_and(|state| state & DIRTY != 0)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A program that is a script.
    fn program(folder: &Path, script: &str) -> String {
        let program = folder.join("fsck");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        program.to_str().unwrap().to_owned()
    }

    /// A first sector with some bytes.
    fn sector(parts: &[(usize, &[u8])]) -> [u8; SECTOR] {
        let mut sector = [0; SECTOR];
        for (at, bytes) in parts {
            sector[*at..at + bytes.len()].copy_from_slice(bytes);
        }
        sector
    }

    #[test]
    fn a_fat_that_was_not_unmounted_is_told_from_all_else() {
        for (parts, cut) in [
            (&[(82, &b"FAT32   "[..]), (65, &[1])][..], true),
            (&[(82, b"FAT32   "), (65, &[0])], false),
            (&[(82, b"FAT32   "), (37, &[1])], false),
            (&[(54, b"FAT16   "), (37, &[1])], true),
            (&[(54, b"FAT16   "), (65, &[1])], false),
            (&[(3, b"EXFAT   "), (65, &[255])], false),
            (&[(3, b"NTFS    "), (37, &[255]), (65, &[255])], false),
        ] {
            assert_eq!(is_dirty(&sector(parts)), cut, "{parts:?}");
        }
    }

    #[test]
    fn what_a_cut_has_left_open_is_repaired_before_it_is_mounted_and_nothing_else_is() {
        let root = tempfile::tempdir().unwrap();
        let device = root.path().join("card");
        std::fs::write(&device, sector(&[(82, b"FAT32   "), (65, &[1])])).unwrap();
        // It does what fsck.fat does last.
        let clear = r#"printf '\0' | dd of="$3" bs=1 seek=65 conv=notrunc status=none; exit 1"#;
        let fsck = program(root.path(), clear);
        assert!(tidy(&device, &fsck).unwrap());
        assert!(!tidy(&device, &fsck).unwrap());
        assert!(!tidy(&root.path().join("none"), &fsck).unwrap());
    }

    #[test]
    fn a_fat_that_cannot_be_repaired_is_said() {
        let root = tempfile::tempdir().unwrap();
        let device = root.path().join("card");
        std::fs::write(&device, sector(&[(82, b"FAT32   "), (65, &[1])])).unwrap();
        let fsck = program(root.path(), "echo 'both FATs appear to be corrupt' >&2; exit 4");
        assert_eq!(tidy(&device, &fsck).unwrap_err().kind(), "tool-refused");
        assert_eq!(tidy(&device, "/nonexistent").unwrap_err().kind(), "tool-not-run");
    }
}

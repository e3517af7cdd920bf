//! The FAT of the card or a stick, mounted for a moment and no longer.

use std::io;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::place::{CARD, Place};
use crate::tool;

/// What sticks and cards are formatted with.
const KINDS: [&str; 2] = ["vfat", "exfat"];

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
    /// Mounts a partition at [`CARD`].
    ///
    /// # Errors
    /// All of [`Error`].
    pub fn mount(place: &Place, device: &Path) -> Result<Self, Error> {
        let target = place.at(CARD);
        std::fs::create_dir_all(&target).map_err(Error::NoPlace)?;
        if !device.exists() {
            return Err(Error::NotFound(device.to_owned()));
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
            tracing::warn!("failed to unmount '{CARD}', so it is done later: {error}");
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

/// Repairs the FAT of an unmounted partition.
///
/// # Errors
/// What `fsck.vfat` says; its exit code 1 means that it has repaired something.
pub fn repair(device: &Path) -> Result<(), tool::Error> {
    let path = device.to_string_lossy();
    let said = tool::ask("fsck.vfat", &["-a", "-w", &path], "")?;
    match said.code {
        Some(0 | 1) => Ok(()),
        _ => Err(tool::Error::Refused {
            program: "fsck.vfat".to_owned(),
            said: said.err.lines().last().unwrap_or_default().to_owned(),
        }),
    }
}

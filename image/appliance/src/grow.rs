//! `grow`: the data partition takes the rest of the card.
//!
//! A card is larger than the image. sfdisk moves the end of the partition and the second partition table behind it, and
//! leaves the hybrid MBR alone; the file system grows when it is mounted. Done twice, it does nothing.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::place::{DATA_PARTITION, Place};
use crate::tool;

/// The second partition table: one header and 32 sectors of entries (UEFI 2.10, 5.3).
const TABLE_SECTORS: u64 = 33;
/// What is not worth a write to the partition table: the alignment of partitions.
const SMALL_SECTORS: u64 = 2048;

/// Why the partition could not grow.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there, or is no partition.
    #[error("failed to find the data partition '{DATA_PARTITION}': write the image to the card anew")]
    NotFound,
    /// It is not the last one: this is no card of ours.
    #[error(
        "the data partition is not the last one on the card, so it was left as it is: write the image to the card anew"
    )]
    NotLast,
    /// The card.
    #[error("failed to lock the card; its data partition stays as small as it is")]
    Lock(#[source] io::Error),
    /// sfdisk, partx or udevadm.
    #[error("failed to grow the data partition; it stays as small as it is")]
    Tool(#[from] tool::Error),
}

impl Error {
    /// The stable word for logs and tests.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NotFound => "grow-not-found",
            Self::NotLast => "grow-not-last",
            Self::Lock(_) => "grow-lock",
            Self::Tool(_) => "grow-tool",
        }
    }

    /// Whether the next start may succeed.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Lock(_) | Self::Tool(_))
    }
}

/// Where the data partition is, in sectors of 512 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The disk's name, like `mmcblk0`.
    pub disk: String,
    /// The size of the disk.
    pub disk_sectors: u64,
    /// The partition's number.
    pub number: u32,
    /// Where it begins.
    pub start: u64,
    /// How large it is.
    pub size: u64,
    /// Where the other partitions begin.
    pub others: Vec<u64>,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// There is no room.
    Nothing,
    /// By so many sectors, more or less.
    Grow(u64),
}

impl Layout {
    /// Looks at the kernel's view of the disk.
    ///
    /// # Errors
    /// [`Error::NotFound`].
    pub fn read(place: &Place) -> Result<Self, Error> {
        let device = std::fs::canonicalize(place.at(DATA_PARTITION)).map_err(|_| Error::NotFound)?;
        let name = device.file_name().ok_or(Error::NotFound)?;
        // The folder of a partition lies in that of its disk.
        let class = place.at("/sys/class/block").join(name);
        let folder = std::fs::canonicalize(class).map_err(|_| Error::NotFound)?;
        let disk = folder.parent().ok_or(Error::NotFound)?;
        let number = |folder: &Path, file: &str| -> Option<u64> {
            std::fs::read_to_string(folder.join(file))
                .ok()?
                .trim()
                .parse()
                .ok()
        };
        let others = |disk: &Path| -> Vec<u64> {
            let entries = std::fs::read_dir(disk).into_iter().flatten().flatten();
            entries
                .map(|entry| entry.path())
                .filter(|path| *path != folder && path.join("partition").exists())
                .filter_map(|path| number(&path, "start"))
                .collect()
        };
        let read = || {
            Some(Self {
                disk: disk.file_name()?.to_str()?.to_owned(),
                disk_sectors: number(disk, "size")?,
                number: number(&folder, "partition")?.try_into().ok()?,
                start: number(&folder, "start")?,
                size: number(&folder, "size")?,
                others: others(disk),
            })
        };
        read().ok_or(Error::NotFound)
    }

    /// Whether there is room behind the partition.
    ///
    /// # Errors
    /// [`Error::NotLast`].
    pub fn decide(&self) -> Result<Decision, Error> {
        if self.others.iter().any(|start| *start > self.start) {
            return Err(Error::NotLast);
        }
        let end = self.start.saturating_add(self.size).saturating_add(TABLE_SECTORS);
        let room = self.disk_sectors.saturating_sub(end);
        Ok(if room < SMALL_SECTORS {
            Decision::Nothing
        } else {
            Decision::Grow(room)
        })
    }
}

/// Grows the data partition of the machine; gives what was done, in words.
///
/// # Errors
/// All of [`Error`].
pub fn grow(place: &Place) -> Result<String, Error> {
    let layout = Layout::read(place)?;
    match layout.decide()? {
        Decision::Nothing => Ok("the data partition fills the card".to_owned()),
        Decision::Grow(sectors) => {
            let disk = PathBuf::from("/dev").join(&layout.disk);
            let disk = disk.to_string_lossy();
            let number = layout.number.to_string();
            // Until the kernel knows what the table says, udev finds no partition there and takes its links away. It looks
            // at no disk that is locked (systemd, BLOCK_DEVICE_LOCKING).
            let held = File::open(place.at(&*disk)).map_err(Error::Lock)?;
            held.lock().map_err(Error::Lock)?;
            rewrite(&disk, &number)?;
            // Other partitions of the disk are in use, so the kernel is told of this one alone.
            tool::run("partx", &["--update", "--nr", &number, &disk], "")?;
            drop(held);
            tool::run("udevadm", &["settle", "--timeout=60"], "")?;
            Ok(format!("the data partition has grown by {} MiB", sectors / 2048))
        }
    }
}

/// Writes the partition table of a disk or of an image of one.
///
/// # Errors
/// What sfdisk says.
pub fn rewrite(disk: &str, number: &str) -> Result<(), tool::Error> {
    let arguments = ["--no-reread", "--no-tell-kernel", "--quiet", "-N", number, disk];
    tool::run("sfdisk", &arguments, ", +\n").map(drop)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn layout(disk_sectors: u64) -> Layout {
        Layout {
            disk: "mmcblk0".to_owned(),
            disk_sectors,
            number: 7,
            start: 3_000_000,
            size: 524_288,
            others: vec![2048, 264_192, 1_000_000],
        }
    }

    const IMAGE: u64 = 3_000_000 + 524_288 + TABLE_SECTORS;

    #[test]
    fn a_card_exactly_as_large_as_the_image_is_left_alone() {
        assert_eq!(layout(IMAGE).decide().unwrap(), Decision::Nothing);
        assert_eq!(
            layout(IMAGE + SMALL_SECTORS - 1).decide().unwrap(),
            Decision::Nothing
        );
    }

    #[test]
    fn a_card_smaller_than_the_image_is_left_alone() {
        assert_eq!(layout(IMAGE - 1000).decide().unwrap(), Decision::Nothing);
    }

    #[test]
    fn a_larger_card_is_filled() {
        assert_eq!(
            layout(IMAGE + 60_000_000).decide().unwrap(),
            Decision::Grow(60_000_000)
        );
    }

    #[test]
    fn a_partition_that_is_not_the_last_one_is_not_grown_over_others() {
        let mut layout = layout(IMAGE + 60_000_000);
        layout.others.push(IMAGE);
        assert_eq!(layout.decide().unwrap_err().kind(), "grow-not-last");
    }

    proptest! {
        #[test]
        fn what_has_grown_does_not_grow_again(extra in 0_u64..1 << 40) {
            let mut layout = layout(IMAGE + extra);
            if let Decision::Grow(sectors) = layout.decide().unwrap() {
                layout.size += sectors;
            }
            prop_assert_eq!(layout.decide().unwrap(), Decision::Nothing);
        }
    }

    #[test]
    fn the_layout_is_read_from_the_kernel_s_folders() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("sys/block/vda/size", "8000000\n");
        for (number, start) in [(1, 2048), (7, 3_000_000)] {
            write(
                &format!("sys/block/vda/vda{number}/partition"),
                &format!("{number}\n"),
            );
            write(&format!("sys/block/vda/vda{number}/start"), &format!("{start}\n"));
            write(&format!("sys/block/vda/vda{number}/size"), "4096\n");
        }
        write("dev/vda7", "");
        std::fs::create_dir_all(root.path().join("dev/spotstream")).unwrap();
        std::fs::create_dir_all(root.path().join("sys/class/block")).unwrap();
        std::os::unix::fs::symlink("../vda7", root.path().join("dev/spotstream/spot-data")).unwrap();
        std::os::unix::fs::symlink("../../block/vda/vda7", root.path().join("sys/class/block/vda7")).unwrap();
        let layout = Layout::read(&Place::below(root.path())).unwrap();
        assert_eq!(
            layout,
            Layout {
                disk: "vda".to_owned(),
                disk_sectors: 8_000_000,
                number: 7,
                start: 3_000_000,
                size: 4096,
                others: vec![2048],
            }
        );
        let empty = Place::below(root.path().join("empty"));
        assert_eq!(Layout::read(&empty).unwrap_err().kind(), "grow-not-found");
    }
}

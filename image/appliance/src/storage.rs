//! Files that must survive a power cut at any moment: each step by itself, so that a test can cut between any two.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::Group;

use crate::place::Place;
use crate::settings::text::LIMIT_BYTES;

/// Who may read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Root alone.
    Private,
    /// The programs that read the settings (group `spotstream-settings`).
    Programs,
    /// Whoever has the card in hand: FAT knows no owners.
    Fat,
}

impl Access {
    const fn mode(self) -> u32 {
        match self {
            Self::Private | Self::Fat => 0o600,
            Self::Programs => 0o640,
        }
    }
}

/// The steps. Nothing but [`Storage::sync_file`], [`Storage::sync_folder`] and [`Storage::sync_all`] is durable.
pub trait Storage {
    /// A file of at most [`LIMIT_BYTES`] and one byte more; nothing when it is not there.
    ///
    /// # Errors
    /// What the kernel says.
    fn read(&self, file: &Path) -> io::Result<Option<Vec<u8>>>;

    /// The names in a folder; none when it is not there.
    fn names(&self, folder: &Path) -> Vec<String>;

    /// Writes a whole file, and the folders above it if need be.
    ///
    /// # Errors
    /// What the kernel says.
    fn write(&mut self, file: &Path, bytes: &[u8], access: Access) -> io::Result<()>;

    /// What was written reaches the card.
    ///
    /// # Errors
    /// What the kernel says.
    fn sync_file(&mut self, file: &Path) -> io::Result<()>;

    /// Puts a file in another one's place. What the other one held is overwritten, because the FAT of a card keeps what
    /// was there for everybody who looks.
    ///
    /// # Errors
    /// What the kernel says.
    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()>;

    /// Takes a file away, which may be gone already, and overwrites what it held.
    ///
    /// # Errors
    /// What the kernel says.
    fn remove(&mut self, file: &Path) -> io::Result<()>;

    /// Takes away a file as [`Storage::remove`] does, or a folder with all that is in it.
    ///
    /// # Errors
    /// What the kernel says.
    fn remove_all(&mut self, path: &Path) -> io::Result<()>;

    /// The names of a folder reach the card.
    ///
    /// # Errors
    /// What the kernel says.
    fn sync_folder(&mut self, folder: &Path) -> io::Result<()>;

    /// Everything on the file system of a folder reaches the card.
    ///
    /// # Errors
    /// What the kernel says.
    fn sync_all(&mut self, folder: &Path) -> io::Result<()>;
}

/// The name of a file while it is being written. It is one that FAT can hold.
pub fn unfinished(file: &Path) -> PathBuf {
    // No file that is named in the settings begins with a dot, so none is its own unfinished one.
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    file.with_file_name(format!(".{name}.new"))
}

/// Replaces a file so that either the old one or the new one is there, whole.
///
/// # Errors
/// What the kernel says; the old file is as it was then.
pub fn replace(storage: &mut dyn Storage, file: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
    let new = unfinished(file);
    storage.write(&new, bytes, access)?;
    storage.sync_file(&new)?;
    storage.rename(&new, file)?;
    storage.sync_folder(file.parent().unwrap_or(file))
}

/// The files of the machine.
#[derive(Clone, Debug)]
pub struct Disk {
    place: Place,
}

impl Disk {
    /// Below a root.
    pub const fn new(place: Place) -> Self {
        Self { place }
    }
}

impl Storage for Disk {
    fn read(&self, file: &Path) -> io::Result<Option<Vec<u8>>> {
        use std::io::Read;
        let mut bytes = Vec::new();
        match File::open(self.place.at(file)) {
            Ok(from) => from.take(LIMIT_BYTES + 1).read_to_end(&mut bytes)?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(bytes))
    }

    fn names(&self, folder: &Path) -> Vec<String> {
        self.place.names(folder)
    }

    fn write(&mut self, file: &Path, bytes: &[u8], access: Access) -> io::Result<()> {
        let file = self.place.at(file);
        if let Some(folder) = file.parent()
            && !folder.exists()
        {
            fs::create_dir_all(folder)?;
            // Programs go through it, whatever our umask is.
            if access == Access::Programs {
                fs::set_permissions(folder, Permissions::from_mode(0o755))?;
            }
        }
        let mut to = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&file)?;
        if access != Access::Fat {
            to.set_permissions(Permissions::from_mode(access.mode()))?;
        }
        if access == Access::Programs
            && let Ok(Some(group)) = Group::from_name("spotstream-settings")
        {
            chown(&file, None, Some(group.gid.as_raw()))?;
        }
        to.write_all(bytes)
    }

    fn sync_file(&mut self, file: &Path) -> io::Result<()> {
        File::open(self.place.at(file))?.sync_all()
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let (from, to) = (self.place.at(from), self.place.at(to));
        let old = OpenOptions::new().write(true).open(&to).ok();
        fs::rename(from, &to)?;
        if let (Some(old), Some(folder)) = (old, to.parent()) {
            File::open(folder)?.sync_all()?;
            scrub(&old);
        }
        Ok(())
    }

    fn remove(&mut self, file: &Path) -> io::Result<()> {
        let file = self.place.at(file);
        let old = OpenOptions::new().write(true).open(&file).ok();
        match fs::remove_file(&file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
            Ok(()) => {
                if let (Some(old), Some(folder)) = (old, file.parent()) {
                    File::open(folder)?.sync_all()?;
                    scrub(&old);
                }
                Ok(())
            }
        }
    }

    fn remove_all(&mut self, path: &Path) -> io::Result<()> {
        // What a link leads to is somebody else's.
        let is_folder = |path: &Path| fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir());
        if !is_folder(&self.place.at(path)) {
            return self.remove(path);
        }
        for entry in fs::read_dir(self.place.at(path))? {
            self.remove_all(&path.join(entry?.file_name()))?;
        }
        fs::remove_dir(self.place.at(path))
    }

    fn sync_folder(&mut self, folder: &Path) -> io::Result<()> {
        File::open(self.place.at(folder))?.sync_all()
    }

    fn sync_all(&mut self, folder: &Path) -> io::Result<()> {
        let folder = File::open(self.place.at(folder))?;
        Ok(nix::unistd::syncfs(folder)?)
    }
}

/// Overwrites a file that no longer has a name. It is a favour to its owner: nothing depends on it.
fn scrub(mut old: &File) {
    if let Ok(meta) = old.metadata() {
        let zeros = vec![0; usize::try_from(meta.len().min(LIMIT_BYTES)).unwrap_or(0)];
        let _ = old.write_all(&zeros).and_then(|()| old.sync_all());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_reach_their_files_whatever_the_umask_is() {
        let root = tempfile::tempdir().unwrap();
        let mut disk = Disk::new(Place::below(root.path()));
        let before = nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o077));
        let written = disk.write(Path::new("/files/ca.pem"), b"x", Access::Programs);
        nix::sys::stat::umask(before);
        written.unwrap();
        let mode = |path: &str| fs::metadata(root.path().join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("files"), mode("files/ca.pem")), (0o755, 0o640));
    }

    #[test]
    fn a_file_is_replaced_whole_and_nothing_else_stays() {
        let root = tempfile::tempdir().unwrap();
        let mut disk = Disk::new(Place::below(root.path()));
        let file = Path::new("/etc/spotstream/spotstream.toml");
        for text in ["one, which is long", "two"] {
            replace(&mut disk, file, text.as_bytes(), Access::Programs).unwrap();
            assert_eq!(disk.read(file).unwrap().unwrap(), text.as_bytes());
        }
        assert_eq!(disk.names(file.parent().unwrap()), ["spotstream.toml"]);
        let mode = fs::metadata(root.path().join("etc/spotstream/spotstream.toml"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o640);
    }

    #[test]
    fn what_was_replaced_is_overwritten() {
        let root = tempfile::tempdir().unwrap();
        let mut disk = Disk::new(Place::below(root.path()));
        let file = Path::new("/spotstream.toml");
        disk.write(file, b"live_secret", Access::Fat).unwrap();
        // Another name shows what becomes of the old file's bytes.
        let seen = root.path().join("seen");
        fs::hard_link(root.path().join("spotstream.toml"), &seen).unwrap();
        replace(&mut disk, file, b"key = \"\"", Access::Fat).unwrap();
        assert_eq!(fs::read(seen).unwrap(), [0; 11]);
    }

    #[test]
    fn a_folder_goes_with_all_that_is_in_it_and_a_link_goes_alone() {
        let root = tempfile::tempdir().unwrap();
        let mut disk = Disk::new(Place::below(root.path()));
        for file in ["/files/sub/below/ca.pem", "/files/sub/.hidden", "/elsewhere/kept"] {
            disk.write(Path::new(file), b"x", Access::Programs).unwrap();
        }
        std::os::unix::fs::symlink(root.path().join("elsewhere"), root.path().join("files/link")).unwrap();
        for path in ["/files/sub", "/files/link", "/files/none"] {
            disk.remove_all(Path::new(path)).unwrap();
        }
        assert!(disk.names(Path::new("/files")).is_empty());
        assert_eq!(disk.names(Path::new("/elsewhere")), ["kept"]);
    }

    #[test]
    fn what_is_not_there_is_removed_already() {
        let root = tempfile::tempdir().unwrap();
        let mut disk = Disk::new(Place::below(root.path()));
        disk.remove(Path::new("/none")).unwrap();
        assert_eq!(disk.read(Path::new("/none")).unwrap(), None);
        assert!(disk.names(Path::new("/none")).is_empty());
    }
}

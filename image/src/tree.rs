//! Folders: walk, copy, remove, always in the order of the names.

use std::fs::{self, Metadata};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use crate::error::{OnFile, Result};

/// Something below a folder.
#[derive(Debug, Clone)]
pub struct Item {
    /// Its path, starting with the folder's.
    pub path: PathBuf,
    /// Its path below the folder.
    pub name: PathBuf,
    /// Of the thing itself, not of what a link points to.
    pub metadata: Metadata,
}

/// All that is below `folder`, parents before children, sorted by name; links are not followed.
///
/// # Errors
/// When a folder cannot be read.
pub fn walk(folder: &Path) -> Result<Vec<Item>> {
    let mut found = Vec::new();
    descend(folder, folder, &mut found)?;
    Ok(found)
}

fn descend(top: &Path, folder: &Path, found: &mut Vec<Item>) -> Result<()> {
    let mut paths = fs::read_dir(folder)
        .on("read", folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<std::io::Result<Vec<_>>>()
        .on("read", folder)?;
    paths.sort();
    for path in paths {
        let metadata = fs::symlink_metadata(&path).on("read", &path)?;
        let name = path.strip_prefix(top).unwrap_or(&path).to_owned();
        let is_folder = metadata.is_dir();
        found.push(Item {
            path: path.clone(),
            name,
            metadata,
        });
        if is_folder {
            descend(top, &path, found)?;
        }
    }
    Ok(())
}

/// Copies what is below `from` into `to`; what is there gives way.
///
/// Only whether the owner may execute a file is taken over: a checkout's other bits are the umask's.
///
/// # Errors
/// When something cannot be read or written.
pub fn overlay(from: &Path, to: &Path) -> Result<()> {
    for item in walk(from)? {
        let target = to.join(&item.name);
        if item.metadata.is_dir() {
            if !target.is_dir() {
                folder(&target)?;
            }
            continue;
        }
        if let Some(parent) = target.parent() {
            folder(parent)?;
        }
        if fs::symlink_metadata(&target).is_ok() {
            fs::remove_file(&target).on("replace", &target)?;
        }
        if item.metadata.is_symlink() {
            let points_to = fs::read_link(&item.path).on("read", &item.path)?;
            symlink(points_to, &target).on("make", &target)?;
        } else {
            fs::copy(&item.path, &target).on("write", &target)?;
            let executable = item.metadata.permissions().mode() & 0o100 != 0;
            set_mode(&target, if executable { 0o755 } else { 0o644 })?;
        }
    }
    Ok(())
}

/// Makes a folder and its parents, or leaves it as it is.
///
/// # Errors
/// When it cannot be made.
pub fn folder(path: &Path) -> Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        folder(parent)?;
    }
    fs::create_dir(path).on("make", path)?;
    set_mode(path, 0o755)
}

/// Makes a new, empty folder, whatever was there.
///
/// # Errors
/// When it cannot be made.
pub fn fresh(path: &Path) -> Result<()> {
    remove(path)?;
    folder(path)
}

/// Removes a file, link or folder with all that is in it; nothing there is fine.
///
/// # Errors
/// When it cannot be removed.
pub fn remove(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Err(_) => Ok(()),
        Ok(metadata) if metadata.is_dir() => fs::remove_dir_all(path).on("remove", path),
        Ok(_) => fs::remove_file(path).on("remove", path),
    }
}

/// Writes a file that everybody may read, and its folder.
///
/// # Errors
/// When it cannot be written.
pub fn write(path: &Path, content: impl AsRef<[u8]>) -> Result<()> {
    if let Some(parent) = path.parent() {
        folder(parent)?;
    }
    remove(path)?;
    fs::write(path, content).on("write", path)?;
    set_mode(path, 0o644)
}

/// Copies one file, readable by everybody.
///
/// # Errors
/// When it cannot be read or written.
pub fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(parent) = to.parent() {
        folder(parent)?;
    }
    fs::copy(from, to).on("copy", from)?;
    set_mode(to, 0o644)
}

/// Makes a link at `path`; what is there gives way.
///
/// # Errors
/// When it cannot be made.
pub fn link(points_to: &str, path: &Path) -> Result<()> {
    if let Some(parent) = path.parent() {
        folder(parent)?;
    }
    remove(path)?;
    symlink(points_to, path).on("make", path)
}

/// Sets the permission bits of a file or folder.
///
/// # Errors
/// When they cannot be set.
pub fn set_mode(path: &Path, mode: u32) -> Result<()> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).on("set the mode of", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_replaces_files_and_keeps_links_as_links() {
        let top = tempfile::tempdir().unwrap();
        let (from, to) = (top.path().join("from"), top.path().join("to"));
        write(&from.join("etc/a"), "new").unwrap();
        set_mode(&from.join("etc/a"), 0o775).unwrap();
        link("a", &from.join("etc/b")).unwrap();
        write(&to.join("etc/a"), "old").unwrap();
        write(&to.join("etc/b"), "a file gives way to a link").unwrap();
        overlay(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("etc/a")).unwrap(), "new");
        assert_eq!(
            fs::metadata(to.join("etc/a")).unwrap().permissions().mode() & 0o777,
            0o755
        );
        assert_eq!(fs::read_link(to.join("etc/b")).unwrap(), Path::new("a"));
    }

    #[test]
    fn an_overlay_goes_through_a_folder_that_is_a_link() {
        let top = tempfile::tempdir().unwrap();
        let (from, to) = (top.path().join("from"), top.path().join("to"));
        write(&from.join("lib/x"), "x").unwrap();
        folder(&to.join("usr/lib")).unwrap();
        link("usr/lib", &to.join("lib")).unwrap();
        overlay(&from, &to).unwrap();
        assert!(to.join("usr/lib/x").is_file());
    }

    #[test]
    fn a_walk_is_sorted_with_parents_first() {
        let top = tempfile::tempdir().unwrap();
        write(&top.path().join("b/z"), "").unwrap();
        write(&top.path().join("a"), "").unwrap();
        let names: Vec<PathBuf> = walk(top.path())
            .unwrap()
            .into_iter()
            .map(|item| item.name)
            .collect();
        assert_eq!(names, [Path::new("a"), Path::new("b"), Path::new("b/z")]);
    }
}

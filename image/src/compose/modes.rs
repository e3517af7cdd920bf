//! No program of the appliance runs with more rights than its caller.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::error::Result;
use crate::tree;

const SET_ID: u32 = 0o6000;
const WRITE_OF_OTHERS: u32 = 0o022;

/// Takes the setuid and setgid bits off everything, and the right to write from all but root.
pub(super) fn tighten(root: &Path) -> Result<()> {
    for item in tree::walk(root)? {
        let mode = item.metadata.permissions().mode() & 0o7777;
        let right = mode & !(SET_ID | WRITE_OF_OTHERS | if item.metadata.is_dir() { 0o1000 } else { 0 });
        if !item.metadata.is_symlink() && right != mode {
            tree::set_mode(&item.path, right)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn set_ids_and_the_worlds_right_to_write_go() {
        let root = tempfile::tempdir().unwrap();
        let su = root.path().join("su");
        tree::write(&su, "").unwrap();
        tree::set_mode(&su, 0o4777).unwrap();
        tighten(root.path()).unwrap();
        assert_eq!(su.metadata().unwrap().permissions().mode() & 0o7777, 0o755);
    }
}

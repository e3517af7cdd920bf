//! `/etc/passwd` and its three companions.

use std::fs;
use std::path::Path;

use crate::error::{OnFile, Result};
use crate::tree;

/// Writes the accounts that every Debian system has; systemd-sysusers adds those of the packages and of ours.
pub(super) fn from_master_files(root: &Path) -> Result<()> {
    for (name, shadow) in [("passwd", "shadow"), ("group", "gshadow")] {
        let master = root.join(format!("usr/share/base-passwd/{name}.master"));
        let text = fs::read_to_string(&master).on("read", &master)?;
        tree::write(&root.join("etc").join(name), open_part(&text))?;
        tree::write(&root.join("etc").join(shadow), closed_part(&text, shadow))?;
    }
    Ok(())
}

/// The same file with the password moved out of it.
fn open_part(master: &str) -> String {
    master
        .lines()
        .map(|line| format!("{}\n", line.replacen(":*:", ":x:", 1)))
        .collect()
}

/// Nobody of these has a password, and none is accepted.
fn closed_part(master: &str, file: &str) -> String {
    let rest = if file == "shadow" {
        "!*:0:0:99999:7:::"
    } else {
        "*::"
    };
    master
        .lines()
        .filter_map(|line| line.split(':').next())
        .map(|name| format!("{name}:{rest}\n"))
        .collect()
}

/// Removes what the tools leave beside the files, and closes those that hold password fields.
pub(super) fn tidy(root: &Path) -> Result<()> {
    for name in [
        "passwd-",
        "group-",
        "shadow-",
        "gshadow-",
        ".pwd.lock",
        "subuid",
        "subgid",
        "subuid-",
        "subgid-",
    ] {
        tree::remove(&root.join("etc").join(name))?;
    }
    for name in ["shadow", "gshadow"] {
        tree::set_mode(&root.join("etc").join(name), 0o600)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_moved_out_and_none_is_accepted() {
        let master = "root:*:0:0:root:/root:/bin/bash\n";
        assert_eq!(open_part(master), "root:x:0:0:root:/root:/bin/bash\n");
        assert_eq!(closed_part(master, "shadow"), "root:!*:0:0:99999:7:::\n");
        assert_eq!(closed_part("adm:*:4:\n", "gshadow"), "adm:*::\n");
    }
}

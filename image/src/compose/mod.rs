//! From unpacked packages to a root that starts: what their maintainer scripts would have done, and what is ours.

mod accounts;
mod certificates;
mod identity;
mod modes;

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::program::Program;
use crate::tree;
pub use identity::Identity;

/// Where what is laid over the packages comes from.
#[derive(Debug)]
pub struct Ours {
    /// Trees that are copied to `/`, in this order.
    pub trees: Vec<PathBuf>,
    /// The programs that go to `/usr/bin`.
    pub programs: Vec<PathBuf>,
    /// `image/rauc`.
    pub rauc: PathBuf,
}

/// Makes the unpacked and pruned `root` a whole one.
///
/// # Errors
/// When a file cannot be written or a program fails.
pub fn compose(root: &Path, ours: &Ours, identity: &Identity, epoch: u64) -> Result<()> {
    accounts::from_master_files(root)?;
    certificates::install(root)?;
    tree::link("dash", &root.join("usr/bin/sh"))?;
    lay_over(root, ours, identity)?;
    Program::new("systemd-sysusers")
        .arg(format!("--root={}", root.display()))
        .env("SOURCE_DATE_EPOCH", epoch.to_string())
        .run()?;
    finish(root)
}

/// Puts what is ours over what the packages bring.
///
/// # Errors
/// When a file cannot be written.
pub fn lay_over(root: &Path, ours: &Ours, identity: &Identity) -> Result<()> {
    for from in &ours.trees {
        tree::overlay(from, root)?;
    }
    for program in &ours.programs {
        let to = root.join("usr/bin").join(program.file_name().unwrap_or_default());
        tree::copy(program, &to)?;
        tree::set_mode(&to, 0o755)?;
    }
    // Without a keyring RAUC takes no bundle: whoever makes images that are updated puts theirs there.
    for name in ["system.conf", "keyring.pem"] {
        let file = ours.rauc.join(name);
        if file.exists() {
            tree::copy(&file, &root.join("etc/rauc").join(name))?;
        }
    }
    identity.write(root)
}

/// Enables what the presets say, makes the mount points, and leaves nobody more rights than needed.
///
/// # Errors
/// When a file cannot be written or a program fails.
pub fn finish(root: &Path) -> Result<()> {
    // What a package has enabled for itself gives way to the presets.
    Program::new("systemctl")
        .arg(format!("--root={}", root.display()))
        .args(["--preset-mode=full", "preset-all"])
        .run()?;
    accounts::tidy(root)?;
    mount_points(root)?;
    modes::tighten(root)
}

fn mount_points(root: &Path) -> Result<()> {
    tree::fresh(&root.join("var"))?;
    for name in [
        "boot",
        "dev",
        "etc/spotstream",
        "home",
        "mnt",
        "proc",
        "root",
        "run",
        "sys",
        "tmp",
    ] {
        tree::folder(&root.join(name))?;
    }
    for name in ["boot", "dev", "home", "mnt", "proc", "run", "sys", "tmp"] {
        tree::fresh(&root.join(name))?;
    }
    tree::set_mode(&root.join("root"), 0o700)
}

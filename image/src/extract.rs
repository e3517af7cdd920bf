//! The packages become a tree, without running anything of theirs.

use std::fs;
use std::path::Path;

use crate::error::{OnFile, Result};
use crate::packages::Fetched;
use crate::program::Program;

/// Unpacks exactly the packages of `fetched` into the new folder `root`.
///
/// The local archive names no dependencies: what is unpacked is the lock, whatever apt thinks of it.
///
/// # Errors
/// When mmdebstrap fails.
pub fn extract(fetched: &Fetched, archive: &Path, root: &Path) -> Result<()> {
    fs::create_dir_all(archive).on("make", archive)?;
    let mut index = String::new();
    for (package, file) in fetched.lock.packages().iter().zip(&fetched.files) {
        // apt trips over the escaped colon of an epoch in a local archive.
        let name = format!("{}.deb", package.name);
        let link = archive.join(&name);
        if fs::hard_link(file, &link).is_err() {
            fs::copy(file, &link).on("copy", file)?;
        }
        index += &format!(
            "Package: {}\nVersion: {}\nArchitecture: {}\nMaintainer: -\nDescription: -\nFilename: ./{}\nSize: {}\nSHA256: {}\n\n",
            package.name, package.version, package.architecture, name, package.bytes, package.sha256
        );
    }
    let path = archive.join("Packages");
    fs::write(&path, index).on("write", &path)?;
    let names: Vec<&str> = fetched
        .lock
        .packages()
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    Program::new("mmdebstrap")
        .args([
            "--mode=root",
            "--variant=extract",
            "--format=directory",
            "--architectures=arm64",
        ])
        .args([
            "--aptopt=APT::Install-Recommends \"false\"",
            "--aptopt=APT::Sandbox::User \"root\"",
        ])
        .arg(format!("--include={}", names.join(",")))
        .arg("")
        .arg(root)
        .arg(format!("deb [trusted=yes] copy:{} ./", archive.display()))
        .run()?;
    Ok(())
}

//! Kernel modules: which a kernel has, and what each one needs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, OnFile, Result};
use crate::program::Program;
use crate::tree;

/// The one kernel of a root.
#[derive(Debug)]
pub struct Kernel {
    /// As `uname -r` says it.
    pub release: String,
    /// `usr/lib/modules/RELEASE`, starting with the root.
    pub folder: PathBuf,
}

impl Kernel {
    /// Finds the kernel in `root`.
    ///
    /// # Errors
    /// When there is none or more than one.
    pub fn of(root: &Path) -> Result<Self> {
        let all = root.join("usr/lib/modules");
        let mut folders = fs::read_dir(&all)
            .on("read", &all)?
            .filter_map(std::result::Result::ok)
            .map(|entry| entry.path());
        match (folders.next(), folders.next()) {
            (Some(folder), None) => {
                let release = folder
                    .file_name()
                    .map(|name| name.to_string_lossy().into_owned())
                    .unwrap_or_default();
                Ok(Self { release, folder })
            }
            _ => Err(Error::Unfit {
                path: all,
                why: "has to hold exactly one kernel".to_owned(),
            }),
        }
    }

    /// Writes `modules.dep` and the other indexes anew.
    ///
    /// # Errors
    /// When depmod fails.
    pub fn index(&self, root: &Path) -> Result<()> {
        Program::new("depmod")
            .arg("--basedir")
            .arg(root)
            .arg(&self.release)
            .run()?;
        Ok(())
    }

    /// Copies the modules `names` and all they need, unpacked, into the root `to` and indexes them there.
    ///
    /// # Errors
    /// When the kernel has no such module and has to, or one cannot be copied.
    pub fn copy(&self, names: &[String], named: Named, to: &Path) -> Result<()> {
        let path = self.folder.join("modules.dep");
        let index = Index::parse(&fs::read_to_string(&path).on("read", &path)?);
        let there = to.join("usr/lib/modules").join(&self.release);
        for file in index.with_needs(names, named)? {
            let from = self.folder.join(&file);
            match file.strip_suffix(".xz") {
                Some(bare) => {
                    let target = there.join(bare);
                    tree::folder(target.parent().unwrap_or(&there))?;
                    Program::new("xz")
                        .args(["--decompress", "--stdout"])
                        .input(&from)
                        .output(&target)
                        .run()?;
                }
                None => tree::copy(&from, &there.join(&file))?,
            }
        }
        for list in ["modules.builtin", "modules.builtin.modinfo", "modules.order"] {
            tree::copy(&self.folder.join(list), &there.join(list))?;
        }
        Program::new("depmod")
            .arg("--basedir")
            .arg(to)
            .arg(&self.release)
            .run()?;
        Ok(())
    }
}

/// Which of the modules that are named a kernel has to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// All: it is the one kernel of all boards, and a module that is built in now is struck off the list.
    All,
    /// Those that it has: it is of one board, and what its maker has built in is there as well.
    Present,
}

struct Index {
    /// File to the files it needs.
    needs: BTreeMap<String, Vec<String>>,
    /// Module name to file.
    files: BTreeMap<String, String>,
}

impl Index {
    fn parse(modules_dep: &str) -> Self {
        let needs: BTreeMap<String, Vec<String>> = modules_dep
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(file, needs)| {
                (
                    file.to_owned(),
                    needs.split_whitespace().map(str::to_owned).collect(),
                )
            })
            .collect();
        let files = needs.keys().map(|file| (name_of(file), file.clone())).collect();
        Self { needs, files }
    }

    fn with_needs(&self, names: &[String], named: Named) -> Result<BTreeSet<String>> {
        let mut all = BTreeSet::new();
        for name in names {
            let Some(file) = self.files.get(&name.replace('-', "_")) else {
                if named == Named::Present {
                    continue;
                }
                return Err(Error::Rule(format!(
                    "image/initrd/modules names {name}, which is no module of this kernel; it may be built in now"
                )));
            };
            all.insert(file.clone());
            // depmod lists all of them, not only the direct ones.
            all.extend(self.needs.get(file).into_iter().flatten().cloned());
        }
        Ok(all)
    }
}

fn name_of(file: &str) -> String {
    let base = file.rsplit('/').next().unwrap_or(file);
    base.split('.').next().unwrap_or(base).replace('-', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/a/sdhci-iproc.ko.xz: kernel/a/sdhci.ko.xz kernel/a/core.ko\nkernel/a/sdhci.ko.xz: kernel/a/core.ko\nkernel/a/core.ko:\n";

    #[test]
    fn a_module_comes_with_what_it_needs() {
        let files = Index::parse(DEP)
            .with_needs(&["sdhci_iproc".into()], Named::All)
            .unwrap();
        assert_eq!(
            files.into_iter().collect::<Vec<_>>(),
            [
                "kernel/a/core.ko",
                "kernel/a/sdhci-iproc.ko.xz",
                "kernel/a/sdhci.ko.xz"
            ]
        );
    }

    #[test]
    fn a_module_that_is_not_there_is_named() {
        let why = Index::parse(DEP)
            .with_needs(&["erofs".into()], Named::All)
            .unwrap_err()
            .to_string();
        assert!(why.contains("names erofs"), "{why}");
    }

    #[test]
    fn a_kernel_of_one_board_brings_the_modules_that_it_has() {
        let files = Index::parse(DEP)
            .with_needs(&["erofs".into(), "core".into()], Named::Present)
            .unwrap();
        assert_eq!(files.into_iter().collect::<Vec<_>>(), ["kernel/a/core.ko"]);
    }
}

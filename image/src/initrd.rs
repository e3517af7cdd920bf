//! The first root: `image/initrd` with the programs and modules that it names.

use std::fs;
use std::path::{Path, PathBuf};

use crate::elf;
use crate::error::{Error, OnFile, Result};
use crate::listing;
use crate::modules::{Kernel, Named};
use crate::program::Program;
use crate::tree;

/// An initrd that is larger than this lies over the kernel where an old boot loader puts both.
const MOST_BYTES: u64 = 14 << 20;

/// The initrd as a tree, still without the file that names the verified root.
#[derive(Debug)]
pub struct Initrd {
    folder: PathBuf,
}

impl Initrd {
    /// Collects in `folder` what `image/initrd` asks for, out of the unpacked packages in `root`.
    ///
    /// # Errors
    /// When a program, library or module is missing.
    pub fn collect(image: &Path, root: &Path, kernel: &Kernel, named: Named, folder: &Path) -> Result<Self> {
        let data = image.join("initrd");
        tree::fresh(folder)?;
        for name in ["bin", "sbin", "usr/lib"] {
            tree::folder(&folder.join(name))?;
        }
        tree::link("usr/lib", &folder.join("lib"))?;
        let init = folder.join("init");
        tree::copy(&data.join("init"), &init)?;
        tree::set_mode(&init, 0o755)?;
        tree::copy(&image.join("boot/state.txt"), &folder.join("state.txt"))?;
        let mut programs = Vec::new();
        for entry in listing::read(&data.join("programs"), "image/initrd/programs")? {
            let mut words = entry.text.split_whitespace();
            let (Some(from), Some(to), None) = (words.next(), words.next(), words.next()) else {
                return Err(entry.wrong("write where the program lies in the root, and where it goes"));
            };
            let from = PathBuf::from(from.trim_start_matches('/'));
            let to = folder.join(to.trim_start_matches('/'));
            tree::copy(&root.join(&from), &to)?;
            tree::set_mode(&to, 0o755)?;
            programs.push(from);
        }
        for library in elf::closure(root, &programs)? {
            let to = folder.join(&library);
            tree::copy(&root.join(&library), &to)?;
            tree::set_mode(&to, 0o755)?;
        }
        let modules: Vec<String> = listing::read(&data.join("modules"), "image/initrd/modules")?
            .into_iter()
            .map(|entry| entry.text)
            .collect();
        kernel.copy(&modules, named, folder)?;
        Ok(Self {
            folder: folder.to_owned(),
        })
    }

    /// Adds `slot` as `/slot` and packs the tree into the file `to`.
    ///
    /// # Errors
    /// When it cannot be packed, or is larger than 14 MiB.
    pub fn pack(&self, slot: &str, epoch: u64, to: &Path) -> Result<()> {
        tree::write(&self.folder.join("slot"), slot)?;
        let names: Vec<String> = tree::walk(&self.folder)?
            .iter()
            .map(|item| item.name.to_string_lossy().into_owned())
            .collect();
        let list = to.with_extension("list");
        fs::write(&list, names.join("\n") + "\n").on("write", &list)?;
        Program::new("xargs")
            .args(["-d", "\\n", "touch", "--no-dereference"])
            .arg(format!("--date=@{epoch}"))
            .input(&list)
            .within(&self.folder)
            .run()?;
        let archive = to.with_extension("cpio");
        Program::new("cpio")
            .args([
                "--create",
                "--format=newc",
                "--reproducible",
                "--owner=+0:+0",
                "--quiet",
            ])
            .input(&list)
            .output(&archive)
            .within(&self.folder)
            .run()?;
        Program::new("zstd")
            .args(["-19", "-T2", "--quiet", "--force"])
            .arg(&archive)
            .arg("-o")
            .arg(to)
            .run()?;
        let bytes = fs::metadata(to).on("read", to)?.len();
        if bytes > MOST_BYTES {
            return Err(Error::Unfit {
                path: to.to_owned(),
                why: format!("has {bytes} bytes, and {MOST_BYTES} is the most that every boot loader takes"),
            });
        }
        Ok(())
    }
}

//! From a root as packages make it to the card: what Debian's packages and Yocto's have in common.

use std::path::{Path, PathBuf};

use crate::boot::{self, Parts};
use crate::compose::Identity;
use crate::disk;
use crate::error::Result;
use crate::fat;
use crate::initrd::Initrd;
use crate::modules::{Kernel, Named};
use crate::prune::Prune;
use crate::root::{self, Verified};
use crate::tree;

/// What a card is made of.
#[derive(Debug)]
pub struct Card<'a> {
    /// This repository.
    pub tree: &'a Path,
    /// The root; it is pruned and finished in place.
    pub root: &'a Path,
    /// Its kernel, with its indexes.
    pub kernel: &'a Kernel,
    /// Which of the initrd's modules that kernel has to have.
    pub named: Named,
    /// What the boot loaders read.
    pub parts: &'a Parts,
    /// Version of the image.
    pub identity: &'a Identity,
    /// Seconds since 1970 that every file is dated.
    pub epoch: u64,
    /// Where it is made.
    pub scratch: &'a Path,
}

/// A card that was made.
#[derive(Debug)]
pub struct Made {
    /// The image, with holes.
    pub disk: PathBuf,
    /// The files of its partitions: `slot-a.vfat` and `root.erofs` are what an update brings.
    pub partitions: PathBuf,
    /// How the root is opened.
    pub verified: Verified,
    /// Lines of `image/prune` without effect.
    pub idle: Vec<String>,
}

impl Card<'_> {
    /// Makes it; `finish` makes the pruned root a whole one.
    ///
    /// # Errors
    /// When a step fails.
    pub fn make(&self, finish: impl FnOnce(&Path) -> Result<()>, step: &mut dyn FnMut(&str)) -> Result<Made> {
        let image = self.tree.join("image");
        let initrd = Initrd::collect(
            &image,
            self.root,
            self.kernel,
            self.named,
            &self.scratch.join("initrd"),
        )?;
        step("initrd collected");
        let idle = Prune::read(&image.join("prune"))?.apply(self.root)?;
        finish(self.root)?;
        self.kernel.index(self.root)?;
        step("root composed");

        let partitions = self.scratch.join("partitions");
        tree::fresh(&partitions)?;
        let verified = root::pack(self.root, self.epoch, &partitions.join("root.erofs"))?;
        step("root packed");
        let packed_initrd = self.scratch.join("initrd.zst");
        initrd.pack(&slot_file(&verified, self.identity), self.epoch, &packed_initrd)?;
        step("initrd packed");
        let data = image.join("boot");
        self.parts
            .slot(&data, &packed_initrd, &self.scratch.join("slot"))?;
        fat::pack(
            &self.scratch.join("slot"),
            "SPOT-BOOT-A",
            self.epoch,
            &partitions.join("slot-a.vfat"),
        )?;
        let template = self.tree.join("daemon/dist/usr/share/spotstream/spotstream.toml");
        self.parts
            .card(&data, &template, self.epoch, &self.scratch.join("card"))?;
        fat::pack(
            &self.scratch.join("card"),
            "SPOTSTREAM",
            self.epoch,
            &partitions.join("card.vfat"),
        )?;
        boot::state(&data, &partitions.join("state.env"))?;
        disk::data(self.epoch, &partitions.join("data.ext4"))?;
        let disk = disk::assemble(&image.join("genimage.cfg"), &partitions, self.scratch)?;
        step("disk assembled");
        Ok(Made {
            disk,
            partitions,
            verified,
            idle,
        })
    }
}

fn slot_file(verified: &Verified, identity: &Identity) -> String {
    format!(
        "roothash={}\nhash_offset={}\nversion={}\n",
        verified.root_hash, verified.hash_offset, identity.version
    )
}

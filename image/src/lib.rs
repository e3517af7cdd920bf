//! Builds the card image of the appliance.
//!
//! `packages` and `apt` bring the locked packages, `extract`, `prune` and `compose` make a root of them, `root`, `initrd`,
//! `boot` and `fat` the partitions, `disk` the image, `artefacts`
//! what is handed out. From a root on it is `card`, which meta-spotstream uses as well. The programs that do the work are Debian's.
#![forbid(unsafe_code)]

pub mod apt;
pub mod artefacts;
pub mod boot;
pub mod build;
pub mod card;
pub mod compose;
pub mod digest;
pub mod disk;
pub mod elf;
pub mod error;
pub mod extract;
pub mod fat;
pub mod glob;
pub mod imager;
pub mod initrd;
pub mod licence;
pub mod listing;
pub mod lock;
pub mod modules;
pub mod packages;
pub mod program;
pub mod prune;
pub mod root;
pub mod sbom;
pub mod tree;

//! The whole way from the lists to the image.

use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::apt::Apt;
use crate::boot::Parts;
use crate::card::Card;
use crate::compose::{self, Identity, Ours};
use crate::error::Result;
use crate::extract;
use crate::lock::Lock;
use crate::modules::{Kernel, Named};
use crate::packages::{self, Fetched, Gone, Lists};
use crate::root::Verified;
use crate::tree;

/// What a build starts from.
#[derive(Debug)]
pub struct Inputs {
    /// This repository.
    pub tree: PathBuf,
    /// The cross-built programs, stripped.
    pub programs: Vec<PathBuf>,
    /// Where packages are kept between builds.
    pub debs: PathBuf,
    /// Emptied first; what is in it afterwards is of no interest.
    pub scratch: PathBuf,
    /// Version of the image.
    pub identity: Identity,
    /// Seconds since 1970 that every file is dated.
    pub epoch: u64,
    /// Whether a package that the archive has no more stops the build.
    pub gone: Gone,
}

/// What a build ends with.
#[derive(Debug)]
pub struct Built {
    /// The image, with holes.
    pub disk: PathBuf,
    /// The composed root as a folder.
    pub root: PathBuf,
    /// How the root is opened.
    pub verified: Verified,
    /// The packages it is made of.
    pub fetched: Fetched,
    /// What a person should know: successors of locked packages, lines of lists without effect.
    pub notes: Vec<String>,
}

/// Builds the image, telling `say` each step.
///
/// # Errors
/// When a step fails.
pub fn build(inputs: &Inputs, say: &mut dyn FnMut(&str)) -> Result<Built> {
    let image = inputs.tree.join("image");
    let scratch = &inputs.scratch;
    let mut clock = Instant::now();
    let mut step = |name: &str| {
        say(&format!("{name} ({:.1} s)", clock.elapsed().as_secs_f32()));
        clock = Instant::now();
    };
    tree::fresh(scratch)?;

    let lists = Lists::read(&image)?;
    let lock = Lock::read(&image.join("packages.lock"))?;
    lists.check(&lock)?;
    let fetched = packages::fetch(lock, &lists, &inputs.debs, inputs.gone, || {
        Apt::new(&scratch.join("apt"))
    })?;
    step(&format!("{} packages fetched", fetched.files.len()));

    let root = scratch.join("root");
    extract::extract(&fetched, &scratch.join("archive"), &root)?;
    step("unpacked");
    let kernel = Kernel::of(&root)?;
    kernel.index(&root)?;
    let parts = Parts::collect(&root, &kernel, &scratch.join("parts"))?;
    let card = Card {
        tree: &inputs.tree,
        root: &root,
        kernel: &kernel,
        named: Named::All,
        parts: &parts,
        identity: &inputs.identity,
        epoch: inputs.epoch,
        scratch,
    };
    let made = card.make(
        |root| {
            compose::compose(
                root,
                &ours(&inputs.tree, &inputs.programs),
                &inputs.identity,
                inputs.epoch,
            )
        },
        &mut step,
    )?;
    let mut notes = fetched.notes.clone();
    notes.extend(made.idle);
    Ok(Built {
        disk: made.disk,
        root,
        verified: made.verified,
        fetched,
        notes,
    })
}

fn ours(tree: &Path, programs: &[PathBuf]) -> Ours {
    let image = tree.join("image");
    Ours {
        trees: vec![
            tree.join("daemon/dist"),
            tree.join("netsetup/dist"),
            image.join("appliance/dist"),
            image.join("root"),
        ],
        programs: programs.to_vec(),
        rauc: image.join("rauc"),
    }
}

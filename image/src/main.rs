//! `image`: the card image of the appliance, step by step. `ci/image` calls it in the builder root.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use image::apt::Apt;
use image::artefacts::{self, Names};
use image::boot::Parts;
use image::build::{self, Inputs};
use image::card::Card;
use image::compose::{self, Identity, Ours};
use image::modules::{Kernel, Named};
use image::packages::{Gone, Lists};
use image::{sbom, tree};

#[derive(Parser)]
#[command(version, about = "Builds the card image of the appliance")]
struct Options {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Build the image and collect it in the folder OUT with what it consists of.
    Build(Build),
    /// Make the card of a root that other packages made: meta-spotstream's way.
    Card(GivenRoot),
    /// Pack the image in the folder OUT.
    Pack {
        /// Where `build` has put it.
        #[arg(long)]
        out: PathBuf,
        /// What the image calls itself.
        #[arg(long = "image-version")]
        version: String,
        /// Seconds since 1970 that every file is dated.
        #[arg(long)]
        epoch: u64,
        /// The address below which the packed image will be found.
        #[arg(long)]
        url: Option<String>,
    },
    /// Write the lock that today's archive gives.
    Lock {
        /// This repository.
        #[arg(long)]
        tree: PathBuf,
        /// A folder for apt's lists.
        #[arg(long)]
        scratch: PathBuf,
        /// The file to write.
        #[arg(long)]
        out: PathBuf,
    },
}

/// What every way to a card starts from and leads to.
#[derive(clap::Args)]
struct Common {
    /// This repository.
    #[arg(long)]
    tree: PathBuf,
    /// A folder that is emptied first, for what is only needed on the way.
    #[arg(long)]
    scratch: PathBuf,
    /// A folder that is emptied first, for the image; by `card`, for the two partitions of a slot as well.
    #[arg(long)]
    out: PathBuf,
    /// What the image calls itself.
    #[arg(long = "image-version")]
    version: String,
    /// Seconds since 1970 that every file is dated.
    #[arg(long)]
    epoch: u64,
}

#[derive(clap::Args)]
struct Build {
    #[command(flatten)]
    common: Common,
    /// A cross-built and stripped program; once for each.
    #[arg(long = "program")]
    programs: Vec<PathBuf>,
    /// Where packages are kept between builds.
    #[arg(long)]
    debs: PathBuf,
    /// The crates that are linked into the programs: lines of name, version and, after a tab, licence.
    #[arg(long)]
    crates: PathBuf,
    /// Stop when the archive has no more what the lock names.
    #[arg(long)]
    release: bool,
}

#[derive(clap::Args)]
struct GivenRoot {
    #[command(flatten)]
    common: Common,
    /// The root with programs, kernel modules and users; it is changed.
    #[arg(long)]
    root: PathBuf,
    /// What is laid over it.
    #[arg(long)]
    overlay: PathBuf,
    /// The folder with RAUC's system.conf and, if there is one, keyring.pem.
    #[arg(long)]
    rauc: PathBuf,
    /// The folder with Image, dtb and, for a Pi, its firmware and u-boot.bin.
    #[arg(long)]
    parts: PathBuf,
}

fn main() -> ExitCode {
    match run(Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr().lock(), "image: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<()> {
    match options.verb {
        Verb::Build(options) => {
            let listed = std::fs::read_to_string(&options.crates)
                .with_context(|| format!("failed to read '{}'", options.crates.display()))?;
            let crates = sbom::crates(&listed, &options.common.tree.join("Cargo.lock"))?;
            let (version, epoch) = (options.common.version.clone(), options.common.epoch);
            let inputs = Inputs {
                tree: options.common.tree,
                programs: options.programs,
                debs: options.debs,
                scratch: options.common.scratch,
                identity: Identity {
                    version: options.common.version,
                    like: Some("debian"),
                },
                epoch: options.common.epoch,
                gone: if options.release {
                    Gone::Stop
                } else {
                    Gone::Succeed
                },
            };
            let built = build::build(&inputs, &mut say)?;
            built.notes.iter().for_each(|note| say(note));
            artefacts::collect(
                &built,
                &crates,
                &version,
                epoch,
                &Names::new(&options.common.out, &version),
            )?;
        }
        Verb::Card(options) => card(options)?,
        Verb::Pack {
            out,
            version,
            epoch,
            url,
        } => artefacts::pack(&version, epoch, url.as_deref(), &Names::new(&out, &version))?,
        Verb::Lock { tree, scratch, out } => {
            let apt = Apt::new(&scratch)?;
            Lists::read(&tree.join("image"))?
                .resolve(&apt, &[])?
                .write(&out)?;
        }
    }
    Ok(())
}

fn card(options: GivenRoot) -> Result<()> {
    let (scratch, out, root) = (&options.common.scratch, &options.common.out, &options.root);
    tree::fresh(scratch)?;
    tree::fresh(out)?;
    let kernel = Kernel::of(root)?;
    kernel.index(root)?;
    let identity = Identity {
        version: options.common.version,
        like: None,
    };
    let ours = Ours {
        trees: vec![options.overlay],
        programs: Vec::new(),
        rauc: options.rauc,
    };
    let card = Card {
        tree: &options.common.tree,
        root,
        kernel: &kernel,
        named: Named::Present,
        parts: &Parts::given(&options.parts),
        identity: &identity,
        epoch: options.common.epoch,
        scratch,
    };
    let made = card.make(
        |root| {
            compose::lay_over(root, &ours, &identity)?;
            compose::finish(root)
        },
        &mut say,
    )?;
    for (from, name) in [
        (made.disk, "spotstream.img"),
        (made.partitions.join("slot-a.vfat"), "slot.vfat"),
        (made.partitions.join("root.erofs"), "root.erofs"),
    ] {
        std::fs::rename(&from, out.join(name))
            .with_context(|| format!("failed to move '{}'", from.display()))?;
    }
    Ok(())
}

fn say(line: &str) {
    // Whoever closed standard output does not want to know.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

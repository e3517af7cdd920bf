//! What is handed out: the image, packed, and what is told about it.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::build::Built;
use crate::digest;
use crate::error::{Error, OnFile, Result};
use crate::imager::{self, Told};
use crate::program::Program;
use crate::sbom::{self, Crate};
use crate::tree;

/// The names of an image's files in the folder where they are.
#[derive(Debug, Clone)]
pub struct Names {
    folder: PathBuf,
    stem: String,
}

impl Names {
    /// Of the image `version` in `folder`.
    #[must_use]
    pub fn new(folder: &Path, version: &str) -> Self {
        Self {
            folder: folder.to_owned(),
            stem: format!("spotstream-{version}-arm64"),
        }
    }

    /// The file with this ending.
    #[must_use]
    pub fn file(&self, ending: &str) -> PathBuf {
        self.folder.join(format!("{}.{ending}", self.stem))
    }
}

/// Puts the image of `built` and what it consists of into the folder of `names`, which is emptied first.
///
/// # Errors
/// When a file cannot be written.
pub fn collect(built: &Built, crates: &[Crate], version: &str, epoch: u64, names: &Names) -> Result<()> {
    tree::fresh(&names.folder)?;
    Program::new("cp")
        .arg("--sparse=always")
        .arg(&built.disk)
        .arg(names.file("img"))
        .run()?;
    tree::set_mode(&names.file("img"), 0o644)?;
    tree::write(&names.file("packages"), packages(built))?;
    let created = date(epoch, "+%Y-%m-%dT%H:%M:%SZ")?;
    write_json(
        &names.file("spdx.json"),
        &sbom::document(version, &created, &built.fetched.lock, crates, &built.root),
    )?;
    sums(names)
}

/// Packs the collected image and writes what depends on the packed one.
///
/// # Errors
/// When a program fails, or the packed image is larger than promised.
pub fn pack(version: &str, epoch: u64, url: Option<&str>, names: &Names) -> Result<()> {
    let (image, packed, map) = (names.file("img"), names.file("img.zst"), names.file("img.bmap"));
    Program::new("zstd")
        .args(["-12", "--long=24", "-T2", "--quiet", "--force"])
        .arg(&image)
        .arg("-o")
        .arg(&packed)
        .run()?;
    tree::set_mode(&packed, 0o644)?;
    Program::new("bmaptool")
        .args(["create", "--output"])
        .arg(&map)
        .arg(&image)
        .run()?;
    let bytes = |path: &Path| fs::metadata(path).map(|meta| meta.len()).on("read", path);
    let name = file_name(&packed);
    let told = Told {
        version,
        url: &url.map_or_else(
            || name.clone(),
            |base| format!("{}/{name}", base.trim_end_matches('/')),
        ),
        date: &date(epoch, "+%Y-%m-%d")?,
        extract_size: bytes(&image)?,
        extract_sha256: &digest::of_file(&image)?,
        download_size: bytes(&packed)?,
        download_sha256: &digest::of_file(&packed)?,
    };
    write_json(&names.file("rpi-imager.json"), &imager::manifest(&told))?;
    sums(names)
}

/// Name, version and architecture of each package, for people.
fn packages(built: &Built) -> String {
    built
        .fetched
        .lock
        .packages()
        .iter()
        .map(|package| format!("{} {} {}\n", package.name, package.version, package.architecture))
        .collect()
}

fn sums(names: &Names) -> Result<()> {
    let path = names.folder.join("SHA256SUMS");
    tree::remove(&path)?;
    let mut text = String::new();
    for item in tree::walk(&names.folder)? {
        text += &format!("{}  {}\n", digest::of_file(&item.path)?, item.name.display());
    }
    tree::write(&path, text)
}

fn date(epoch: u64, form: &str) -> Result<String> {
    Ok(Program::new("date")
        .args(["--utc", &format!("--date=@{epoch}"), form])
        .run()?
        .trim()
        .to_owned())
}

fn write_json(path: &Path, value: &Value) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Error::Unfit {
        path: path.to_owned(),
        why: error.to_string(),
    })?;
    tree::write(path, text + "\n")
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

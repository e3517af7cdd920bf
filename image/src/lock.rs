//! `image/packages.lock`: every package that is unpacked, by name, version, architecture, SHA-256 and size.

use std::fmt;
use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::error::{Error, OnFile, Result};
use crate::listing;

/// What stands at the top of the file.
const HEAD: &str = "# Written by ci/image --refresh-lock from image/packages and image/packages.dropped.\n\
                    # name version architecture sha256 bytes\n";

/// One package, exactly.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version with epoch and revision.
    pub version: String,
    /// `arm64` or `all`.
    pub architecture: String,
    /// Of the .deb, in lower-case hex.
    pub sha256: String,
    /// Of the .deb.
    pub bytes: u64,
}

impl Package {
    /// The name that apt gives the downloaded file.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!(
            "{}_{}_{}.deb",
            self.name,
            self.version.replace(':', "%3a"),
            self.architecture
        )
    }

    /// `name=version`, as apt wants it.
    #[must_use]
    pub fn exactly(&self) -> String {
        format!("{}={}", self.name, self.version)
    }
}

impl fmt::Display for Package {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {} {} {}",
            self.name, self.version, self.architecture, self.sha256, self.bytes
        )
    }
}

/// The packages of an image, sorted by name.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lock {
    packages: Vec<Package>,
}

impl Lock {
    /// A lock of `packages`.
    #[must_use]
    pub fn new(mut packages: Vec<Package>) -> Self {
        packages.sort();
        packages.dedup();
        Self { packages }
    }

    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read or a line of it is wrong.
    pub fn read(path: &Path) -> Result<Self> {
        Self::parse(&fs::read_to_string(path).on("read", path)?)
    }

    /// Reads the text of the file.
    ///
    /// # Errors
    /// When a line of it is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        let entries = listing::parse(text, "image/packages.lock");
        let packages = entries
            .iter()
            .map(|entry| {
                package(&entry.text).ok_or_else(|| {
                    entry
                        .wrong("is not `name version architecture sha256 bytes`; run ci/image --refresh-lock")
                })
            })
            .collect::<Result<Vec<_>>>()?;
        if let Some(twice) = packages
            .windows(2)
            .find(|pair| pair.first().map(|p| &p.name) == pair.last().map(|p| &p.name))
        {
            let name = twice
                .first()
                .map_or_else(String::new, |package| package.name.clone());
            return Err(Error::Rule(format!(
                "image/packages.lock names {name} twice; run ci/image --refresh-lock"
            )));
        }
        Ok(Self::new(packages))
    }

    /// Writes the file at `path`.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        fs::write(path, self.to_string()).on("write", path)
    }

    /// The packages, sorted by name.
    #[must_use]
    pub fn packages(&self) -> &[Package] {
        &self.packages
    }
}

impl fmt::Display for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HEAD)?;
        self.packages
            .iter()
            .try_for_each(|package| writeln!(f, "{package}"))
    }
}

fn package(line: &str) -> Option<Package> {
    let words: Vec<&str> = line.split(' ').collect();
    let &[name, version, architecture, sha256, bytes] = words.as_slice() else {
        return None;
    };
    let right = !name.is_empty()
        && !version.is_empty()
        && ["arm64", "all"].contains(&architecture)
        && sha256.len() == 64
        && sha256
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    right.then_some(())?;
    Some(Package {
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: architecture.to_owned(),
        sha256: sha256.to_owned(),
        bytes: bytes.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "5f6a455b7bac2b4bb1259b0b9eced6a0811b0eb816d54b88a05d4d756e2b363d";

    fn dash() -> Package {
        Package {
            name: "dash".into(),
            version: "1:0.5-1".into(),
            architecture: "arm64".into(),
            sha256: SUM.into(),
            bytes: 9,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let lock = Lock::new(vec![
            Package {
                name: "zlib1g".into(),
                ..dash()
            },
            dash(),
        ]);
        assert_eq!(Lock::parse(&lock.to_string()).unwrap(), lock);
        assert_eq!(lock.packages()[0].name, "dash");
    }

    #[test]
    fn a_line_with_a_word_too_few_is_named() {
        let why = Lock::parse("# head\ndash 1 arm64 abc 9\n")
            .unwrap_err()
            .to_string();
        assert!(why.starts_with("image/packages.lock, line 2: "), "{why}");
    }

    #[test]
    fn a_package_stands_once() {
        let line = dash().to_string();
        let why = Lock::parse(&format!("{line}\n{line}\n")).unwrap_err().to_string();
        assert!(why.contains("names dash twice"), "{why}");
    }

    #[test]
    fn an_epoch_is_escaped_in_the_name_of_the_file() {
        assert_eq!(dash().file_name(), "dash_1%3a0.5-1_arm64.deb");
    }
}

//! From the wanted packages to the packages on this machine: resolve, lock, fetch.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::apt::Apt;
use crate::digest;
use crate::error::{Error, OnFile, Result};
use crate::listing;
use crate::lock::{Lock, Package};

/// The files of the tree that say what is in the image.
#[derive(Debug)]
pub struct Lists {
    wanted: Vec<String>,
    dropped: BTreeSet<String>,
}

impl Lists {
    /// Reads `packages` and `packages.dropped` in the folder `image`.
    ///
    /// # Errors
    /// When one of them is missing or has a line without a reason.
    pub fn read(image: &Path) -> Result<Self> {
        let wanted = listing::read(&image.join("packages"), "image/packages")?;
        let dropped = listing::read(&image.join("packages.dropped"), "image/packages.dropped")?;
        if let Some(bare) = dropped.iter().find(|entry| entry.comment.is_empty()) {
            return Err(bare.wrong(format!("say after a # why {} is not needed", bare.text)));
        }
        Ok(Self {
            wanted: wanted.into_iter().map(|entry| entry.text).collect(),
            dropped: dropped.into_iter().map(|entry| entry.text).collect(),
        })
    }

    /// The lock that today's archive gives; packages of `keep` stay as they are where the archive still has them.
    ///
    /// # Errors
    /// When apt finds no solution, or a dropped package is not among what the others pull in.
    pub fn resolve(&self, apt: &Apt, keep: &[Package]) -> Result<Lock> {
        let all = apt.resolve(&self.wanted, keep)?;
        self.without_dropped(all)
    }

    /// Checks that each wanted package is in `lock`.
    ///
    /// # Errors
    /// When the lists have changed since the lock was written.
    pub fn check(&self, lock: &Lock) -> Result<()> {
        let locked: BTreeSet<&str> = lock
            .packages()
            .iter()
            .map(|package| package.name.as_str())
            .collect();
        match self.wanted.iter().find(|name| !locked.contains(name.as_str())) {
            None => Ok(()),
            Some(name) => Err(Error::Rule(format!(
                "image/packages names {name}, which image/packages.lock does not have; run ci/image --refresh-lock"
            ))),
        }
    }

    fn without_dropped(&self, all: Vec<Package>) -> Result<Lock> {
        let names: BTreeSet<&str> = all.iter().map(|package| package.name.as_str()).collect();
        if let Some(idle) = self.dropped.iter().find(|name| !names.contains(name.as_str())) {
            return Err(Error::Rule(format!(
                "image/packages.dropped names {idle}, which nothing pulls in any more; take the line out"
            )));
        }
        Ok(Lock::new(
            all.into_iter()
                .filter(|package| !self.dropped.contains(&package.name))
                .collect(),
        ))
    }
}

/// What a build does when the archive has newer versions only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// It goes on with their successors and says so.
    Succeed,
    /// It stops.
    Stop,
}

/// The packages of a build, on this machine.
#[derive(Debug)]
pub struct Fetched {
    /// What the image is made of; the lock's own packages, but for successors.
    pub lock: Lock,
    /// One line for each package that is not the locked one.
    pub notes: Vec<String>,
    /// The .deb of each package, in the order of `lock`.
    pub files: Vec<PathBuf>,
}

/// Brings the packages of `lock` into the folder `debs`, each checked against its SHA-256.
///
/// apt is asked (`make_apt`) only when one of them is not there yet.
///
/// # Errors
/// When the archive cannot be reached, or has newer versions only and `gone` is `Stop`.
pub fn fetch(
    lock: Lock,
    lists: &Lists,
    debs: &Path,
    gone: Gone,
    make_apt: impl Fn() -> Result<Apt>,
) -> Result<Fetched> {
    fs::create_dir_all(debs).on("make", debs)?;
    let absent: Vec<Package> = wanting(lock.packages(), debs)?.into_iter().cloned().collect();
    if absent.is_empty() {
        return Ok(fetched(lock, Vec::new(), debs));
    }
    let apt = make_apt()?;
    let missing = apt.missing(&absent)?;
    let (lock, notes) = if missing.is_empty() {
        (lock, Vec::new())
    } else if gone == Gone::Stop {
        return Err(Error::NotServed(
            missing
                .iter()
                .map(|package| format!("{} {}", package.name, package.version))
                .collect(),
        ));
    } else {
        let keep: Vec<Package> = lock
            .packages()
            .iter()
            .filter(|package| !missing.contains(package))
            .cloned()
            .collect();
        let today = lists.resolve(&apt, &keep)?;
        let notes = differences(&lock, &today);
        (today, notes)
    };
    let absent: Vec<Package> = wanting(lock.packages(), debs)?.into_iter().cloned().collect();
    apt.download(&absent, debs)?;
    match wanting(&absent, debs)?.first() {
        None => Ok(fetched(lock, notes, debs)),
        Some(wrong) => Err(Error::Unfit {
            path: debs.join(wrong.file_name()),
            why: format!(
                "has not the SHA-256 that image/packages.lock gives ({}); run ci/image --refresh-lock if the archive has \
                 rebuilt it",
                wrong.sha256
            ),
        }),
    }
}

fn wanting<'a>(packages: &'a [Package], debs: &Path) -> Result<Vec<&'a Package>> {
    let mut wanting = Vec::new();
    for package in packages {
        let path = debs.join(package.file_name());
        let size = path.metadata().map(|meta| meta.len());
        if !size.is_ok_and(|bytes| bytes == package.bytes) || digest::of_file(&path)? != package.sha256 {
            wanting.push(package);
        }
    }
    Ok(wanting)
}

fn fetched(lock: Lock, notes: Vec<String>, debs: &Path) -> Fetched {
    let files = lock
        .packages()
        .iter()
        .map(|package| debs.join(package.file_name()))
        .collect();
    Fetched { lock, notes, files }
}

fn differences(locked: &Lock, today: &Lock) -> Vec<String> {
    today
        .packages()
        .iter()
        .filter(|package| !locked.packages().contains(package))
        .map(
            |package| match locked.packages().iter().find(|old| old.name == package.name) {
                Some(old) => format!(
                    "the archive no longer serves {} {}; this build takes {}",
                    old.name, old.version, package.version
                ),
                None => format!(
                    "the archive no longer serves all locked versions; this build adds {} {}",
                    package.name, package.version
                ),
            },
        )
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, version: &str, content: &[u8]) -> Package {
        Package {
            name: name.into(),
            version: version.into(),
            architecture: "all".into(),
            sha256: digest::of_bytes(content),
            bytes: content.len() as u64,
        }
    }

    fn no_apt() -> Result<Apt> {
        panic!("apt must not be asked when every package is there")
    }

    #[test]
    fn a_package_that_is_there_with_the_right_sum_is_not_fetched_again() {
        let debs = tempfile::tempdir().unwrap();
        let one = package("one", "1:2", b"content");
        fs::write(debs.path().join("one_1%3a2_all.deb"), b"content").unwrap();
        let lists = Lists {
            wanted: vec![],
            dropped: BTreeSet::new(),
        };
        let fetched = fetch(Lock::new(vec![one]), &lists, debs.path(), Gone::Stop, no_apt).unwrap();
        assert_eq!(fetched.files, [debs.path().join("one_1%3a2_all.deb")]);
        assert!(fetched.notes.is_empty());
    }

    #[test]
    fn a_file_of_the_right_size_with_other_bytes_is_wanting() {
        let debs = tempfile::tempdir().unwrap();
        let one = package("one", "1", b"content");
        fs::write(debs.path().join(one.file_name()), b"CONTENT").unwrap();
        assert_eq!(wanting(&[one], debs.path()).unwrap().len(), 1);
    }

    #[test]
    fn a_dropped_package_that_nothing_pulls_in_is_an_idle_line() {
        let lists = Lists {
            wanted: vec![],
            dropped: ["gone".to_owned()].into(),
        };
        let why = lists
            .without_dropped(vec![package("one", "1", b"")])
            .unwrap_err()
            .to_string();
        assert!(why.contains("names gone"), "{why}");
    }

    #[test]
    fn a_wanted_package_that_is_not_locked_is_named() {
        let lists = Lists {
            wanted: vec!["netbase".to_owned()],
            dropped: BTreeSet::new(),
        };
        let why = lists.check(&Lock::default()).unwrap_err().to_string();
        assert!(why.contains("names netbase"), "{why}");
    }

    #[test]
    fn a_dropped_package_is_not_locked() {
        let lists = Lists {
            wanted: vec![],
            dropped: ["perl-base".to_owned()].into(),
        };
        let lock = lists
            .without_dropped(vec![package("one", "1", b""), package("perl-base", "5", b"")])
            .unwrap();
        assert_eq!(lock.packages().len(), 1);
    }

    #[test]
    fn a_successor_is_told_in_one_line() {
        let before = Lock::new(vec![package("one", "1", b"a"), package("two", "1", b"b")]);
        let today = Lock::new(vec![package("one", "2", b"c"), package("two", "1", b"b")]);
        assert_eq!(
            differences(&before, &today),
            ["the archive no longer serves one 1; this build takes 2"]
        );
    }
}

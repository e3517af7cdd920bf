//! apt in a configuration of its own: the mirrors of this machine, the packages of the appliance.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, OnFile, Result};
use crate::lock::Package;
use crate::program::Program;

/// What comes from trixie-backports instead of trixie: the kernel, and what belongs to it.
const BACKPORTS: &str = "Package: linux-base linux-base-* linux-image-arm64 linux-image-7* linux-modules* linux-binary* dracut* firmware-*\n\
                         Pin: release n=trixie-backports\n\
                         Pin-Priority: 600\n";

/// apt for the packages of the image, with lists and caches in a folder of its own.
#[derive(Debug)]
pub struct Apt {
    folder: PathBuf,
}

impl Apt {
    /// Configures apt in `folder` from the sources of this machine and fetches the package lists.
    ///
    /// # Errors
    /// When the lists cannot be fetched.
    pub fn new(folder: &Path) -> Result<Self> {
        for sub in ["lists/partial", "cache/archives/partial", "state"] {
            let path = folder.join(sub);
            fs::create_dir_all(&path).on("make", &path)?;
        }
        let apt = Self {
            folder: folder.to_owned(),
        };
        let here = Path::new("/etc/apt/sources.list");
        apt.write(
            "sources.list",
            &sources(&fs::read_to_string(here).on("read", here)?),
        )?;
        apt.write("status", "")?;
        apt.write("preferences", BACKPORTS)?;
        apt.write("conf", &configuration(folder))?;
        apt.program("apt-get").args(["update", "--error-on=any"]).run()?;
        Ok(apt)
    }

    /// The versions of `wanted` and of all that they depend on.
    ///
    /// # Errors
    /// When a package is unknown or the wanted ones cannot be installed together.
    pub fn resolve(&self, wanted: &[String], keep: &[Package]) -> Result<Vec<Package>> {
        self.write("preferences", &format!("{BACKPORTS}{}", pins(keep)))?;
        let answer = self
            .program("apt-get")
            .args(["install", "--simulate", "--no-install-recommends"])
            .args(wanted)
            .run();
        self.write("preferences", BACKPORTS)?;
        let names: Vec<String> = installs(&answer?);
        self.describe(&names)
    }

    /// What the archive says of each `name=version`; those that it does not serve are left out.
    ///
    /// # Errors
    /// When apt cannot be asked.
    pub fn describe(&self, exact: &[String]) -> Result<Vec<Package>> {
        let text = self.program("apt-cache").arg("show").args(exact).run()?;
        let known: BTreeMap<String, Package> = stanzas(&text)
            .into_iter()
            .map(|package| (package.exactly(), package))
            .collect();
        Ok(exact.iter().filter_map(|name| known.get(name).cloned()).collect())
    }

    /// Those of `packages` that the archive does not serve any more, with these very bytes.
    ///
    /// # Errors
    /// When apt cannot be asked.
    pub fn missing<'a>(&self, packages: &'a [Package]) -> Result<Vec<&'a Package>> {
        // One unknown version would fail the whole question, so it is put to all versions of all names.
        let names: Vec<&str> = packages.iter().map(|package| package.name.as_str()).collect();
        let text = self
            .program("apt-cache")
            .args(["--all-versions", "show", "--quiet=0"])
            .args(&names)
            .run();
        let served = match text {
            Ok(text) => stanzas(&text),
            // A name that is gone altogether: ask one by one.
            Err(Error::Program { .. }) => names
                .iter()
                .filter_map(|name| {
                    self.program("apt-cache")
                        .args(["--all-versions", "show", name])
                        .run()
                        .ok()
                })
                .flat_map(|text| stanzas(&text))
                .collect(),
            Err(other) => return Err(other),
        };
        Ok(packages
            .iter()
            .filter(|package| !served.contains(package))
            .collect())
    }

    /// Downloads `packages` into the folder `into`.
    ///
    /// # Errors
    /// When the archive does not give them.
    pub fn download(&self, packages: &[Package], into: &Path) -> Result<()> {
        if packages.is_empty() {
            return Ok(());
        }
        self.program("apt-get")
            .arg("download")
            .args(packages.iter().map(|package| package.exactly()))
            .within(into)
            .run()?;
        Ok(())
    }

    fn program(&self, name: &str) -> Program {
        Program::new(name).env("APT_CONFIG", self.folder.join("conf"))
    }

    fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.folder.join(name);
        fs::write(&path, text).on("write", &path)
    }
}

/// The sources of the builder root, with the component of the firmware.
fn sources(of_this_machine: &str) -> String {
    of_this_machine
        .lines()
        .filter_map(|line| line.strip_prefix("deb "))
        .map(|line| format!("deb [arch=arm64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {} non-free-firmware\n", line.trim()))
        .collect()
}

fn configuration(folder: &Path) -> String {
    let at = folder.display();
    // /etc/apt's own apt.conf.d is left out: nothing of it is meant for packages that are not installed here.
    format!(
        "Dir::State \"{at}/state\";\n\
         Dir::State::lists \"{at}/lists\";\n\
         Dir::State::status \"{at}/status\";\n\
         Dir::Cache \"{at}/cache\";\n\
         Dir::Etc::sourcelist \"{at}/sources.list\";\n\
         Dir::Etc::sourceparts \"-\";\n\
         Dir::Etc::preferences \"{at}/preferences\";\n\
         Dir::Etc::preferencesparts \"-\";\n\
         APT::Architecture \"arm64\";\n\
         APT::Architectures {{ \"arm64\"; }};\n\
         APT::Install-Recommends \"false\";\n\
         APT::Sandbox::User \"root\";\n\
         Acquire::Languages \"none\";\n\
         Acquire::Retries \"3\";\n"
    )
}

fn pins(keep: &[Package]) -> String {
    keep.iter().fold(String::new(), |mut text, package| {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "\nPackage: {}\nPin: version {}\nPin-Priority: 990\n",
            package.name, package.version
        );
        text
    })
}

/// `name=version` of each `Inst NAME (VERSION ...)` line.
fn installs(simulation: &str) -> Vec<String> {
    simulation
        .lines()
        .filter_map(|line| line.strip_prefix("Inst "))
        .filter_map(|line| {
            let (name, rest) = line.split_once(" (")?;
            let (version, _) = rest.split_once(' ')?;
            Some(format!("{}={version}", name.trim()))
        })
        .collect()
}

fn stanzas(text: &str) -> Vec<Package> {
    text.split("\n\n").filter_map(stanza).collect()
}

fn stanza(text: &str) -> Option<Package> {
    let field = |name: &str| {
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .map(|value| value.trim().to_owned())
    };
    Some(Package {
        name: field("Package")?,
        version: field("Version")?,
        architecture: field("Architecture")?,
        sha256: field("SHA256")?,
        bytes: field("Size")?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sources_get_the_component_of_the_firmware_and_a_key() {
        let text = sources("# x\ndeb http://mirror.example/debian trixie main\n");
        assert_eq!(
            text,
            "deb [arch=arm64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://mirror.example/debian trixie main non-free-firmware\n"
        );
    }

    #[test]
    fn a_simulation_gives_names_and_versions() {
        let text = "Reading...\nInst dash (0.5.12-12 Debian:13.7/stable [arm64])\nConf dash (0.5.12-12 Debian:13.7/stable [arm64])\n";
        assert_eq!(installs(text), ["dash=0.5.12-12"]);
    }

    #[test]
    fn a_stanza_without_a_sum_is_none() {
        let text = "Package: dash\nVersion: 1\nArchitecture: arm64\nSize: 5\nSHA256: ab\n\nPackage: bash\nVersion: 1\nArchitecture: arm64\nSize: 5\n";
        let names: Vec<String> = stanzas(text).into_iter().map(|p| p.name).collect();
        assert_eq!(names, ["dash"]);
    }
}

//! The software bill of materials: SPDX 2.3 as JSON.
//!
//! Source: the SPDX specification 2.3, chapters 6, 7 and 11.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::digest;
use crate::error::{Error, OnFile, Result};
use crate::licence;
use crate::lock::Lock;

/// A crate that is linked into one of our programs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Crate {
    name: String,
    version: String,
    licence: String,
    /// Of the file that the registry serves; crates of this repository have none.
    sha256: Option<String>,
}

#[derive(Deserialize)]
struct CargoLock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// The crates of `listed`, lines of `name vVERSION<TAB>LICENCE`, with the sums that the Cargo.lock at `lock` has.
///
/// # Errors
/// When the lock cannot be read, or a line is not of that form.
pub fn crates(listed: &str, lock: &Path) -> Result<Vec<Crate>> {
    let text = fs::read_to_string(lock).on("read", lock)?;
    let lock: CargoLock = toml::from_str(&text).map_err(|error| Error::Unfit {
        path: lock.to_owned(),
        why: error.to_string(),
    })?;
    let sums: BTreeMap<(&str, &str), &Option<String>> = lock
        .package
        .iter()
        .map(|package| {
            (
                (package.name.as_str(), package.version.as_str()),
                &package.checksum,
            )
        })
        .collect();
    let mut crates = listed
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| {
            linked(line, &sums).ok_or_else(|| {
                Error::Rule(format!(
                    "cargo tree says '{line}', which is no crate with its version and licence"
                ))
            })
        })
        .collect::<Result<Vec<_>>>()?;
    crates.sort();
    crates.dedup();
    Ok(crates)
}

fn linked(line: &str, sums: &BTreeMap<(&str, &str), &Option<String>>) -> Option<Crate> {
    let (package, licence) = line.split_once('\t')?;
    let mut words = package.split(' ');
    let (name, version) = (words.next()?, words.next()?.strip_prefix('v')?);
    let sha256 = sums.get(&(name, version)).copied()?.clone();
    let licence = if licence.trim().is_empty() {
        licence::UNKNOWN.to_owned()
    } else {
        licence.trim().replace('/', " OR ")
    };
    Some(Crate {
        name: name.to_owned(),
        version: version.to_owned(),
        licence,
        sha256,
    })
}

/// The document of the image `version`, made at `created` (ISO 8601, UTC), of the packages of `lock` and of `crates`.
///
/// `root` still has the packages' copyright files.
#[must_use]
pub fn document(version: &str, created: &str, lock: &Lock, crates: &[Crate], root: &Path) -> Value {
    let image = json!({
        "SPDXID": "SPDXRef-image",
        "name": "spotstream",
        "versionInfo": version,
        "downloadLocation": licence::UNKNOWN,
        "filesAnalyzed": false,
        "licenseConcluded": licence::UNKNOWN,
        "licenseDeclared": licence::UNKNOWN,
        "copyrightText": licence::UNKNOWN,
        "primaryPackagePurpose": "OPERATING_SYSTEM",
    });
    let debs = lock.packages().iter().map(|deb| {
        let purl = format!(
            "pkg:deb/debian/{}@{}?arch={}&distro=trixie",
            escape(&deb.name),
            escape(&deb.version),
            deb.architecture
        );
        package(
            "deb",
            &deb.name,
            &deb.version,
            Some(&deb.sha256),
            &licence::of_package(root, &deb.name),
            &purl,
        )
    });
    let linked = crates.iter().map(|one| {
        let purl = format!("pkg:cargo/{}@{}", escape(&one.name), escape(&one.version));
        package(
            "crate",
            &one.name,
            &one.version,
            one.sha256.as_deref(),
            &one.licence,
            &purl,
        )
    });
    let parts: Vec<Value> = debs.chain(linked).collect();
    let contains = parts.iter().filter_map(|part| part.get("SPDXID")).map(|id| {
        json!({ "spdxElementId": "SPDXRef-image", "relationshipType": "CONTAINS", "relatedSpdxElement": id })
    });
    let describes = json!({ "spdxElementId": "SPDXRef-DOCUMENT", "relationshipType": "DESCRIBES", "relatedSpdxElement": "SPDXRef-image" });
    let relationships: Vec<Value> = std::iter::once(describes).chain(contains).collect();
    let content = digest::uuid(&format!("sbom {version} {created} {parts:?}"));
    let packages: Vec<Value> = std::iter::once(image).chain(parts).collect();
    json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": format!("spotstream-{version}-arm64"),
        "documentNamespace": format!("urn:uuid:{content}"),
        "creationInfo": { "created": created, "creators": ["Tool: spotstream-image"] },
        "hasExtractedLicensingInfos": [{
            "licenseId": "LicenseRef-public-domain",
            "extractedText": "Put into the public domain by its authors; the words are in the package's copyright file.",
        }],
        "packages": packages,
        "relationships": relationships,
    })
}

fn package(kind: &str, name: &str, version: &str, sha256: Option<&str>, licence: &str, purl: &str) -> Value {
    let mut value = json!({
        "SPDXID": format!("SPDXRef-{kind}-{}", identifier(&format!("{name}-{version}"))),
        "name": name,
        "versionInfo": version,
        "downloadLocation": licence::UNKNOWN,
        "filesAnalyzed": false,
        "licenseConcluded": licence::UNKNOWN,
        "licenseDeclared": licence,
        "copyrightText": licence::UNKNOWN,
        "externalRefs": [{ "referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl }],
    });
    if let (Some(sum), Some(fields)) = (sha256, value.as_object_mut()) {
        fields.insert(
            "checksums".to_owned(),
            json!([{ "algorithm": "SHA256", "checksumValue": sum }]),
        );
    }
    value
}

/// Letters, digits, `.` and `-` are all that an identifier may have.
fn identifier(text: &str) -> String {
    text.chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() || ".-".contains(letter) {
                letter.to_string()
            } else {
                format!("-{:x}-", u32::from(letter))
            }
        })
        .collect()
}

fn escape(text: &str) -> String {
    text.chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() || ".-_~".contains(letter) {
                letter.to_string()
            } else {
                format!("%{:02X}", u32::from(letter))
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lock::Package;

    const CARGO_LOCK: &str = "version = 4\n[[package]]\nname = \"bytes\"\nversion = \"1.0.0\"\nchecksum = \"ab\"\n[[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n";

    fn listed(text: &str) -> Result<Vec<Crate>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), CARGO_LOCK).unwrap();
        crates(text, file.path())
    }

    #[test]
    fn a_crate_has_its_sum_and_its_licence() {
        let all =
            listed("ours v0.1.0 (/src)\tMIT\nbytes v1.0.0\tMIT/Apache-2.0\nbytes v1.0.0\tMIT/Apache-2.0\n")
                .unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(
            (all[0].sha256.as_deref(), all[0].licence.as_str()),
            (Some("ab"), "MIT OR Apache-2.0")
        );
        assert_eq!(all[1].sha256, None);
    }

    #[test]
    fn a_document_of_the_same_parts_has_the_same_name_in_the_world_and_no_other_has() {
        let root = tempfile::tempdir().unwrap();
        let name = |version: &str, created: &str, crates: &str| {
            let crates = listed(crates).unwrap();
            let document = document(version, created, &Lock::new(Vec::new()), &crates, root.path());
            document["documentNamespace"].as_str().unwrap().to_owned()
        };
        let one = name("1", "2026-01-01T00:00:00Z", "bytes v1.0.0\tMIT");
        let uuid = one.strip_prefix("urn:uuid:").unwrap();
        assert_eq!(uuid.len(), 36);
        assert_eq!(name("1", "2026-01-01T00:00:00Z", "bytes v1.0.0\tMIT"), one);
        assert_ne!(name("2", "2026-01-01T00:00:00Z", "bytes v1.0.0\tMIT"), one);
        assert_ne!(name("1", "2026-01-02T00:00:00Z", "bytes v1.0.0\tMIT"), one);
        assert_ne!(name("1", "2026-01-01T00:00:00Z", "bytes v1.0.0\tISC"), one);
    }

    #[test]
    fn a_crate_that_the_lock_does_not_have_is_refused() {
        assert!(listed("other v1.0.0\tMIT\n").is_err());
    }

    #[test]
    fn every_part_is_contained_in_the_image_and_has_an_identifier_of_its_own() {
        let root = tempfile::tempdir().unwrap();
        let deb = Package {
            name: "g++".into(),
            version: "4:1+b1".into(),
            architecture: "all".into(),
            sha256: "0".repeat(64),
            bytes: 1,
        };
        let lock = Lock::new(vec![
            Package {
                name: "g".into(),
                ..deb.clone()
            },
            deb,
        ]);
        let document = document(
            "1",
            "2026-01-01T00:00:00Z",
            &lock,
            &listed("bytes v1.0.0\tMIT").unwrap(),
            root.path(),
        );
        assert_eq!(document["packages"].as_array().unwrap().len(), 4);
        assert_eq!(document["relationships"].as_array().unwrap().len(), 4);
        assert_eq!(
            document["packages"][2]["SPDXID"],
            "SPDXRef-deb-g-2b--2b--4-3a-1-2b-b1"
        );
        assert_eq!(
            document["packages"][2]["externalRefs"][0]["referenceLocator"],
            "pkg:deb/debian/g%2B%2B@4%3A1%2Bb1?arch=all&distro=trixie"
        );
        assert_eq!(document["packages"][2]["licenseDeclared"], "NOASSERTION");
    }
}

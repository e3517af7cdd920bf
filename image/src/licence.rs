//! What Debian's copyright files say, where they say it simply.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// SPDX's word for "not stated here".
pub const UNKNOWN: &str = "NOASSERTION";

/// Debian's short names of licences (copyright-format 1.0, section 7.1) and SPDX's.
const NAMES: [(&str, &str); 22] = [
    ("apache-2.0", "Apache-2.0"),
    ("artistic", "Artistic-1.0-Perl"),
    ("bsd-2-clause", "BSD-2-Clause"),
    ("bsd-3-clause", "BSD-3-Clause"),
    ("bsd-4-clause", "BSD-4-Clause"),
    ("cc0-1.0", "CC0-1.0"),
    ("expat", "MIT"),
    ("gpl-2", "GPL-2.0-only"),
    ("gpl-2+", "GPL-2.0-or-later"),
    ("gpl-3", "GPL-3.0-only"),
    ("gpl-3+", "GPL-3.0-or-later"),
    ("isc", "ISC"),
    ("lgpl-2", "LGPL-2.0-only"),
    ("lgpl-2+", "LGPL-2.0-or-later"),
    ("lgpl-2.1", "LGPL-2.1-only"),
    ("lgpl-2.1+", "LGPL-2.1-or-later"),
    ("lgpl-3", "LGPL-3.0-only"),
    ("lgpl-3+", "LGPL-3.0-or-later"),
    ("mit", "MIT"),
    ("mpl-2.0", "MPL-2.0"),
    ("public-domain", "LicenseRef-public-domain"),
    ("zlib", "Zlib"),
];

/// The SPDX expression of the package `name` in `root`, or `NOASSERTION`.
#[must_use]
pub fn of_package(root: &Path, name: &str) -> String {
    let path = root.join("usr/share/doc").join(name).join("copyright");
    fs::read_to_string(path)
        .ok()
        .and_then(|text| expression(&text))
        .unwrap_or_else(|| UNKNOWN.to_owned())
}

/// The licences of all files of a machine-readable copyright file, when each of them has a plain short name.
fn expression(copyright: &str) -> Option<String> {
    let format = copyright.lines().next()?.to_ascii_lowercase();
    if !format.starts_with("format:") || !format.contains("copyright-format/1.0") {
        return None;
    }
    let mut all = BTreeSet::new();
    for stanza in copyright
        .split("\n\n")
        .filter(|stanza| stanza.lines().any(|line| line.starts_with("Files:")))
    {
        let name = stanza
            .lines()
            .find_map(|line| line.strip_prefix("License:"))?
            .trim();
        all.insert(spdx(name)?);
    }
    (!all.is_empty()).then(|| all.into_iter().collect::<Vec<_>>().join(" AND "))
}

fn spdx(name: &str) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    NAMES
        .iter()
        .find(|(debian, _)| *debian == name)
        .map(|(_, spdx)| *spdx)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n";

    #[test]
    fn simple_licences_are_joined() {
        let text = format!(
            "{HEAD}Files: *\nLicense: LGPL-2.1+\n\nFiles: debian/*\nLicense: Expat\n text\n\nLicense: LGPL-2.1+\n text\n"
        );
        assert_eq!(expression(&text).unwrap(), "LGPL-2.1-or-later AND MIT");
    }

    #[test]
    fn one_that_has_no_plain_name_makes_all_unknown() {
        let text = format!("{HEAD}Files: *\nLicense: GPL-2+ with OpenSSL exception\n");
        assert_eq!(expression(&text), None);
        assert_eq!(expression("This package was debianized by ...\n"), None);
    }
}

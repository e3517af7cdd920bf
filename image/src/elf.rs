//! What a program of the appliance needs to start: its loader and libraries.
//!
//! Source: System V ABI, chapters 4 and 5; only the 64-bit little-endian form.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, OnFile, Result};

/// Where the appliance's loader looks, as folders below the root.
pub const LIBRARIES: [&str; 2] = ["usr/lib/aarch64-linux-gnu", "usr/lib"];

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;
const DT_RPATH: u64 = 15;
const DT_RUNPATH: u64 = 29;
const MACHINE_AARCH64: u16 = 183;

/// What one file asks for.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wants {
    /// The loader, as an absolute path.
    pub interpreter: Option<String>,
    /// Libraries by name.
    pub libraries: Vec<String>,
    /// Folders that the file itself names, `$ORIGIN` not yet replaced.
    pub folders: Vec<String>,
}

/// What the ELF file `bytes` asks for; nothing for any other file.
#[must_use]
pub fn wants(bytes: &[u8]) -> Option<Wants> {
    let file = Elf { bytes };
    if bytes.get(..6)? != b"\x7fELF\x02\x01" || file.u16(18)? != MACHINE_AARCH64 {
        return None;
    }
    let (table, size, count) = (file.u64(32)?, u64::from(file.u16(54)?), u64::from(file.u16(56)?));
    let segments: Vec<Segment> = (0..count)
        .filter_map(|n| file.segment(table + n * size))
        .collect();
    let mut wants = Wants::default();
    if let Some(segment) = segments.iter().find(|segment| segment.kind == PT_INTERP) {
        wants.interpreter = file.text(segment.offset);
    }
    let Some(dynamic) = segments.iter().find(|segment| segment.kind == PT_DYNAMIC) else {
        return Some(wants);
    };
    let entries: Vec<(u64, u64)> = (0..dynamic.bytes / 16)
        .filter_map(|n| {
            Some((
                file.u64(dynamic.offset + n * 16)?,
                file.u64(dynamic.offset + n * 16 + 8)?,
            ))
        })
        .collect();
    let strings = entries
        .iter()
        .find(|(tag, _)| *tag == DT_STRTAB)
        .map(|(_, address)| *address)?;
    let strings = segments
        .iter()
        .find(|segment| {
            segment.kind == PT_LOAD && segment.address <= strings && strings < segment.address + segment.bytes
        })
        .map(|segment| strings - segment.address + segment.offset)?;
    for (tag, value) in entries {
        match tag {
            DT_NEEDED => wants.libraries.push(file.text(strings + value)?),
            DT_RPATH | DT_RUNPATH => wants
                .folders
                .extend(file.text(strings + value)?.split(':').map(str::to_owned)),
            _ => {}
        }
    }
    Some(wants)
}

/// The loader and all libraries of `programs`, as paths below `root`; the programs themselves are not among them.
///
/// # Errors
/// When a file cannot be read, or needs a library that `root` does not have.
pub fn closure(root: &Path, programs: &[PathBuf]) -> Result<BTreeSet<PathBuf>> {
    let mut found = BTreeSet::new();
    let mut open: Vec<PathBuf> = programs.to_vec();
    while let Some(name) = open.pop() {
        let path = root.join(&name);
        let Some(wants) = wants(&fs::read(&path).on("read", &path)?) else {
            continue;
        };
        let interpreter = wants
            .interpreter
            .iter()
            .map(|loader| PathBuf::from(loader.trim_start_matches('/')));
        let libraries = wants.libraries.iter().map(|library| {
            find(root, &name, library, &wants.folders).ok_or_else(|| Error::Unfit {
                path: path.clone(),
                why: format!("needs {library}, which no package brings"),
            })
        });
        for library in interpreter.map(Ok).chain(libraries) {
            let library = library?;
            if found.insert(library.clone()) {
                open.push(library);
            }
        }
    }
    Ok(found)
}

fn find(root: &Path, user: &Path, library: &str, own: &[String]) -> Option<PathBuf> {
    let origin = user.parent().unwrap_or(Path::new(""));
    let own = own.iter().map(|folder| match folder.strip_prefix("$ORIGIN") {
        Some(rest) => origin.join(rest.trim_start_matches('/')),
        None => PathBuf::from(folder.trim_start_matches('/')),
    });
    own.chain(LIBRARIES.map(PathBuf::from))
        .map(|folder| folder.join(library))
        .find(|name| root.join(name).exists())
}

struct Elf<'a> {
    bytes: &'a [u8],
}

struct Segment {
    kind: u32,
    offset: u64,
    address: u64,
    bytes: u64,
}

impl Elf<'_> {
    fn array<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let at = usize::try_from(at).ok()?;
        self.bytes.get(at..at.checked_add(N)?)?.try_into().ok()
    }

    fn u16(&self, at: u64) -> Option<u16> {
        self.array(at).map(u16::from_le_bytes)
    }

    fn u64(&self, at: u64) -> Option<u64> {
        self.array(at).map(u64::from_le_bytes)
    }

    fn segment(&self, at: u64) -> Option<Segment> {
        Some(Segment {
            kind: u32::from_le_bytes(self.array(at)?),
            offset: self.u64(at + 8)?,
            address: self.u64(at + 16)?,
            bytes: self.u64(at + 32)?,
        })
    }

    fn text(&self, at: u64) -> Option<String> {
        let rest = self.bytes.get(usize::try_from(at).ok()?..)?;
        let end = rest.iter().position(|byte| *byte == 0)?;
        String::from_utf8(rest.get(..end)?.to_vec()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file with one segment that holds everything, and the dynamic entries after the strings.
    fn elf(libraries: &[&str], folder: &str) -> Vec<u8> {
        let mut strings = vec![0];
        let mut entries = Vec::new();
        for (tag, text) in libraries
            .iter()
            .map(|name| (DT_NEEDED, *name))
            .chain([(DT_RUNPATH, folder)])
        {
            entries.push((tag, strings.len() as u64));
            strings.extend_from_slice(text.as_bytes());
            strings.push(0);
        }
        let strings_at: u64 = 64 + 2 * 56;
        entries.push((DT_STRTAB, strings_at));
        let dynamic_at = strings_at + strings.len() as u64;
        let total = dynamic_at + entries.len() as u64 * 16;
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(64, 0);
        bytes[18..20].copy_from_slice(&MACHINE_AARCH64.to_le_bytes());
        bytes[32..40].copy_from_slice(&64u64.to_le_bytes());
        bytes[54..56].copy_from_slice(&56u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&2u16.to_le_bytes());
        for (kind, offset, size) in [
            (PT_LOAD, 0, total),
            (PT_DYNAMIC, dynamic_at, entries.len() as u64 * 16),
        ] {
            bytes.extend_from_slice(&kind.to_le_bytes());
            bytes.extend_from_slice(&[0; 4]);
            for word in [offset, offset, offset, size, size, 0] {
                bytes.extend_from_slice(&u64::to_le_bytes(word));
            }
        }
        bytes.extend_from_slice(&strings);
        for (tag, value) in entries {
            bytes.extend_from_slice(&tag.to_le_bytes());
            bytes.extend_from_slice(&value.to_le_bytes());
        }
        bytes
    }

    fn root(files: &[(&str, Vec<u8>)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (name, bytes) in files {
            crate::tree::write(&root.path().join(name), bytes).unwrap();
        }
        root
    }

    #[test]
    fn libraries_and_folders_are_read() {
        let wants = wants(&elf(&["libc.so.6", "libm.so.6"], "/opt/x")).unwrap();
        assert_eq!(wants.libraries, ["libc.so.6", "libm.so.6"]);
        assert_eq!(wants.folders, ["/opt/x"]);
    }

    #[test]
    fn a_script_wants_nothing() {
        assert_eq!(wants(b"#!/bin/sh\n"), None);
    }

    #[test]
    fn a_library_of_a_library_is_found_beside_it() {
        let root = root(&[
            ("usr/bin/a", elf(&["liba.so"], "$ORIGIN/../lib/own")),
            ("usr/lib/own/liba.so", elf(&["libb.so"], "")),
            ("usr/lib/libb.so", elf(&[], "")),
        ]);
        let found = closure(root.path(), &["usr/bin/a".into()]).unwrap();
        assert!(found.contains(Path::new("usr/lib/libb.so")));
        assert_eq!(found.len(), 2);
    }

    #[test]
    fn a_library_that_nobody_brings_is_named() {
        let root = root(&[("usr/bin/a", elf(&["libgone.so"], ""))]);
        let why = closure(root.path(), &["usr/bin/a".into()])
            .unwrap_err()
            .to_string();
        assert!(why.contains("needs libgone.so"), "{why}");
    }
}

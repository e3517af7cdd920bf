//! `image/prune`: what is taken out of the root, with reasons.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::{OnFile, Result};
use crate::glob::{self, Fit};
use crate::listing::{self, Entry};
use crate::tree;

/// A line of the file: `-` takes away what fits, `+` keeps it.
#[derive(Debug)]
struct Rule {
    /// Without the `/` at its end.
    pattern: String,
    /// It ended with `/`, so it is about folders and what is in them.
    folders: bool,
    keeps: bool,
    entry: Entry,
}

impl Rule {
    fn new(entry: Entry) -> Result<Self> {
        if entry.comment.is_empty() {
            return Err(entry.wrong("say in a # line above why nobody needs it"));
        }
        let (keeps, pattern) = match (entry.text.strip_prefix("- "), entry.text.strip_prefix("+ ")) {
            (Some(pattern), _) => (false, pattern),
            (None, Some(pattern)) => (true, pattern),
            (None, None) => return Err(entry.wrong("begin with '- ' (take away) or '+ ' (keep)")),
        };
        let (pattern, folders) = pattern
            .strip_suffix('/')
            .map_or((pattern, false), |pattern| (pattern, true));
        Ok(Self {
            pattern: pattern.to_owned(),
            folders,
            keeps,
            entry,
        })
    }

    fn fits(&self, name: &str, is_folder: bool) -> bool {
        match glob::fit(&self.pattern, name) {
            Some(Fit::Itself) => is_folder || !self.folders,
            Some(Fit::Inside) => true,
            None => false,
        }
    }
}

/// The rules of the file, in its order.
#[derive(Debug)]
pub struct Prune {
    rules: Vec<Rule>,
}

impl Prune {
    /// Reads the file at `path`.
    ///
    /// # Errors
    /// When it cannot be read, or a line of it is wrong or has no reason.
    pub fn read(path: &Path) -> Result<Self> {
        Self::new(listing::read(path, "image/prune")?)
    }

    fn new(entries: Vec<Entry>) -> Result<Self> {
        Ok(Self {
            rules: entries.into_iter().map(Rule::new).collect::<Result<_>>()?,
        })
    }

    /// Takes out of `root` each path that the last rule that fits it takes away; a folder that keeps something stays.
    ///
    /// Gives a sentence for each rule that fits nothing.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub fn apply(&self, root: &Path) -> Result<Vec<String>> {
        let mut used = BTreeSet::new();
        let mut folders = Vec::new();
        for item in tree::walk(root)? {
            let Some(name) = item.name.to_str() else { continue };
            let is_folder = item.metadata.is_dir();
            let mut fitting = self
                .rules
                .iter()
                .enumerate()
                .filter(|(_, rule)| rule.fits(name, is_folder));
            let mut last = None;
            for (index, rule) in fitting.by_ref() {
                used.insert(index);
                last = Some(rule);
            }
            match last {
                Some(rule) if !rule.keeps && is_folder => folders.push(item.path),
                Some(rule) if !rule.keeps => fs::remove_file(&item.path).on("remove", &item.path)?,
                Some(_) | None => {}
            }
        }
        for folder in folders.iter().rev() {
            match fs::remove_dir(folder) {
                Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => {}
                other => other.on("remove", folder)?,
            }
        }
        let idle = self
            .rules
            .iter()
            .enumerate()
            .filter(|(index, _)| !used.contains(index));
        Ok(idle
            .map(|(_, rule)| {
                rule.entry
                    .wrong(format!("{} fits nothing; take the line out", rule.pattern))
                    .to_string()
            })
            .collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Prune {
        Prune::new(listing::parse(text, "image/prune")).unwrap()
    }

    fn root(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            tree::write(&root.path().join(file), "").unwrap();
        }
        root
    }

    fn left(root: &Path) -> Vec<String> {
        tree::walk(root)
            .unwrap()
            .into_iter()
            .map(|item| item.name.to_string_lossy().into_owned())
            .collect()
    }

    #[test]
    fn a_folder_goes_with_all_that_is_in_it() {
        let root = root(&["usr/share/doc/bash/copyright", "usr/bin/bash"]);
        rules("# nobody reads it\n- usr/share/doc\n")
            .apply(root.path())
            .unwrap();
        assert_eq!(left(root.path()), ["usr", "usr/bin", "usr/bin/bash", "usr/share"]);
    }

    #[test]
    fn a_later_line_saves_what_an_earlier_one_takes() {
        let root = root(&["fw/a.bin", "fw/wifi/b.bin"]);
        rules("# firmware\n- fw\n+ fw/wifi\n").apply(root.path()).unwrap();
        assert_eq!(left(root.path()), ["fw", "fw/wifi", "fw/wifi/b.bin"]);
    }

    #[test]
    fn a_slash_at_the_end_spares_files() {
        let root = root(&["drm/drm.ko", "drm/amd/amdgpu.ko"]);
        rules("# cards\n- drm/*/\n").apply(root.path()).unwrap();
        assert_eq!(left(root.path()), ["drm", "drm/drm.ko"]);
    }

    #[test]
    fn a_line_that_fits_nothing_is_told() {
        let root = root(&["a"]);
        let idle = rules("# x\n- b\n").apply(root.path()).unwrap();
        assert_eq!(idle, ["image/prune, line 2: b fits nothing; take the line out"]);
    }

    #[test]
    fn a_line_without_a_reason_or_a_sign_is_refused() {
        for text in ["- a\n", "# x\na\n"] {
            let why = Prune::new(listing::parse(text, "image/prune"))
                .unwrap_err()
                .to_string();
            assert!(why.starts_with("image/prune, line "), "{why}");
        }
    }
}

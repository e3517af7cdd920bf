//! The files laid over each other, with the defaults below them.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{Kind, Place, Problem};
use super::fragment::Fragment;
use super::text::{LIMIT_BYTES, Text};

const DEFAULTS: &str = include_str!("defaults.toml");
const DIRECTORIES: [&str; 3] = ["usr/lib/spotstream", "run/spotstream", "etc/spotstream"];
const FILE: &str = "spotstream.toml";
const DROP_INS: &str = "spotstream.d";

/// What holds, before it is known whether it makes sense.
#[derive(Clone, Debug)]
pub struct Merged {
    /// All keys, with defaults.
    pub fragment: Fragment,
    /// What could not be used.
    pub problems: Vec<Problem>,
    /// The file that a person would write a missing key into.
    pub main_file: Arc<Path>,
}

impl Merged {
    /// Reads all settings files of a machine.
    pub fn read_root(root: &Path) -> Self {
        let mut merged = Self::defaults(&root.join("etc/spotstream").join(FILE));
        for directory in DIRECTORIES.map(|directory| root.join(directory)) {
            merged.lay_over(&directory.join(FILE), false);
            match drop_ins(&directory.join(DROP_INS)) {
                Ok(files) => files.iter().for_each(|file| merged.lay_over(file, false)),
                Err(error) => merged.report_unreadable(&directory.join(DROP_INS), &error),
            }
        }
        merged
    }

    /// Reads one file, which must exist.
    pub fn read_file(file: &Path) -> Self {
        let mut merged = Self::defaults(file);
        merged.lay_over(file, true);
        merged
    }

    /// Takes the bytes of one file.
    pub fn read_bytes(file: &Path, bytes: &[u8]) -> Self {
        let mut merged = Self::defaults(file);
        merged.lay_bytes_over(file, bytes);
        merged
    }

    fn defaults(main_file: &Path) -> Self {
        let (fragment, problems) = Text::decode(DEFAULTS.as_bytes())
            .map(|text| Fragment::from_text(None, &text))
            .unwrap_or_default();
        Self {
            fragment,
            problems,
            main_file: Arc::from(main_file),
        }
    }

    fn lay_over(&mut self, path: &Path, must_exist: bool) {
        match read(path) {
            Ok(bytes) => self.lay_bytes_over(path, &bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !must_exist => {}
            Err(error) => self.report_unreadable(path, &error),
        }
    }

    fn lay_bytes_over(&mut self, path: &Path, bytes: &[u8]) {
        let (fragment, mut problems) = Fragment::parse(&Arc::from(path), bytes);
        let below = std::mem::take(&mut self.fragment);
        self.fragment = fragment.over(below);
        self.problems.append(&mut problems);
    }

    fn report_unreadable(&mut self, path: &Path, error: &io::Error) {
        self.problems.push(Problem {
            place: Place::File(Arc::from(path), None),
            key: String::new(),
            kind: Kind::Unreadable {
                reason: error.kind().to_string(),
            },
        });
    }
}

/// Reads at most one byte more than is allowed, so that a device file cannot fill the memory.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(LIMIT_BYTES + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn drop_ins(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match directory.read_dir() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::super::choice::Choice;
    use super::super::{check, load};
    use super::*;

    #[test]
    fn the_defaults_are_right_and_lack_only_the_stream_key() {
        let merged = Merged::defaults(Path::new("spotstream.toml"));
        assert_eq!(merged.problems, []);
        let (_, problems, warnings) = super::super::settings::build(&merged);
        assert_eq!(
            problems
                .iter()
                .map(|p| (p.key.as_str(), p.kind()))
                .collect::<Vec<_>>(),
            [("stream.key", "missing")]
        );
        assert_eq!(warnings, []);
    }

    #[test]
    fn a_later_file_wins_key_by_key() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write(
            "usr/lib/spotstream/spotstream.toml",
            "[camera]\nport = 1\nscreen = 'mech'\n[log]\nlevel = 'debug'",
        );
        write("usr/lib/spotstream/spotstream.d/50-b.toml", "[camera]\nport = 3");
        write(
            "usr/lib/spotstream/spotstream.d/10-a.toml",
            "[camera]\nport = 2\n[stream]\nkey = 'k'",
        );
        write("usr/lib/spotstream/spotstream.d/note.txt", "not a setting");
        write("run/spotstream/spotstream.toml", "[log]\nlevel = 'trace'");
        write("etc/spotstream/spotstream.toml", "[log]\nlevel = 'warn'");
        let loaded = load(root.path()).unwrap();
        assert_eq!(loaded.settings.camera.port, 3);
        assert_eq!(
            loaded
                .settings
                .camera
                .screen
                .as_ref()
                .map(|screen| screen.as_str()),
            Some("mech")
        );
        assert_eq!(loaded.settings.log.level.as_str(), "warn");
    }

    #[test]
    fn the_problems_of_all_files_are_reported() {
        let root = tempfile::tempdir().unwrap();
        for directory in DIRECTORIES {
            std::fs::create_dir_all(root.path().join(directory)).unwrap();
            std::fs::write(root.path().join(directory).join(FILE), "[camera]\nport = 'x'\n").unwrap();
        }
        let problems = load(root.path()).unwrap_err().0;
        assert_eq!(
            problems
                .iter()
                .filter(|problem| problem.key == "camera.port")
                .count(),
            3
        );
    }

    #[test]
    fn a_file_to_be_checked_must_exist() {
        let problems = check(Path::new("/nonexistent/spotstream.toml")).unwrap_err();
        assert!(
            problems.to_string().contains("failed to read the file"),
            "{problems}"
        );
        assert!(
            problems.0.iter().all(|problem| problem.key.is_empty()),
            "{problems}"
        );
    }
}

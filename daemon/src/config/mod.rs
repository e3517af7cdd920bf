//! The settings of the daemon: what was written ([`fragment`]), and what it means ([`settings`]).
//!
//! `spotstream-settings` reads the files and lays them over each other.

use std::path::Path;

use spotstream_settings::Merged;
pub use spotstream_settings::{Listed, Listing, Place, Problem, Problems};

pub mod access;
pub mod choice;
pub mod fragment;
pub mod settings;

pub use settings::Settings;

use fragment::Fragment;

/// Settings that are right, and what a person may want to know about them.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Ready to use.
    pub settings: Settings,
    /// What works, but could be better.
    pub warnings: Vec<Problem>,
    /// What holds and where it was written; secrets only as "(set)".
    pub listing: Listing,
}

/// Loads the settings of the machine whose root directory is `root`: `usr/lib/spotstream`, `run/spotstream` and
/// `etc/spotstream`, in each `spotstream.toml`, then `spotstream.d/*.toml` by name. What is read later wins, key by key.
///
/// # Errors
/// Everything that is wrong in any of the files, or missing in all of them.
pub fn load(root: &Path) -> Result<Loaded, Problems> {
    finish(Merged::read_root(root))
}

/// Checks one file as if it were the only one.
///
/// # Errors
/// Everything that is wrong in it.
pub fn check(file: &Path) -> Result<Loaded, Problems> {
    finish(Merged::read_file(file))
}

/// Checks the bytes of a file that is called `file` in messages.
///
/// # Errors
/// Everything that is wrong in it.
pub fn check_bytes(file: &Path, bytes: &[u8]) -> Result<Loaded, Problems> {
    finish(Merged::read_bytes(file, bytes))
}

fn finish(merged: Merged<Fragment>) -> Result<Loaded, Problems> {
    let judged = merged.judge(settings::build)?;
    Ok(Loaded {
        settings: judged.meaning,
        warnings: judged.warnings,
        listing: judged.listing,
    })
}

#[cfg(test)]
mod tests {
    use super::choice::Choice;
    use super::*;

    const DIRECTORIES: [&str; 3] = ["usr/lib/spotstream", "run/spotstream", "etc/spotstream"];
    const FILE: &str = "spotstream.toml";

    #[test]
    fn the_defaults_are_right_and_lack_only_the_stream_key() {
        let merged = Merged::defaults(Path::new("spotstream.toml"));
        assert_eq!(merged.problems, []);
        let problems = finish(merged).unwrap_err().0;
        let missing: Vec<_> = problems.iter().map(|p| (p.key.as_str(), p.kind())).collect();
        assert_eq!(missing, [("stream.key", "missing")]);
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

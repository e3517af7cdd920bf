//! Asks the programs themselves whether settings are right.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::outcome::Complaint;
use crate::tool;

/// Who knows whether settings are right.
pub trait Checker {
    /// What works but could be better, or everything that is wrong; lines are those of `candidate`.
    ///
    /// # Errors
    /// The checker itself has failed.
    fn check(&self, candidate: &str) -> Result<Result<Vec<Complaint>, Vec<Complaint>>, tool::Error>;
}

/// `spotstreamctl check-config`, which asks the code of every program that reads the file.
#[derive(Clone, Debug)]
pub struct Programs {
    /// A folder that nobody else can read.
    pub folder: PathBuf,
    /// The program.
    pub program: String,
}

impl Checker for Programs {
    fn check(&self, candidate: &str) -> Result<Result<Vec<Complaint>, Vec<Complaint>>, tool::Error> {
        let file = self.folder.join("candidate.toml");
        let written = write_private(&file, candidate).map_err(|source| tool::Error::NotRun {
            program: self.program.clone(),
            source,
        });
        let said = written.and_then(|()| {
            let path = file.to_string_lossy();
            tool::ask(&self.program, &["--json", "check-config", &path], "")
        });
        let _ = std::fs::remove_file(&file);
        let said = said?;
        let read = |text: &str| serde_json::from_str::<Answer>(text.trim()).ok();
        let answer = match said.code {
            Some(0) => read(&said.out).map(|answer| Ok(complaints(answer.warnings))),
            Some(WRONG) => read(&said.err).map(|answer| Err(complaints(answer.problems))),
            _ => None,
        };
        answer.ok_or_else(|| tool::Error::Refused {
            program: self.program.clone(),
            said: said
                .err
                .lines()
                .last()
                .unwrap_or("it gave no answer that is understood")
                .to_owned(),
        })
    }
}

/// The exit code for settings that are wrong.
const WRONG: i32 = 5;

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    problems: Vec<Said>,
    #[serde(default)]
    warnings: Vec<Said>,
}

#[derive(Deserialize)]
struct Said {
    place: String,
    key: String,
    sentence: String,
}

fn complaints(said: Vec<Said>) -> Vec<Complaint> {
    said.into_iter()
        .map(|said| Complaint {
            // 'FILE:LINE', or 'FILE' when the whole of it is meant.
            line: said
                .place
                .rsplit_once(':')
                .and_then(|(_, line)| line.parse().ok()),
            key: said.key,
            sentence: said.sentence,
        })
        .collect()
}

fn write_private(file: &Path, text: &str) -> std::io::Result<()> {
    let mut to = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(file)?;
    to.write_all(text.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    /// A checker that is a script.
    fn programs(script: &str) -> (tempfile::TempDir, Programs) {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("checker");
        std::fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let programs = Programs {
            folder: folder.path().to_owned(),
            program: program.to_str().unwrap().to_owned(),
        };
        (folder, programs)
    }

    #[test]
    fn the_checker_s_lines_are_taken_over() {
        let (_folder, programs) = programs(
            r#"echo '{"right":false,"problems":[{"place":"/run/x.toml:3","key":"stream.kee","kind":"unknown-key","sentence":"no"},{"place":"/run/x.toml","key":"","kind":"missing","sentence":"lost"}]}' >&2; exit 5"#,
        );
        let complaints = programs.check("text").unwrap().unwrap_err();
        assert_eq!((complaints[0].line, complaints[1].line), (Some(3), None));
        assert_eq!(complaints[0].key, "stream.kee");
    }

    #[test]
    fn the_candidate_is_read_by_nobody_else_and_does_not_stay() {
        let (folder, programs) = programs(
            r#"[ "$(stat -c %a "$3")" = 600 ] && grep -q secret "$3" && echo '{"right":true,"problems":[],"warnings":[]}'"#,
        );
        assert_eq!(programs.check("secret").unwrap(), Ok(Vec::new()));
        assert!(!folder.path().join("candidate.toml").exists());
    }

    #[test]
    fn a_checker_that_cannot_say_is_no_approval() {
        for script in ["exit 1", "exit 0", "echo nonsense >&2; exit 5", "kill -9 $$"] {
            let (_folder, programs) = programs(script);
            assert_eq!(
                programs.check("x").unwrap_err().kind(),
                "tool-refused",
                "{script}"
            );
        }
        let programs = Programs {
            folder: std::env::temp_dir(),
            program: "/nonexistent/checker".to_owned(),
        };
        assert_eq!(programs.check("x").unwrap_err().kind(), "tool-not-run");
    }
}

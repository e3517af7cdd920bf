//! Runs the programs that do the work.

use std::io::{self, Write};
use std::process::{Command, Stdio};

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not there, or may not be run.
    #[error("failed to run '{program}'")]
    NotRun {
        /// Its name.
        program: String,
        /// What the kernel says.
        source: io::Error,
    },
    /// It ran, and said no.
    #[error("'{program}' failed: {said}")]
    Refused {
        /// Its name.
        program: String,
        /// The last line that it said.
        said: String,
    },
}

impl Error {
    /// The stable word for logs and tests.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NotRun { .. } => "tool-not-run",
            Self::Refused { .. } => "tool-refused",
        }
    }

    /// A program that is not there does not come by itself.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

/// What a program has said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    /// Its exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// Its answer.
    pub out: String,
    /// Its complaints.
    pub err: String,
}

/// Runs a program to its end, with `input` to read; any exit code is an answer.
///
/// # Errors
/// [`Error::NotRun`] alone.
pub fn ask(program: &str, arguments: &[&str], input: &str) -> Result<Said, Error> {
    let not_run = |source| Error::NotRun {
        program: program.to_owned(),
        source,
    };
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(not_run)?;
    // Inputs are a few lines, which a pipe holds; a program that does not read them says why by its exit code.
    if let Some(mut stdin) = child.stdin.take() {
        let _ = stdin.write_all(input.as_bytes());
    }
    let done = child.wait_with_output().map_err(not_run)?;
    Ok(Said {
        code: done.status.code(),
        out: String::from_utf8_lossy(&done.stdout).into_owned(),
        err: String::from_utf8_lossy(&done.stderr).into_owned(),
    })
}

/// Runs a program that must succeed, and gives its answer.
///
/// # Errors
/// All of [`Error`].
pub fn run(program: &str, arguments: &[&str], input: &str) -> Result<String, Error> {
    let said = ask(program, arguments, input)?;
    if said.code == Some(0) {
        return Ok(said.out);
    }
    let last = said.err.lines().rev().find(|line| !line.trim().is_empty());
    Err(Error::Refused {
        program: program.to_owned(),
        said: last.unwrap_or("it did not say why").trim().to_owned(),
    })
}

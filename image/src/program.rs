//! Runs the programs that do the work.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::error::{Error, OnFile, Result};

/// The end of a program's complaint that is worth repeating.
const SAID_BYTES: usize = 2000;

/// A program of the builder root with its arguments.
#[derive(Debug)]
pub struct Program {
    command: Command,
    name: String,
    input: Option<PathBuf>,
    output: Option<PathBuf>,
}

impl Program {
    /// `name` without arguments yet; it sees the time and the locale that every build has.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut command = Command::new(name);
        command
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .stdin(Stdio::null());
        Self {
            command,
            name: name.to_owned(),
            input: None,
            output: None,
        }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.command.args(args);
        self
    }

    /// A variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// The folder it starts in.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// What it reads.
    #[must_use]
    pub fn input(mut self, file: &Path) -> Self {
        self.input = Some(file.to_owned());
        self
    }

    /// Where its standard output goes, instead of being returned.
    #[must_use]
    pub fn output(mut self, file: &Path) -> Self {
        self.output = Some(file.to_owned());
        self
    }

    /// Runs it to its end and gives what it wrote to its standard output.
    ///
    /// # Errors
    /// When it does not start, or ends with anything but 0.
    pub fn run(mut self) -> Result<String> {
        if let Some(path) = &self.input {
            self.command.stdin(File::open(path).on("read", path)?);
        }
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(path) = &self.output {
            self.command.stdout(File::create(path).on("write", path)?);
        }
        let done = self.command.output().map_err(|source| Error::Start {
            program: self.name.clone(),
            source,
        })?;
        if !done.status.success() {
            let mut said = String::from_utf8_lossy(&done.stderr).into_owned();
            if said.trim().is_empty() {
                said = String::from_utf8_lossy(&done.stdout).into_owned();
            }
            return Err(Error::Program {
                program: self.name,
                status: done.status.to_string(),
                said: end_of(&said),
            });
        }
        Ok(String::from_utf8_lossy(&done.stdout).into_owned())
    }
}

fn end_of(text: &str) -> String {
    let text = text.trim();
    let mut from = text.len().saturating_sub(SAID_BYTES);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text.get(from..).unwrap_or(text).to_owned()
}

/// `NAME=VALUE` as one argument.
#[must_use]
pub fn option(name: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut joined = OsString::from(name);
    joined.push("=");
    joined.push(value);
    joined
}

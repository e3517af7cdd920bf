//! What can go wrong while an image is built, each as one sentence.

use std::io;
use std::path::{Path, PathBuf};

/// A build step that failed, and on what.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder could not be read, written or made.
    #[error("failed to {verb} '{}'", path.display())]
    File {
        /// What was tried: read, write, make, ...
        verb: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program of the builder root did not start.
    #[error("failed to start {program}: is it in ci/lib/packages?")]
    Start {
        /// Its name.
        program: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A program ended with an error.
    #[error("{program} ended with {status}: {said}")]
    Program {
        /// Its name.
        program: String,
        /// Exit code or signal.
        status: String,
        /// The end of what it wrote to its standard error.
        said: String,
    },
    /// A line of one of the image's own files is wrong.
    #[error("{file}, line {line}: {why}")]
    Line {
        /// The file, as it is named in the tree.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// The archive has no longer what the lock names, and this build must not go on without it.
    #[error("the archive no longer serves {}; run ci/image --refresh-lock and commit the new image/packages.lock", .0.join(", "))]
    NotServed(Vec<String>),
    /// A file is not what it has to be.
    #[error("'{}' {why}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The image's own rule is broken by what was built.
    #[error("{0}")]
    Rule(String),
}

/// The result of a build step.
pub type Result<T> = std::result::Result<T, Error>;

/// Puts the name of the file into an error of the system.
pub trait OnFile<T> {
    /// The same result, whose error says what was tried on which file.
    ///
    /// # Errors
    /// When it is one.
    fn on(self, verb: &'static str, path: &Path) -> Result<T>;
}

impl<T> OnFile<T> for io::Result<T> {
    fn on(self, verb: &'static str, path: &Path) -> Result<T> {
        self.map_err(|source| Error::File {
            verb,
            path: path.to_owned(),
            source,
        })
    }
}

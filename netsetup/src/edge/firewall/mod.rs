//! Our nftables table, read and replaced by `nft` (nft(8)), which inherits our capability.

mod generation;

use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;

use netsetup_core::plan::firewall::transaction;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use super::netlink;
use generation::Generations;

const NFT: &str = "nft";

/// How long nft may take. It takes some milliseconds; longer only while somebody else holds the tables.
const PATIENCE: Duration = Duration::from_secs(5);

/// The firewall is not as it should be, or we do not know how it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no nft, or it cannot be run.
    #[error("failed to {doing}: failed to run 'nft'")]
    Run {
        /// What was being done.
        doing: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel did not tell whether the table was changed.
    #[error(transparent)]
    Kernel(#[from] netlink::Error),
    /// nft did not come to an end and was ended.
    #[error("failed to {doing}: 'nft' did not end within {} s", PATIENCE.as_secs())]
    TimedOut {
        /// What was being done.
        doing: &'static str,
    },
    /// nft said no.
    #[error("failed to {doing}: {complaint}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// The first line of its complaint.
        complaint: String,
    },
}

impl Error {
    /// The stable word for status and metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Run { .. } => "firewall-tool",
            Self::Kernel(error) => error.kind(),
            Self::TimedOut { .. } => "firewall-timeout",
            Self::Refused { .. } => "firewall-refused",
        }
    }

    /// A ruleset or a privilege that is wrong stays wrong.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::TimedOut { .. } => true,
            Self::Kernel(error) => error.is_retryable(),
            Self::Run { .. } | Self::Refused { .. } => false,
        }
    }
}

/// A way to the table, which remembers what it was when it was last looked at.
#[derive(Debug)]
pub struct Firewall {
    generations: Generations,
    last: Option<(u32, Option<String>)>,
}

impl Firewall {
    /// Opens a socket, which a task of the current runtime serves.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn open() -> Result<Self, Error> {
        let generations = Generations::open()?;
        Ok(Self {
            generations,
            last: None,
        })
    }

    /// The table as `nft -s list table` prints it, without counters' numbers; none when it is not loaded.
    ///
    /// nft is asked where the kernel's tables have changed since the last time.
    ///
    /// # Errors
    /// When the kernel does not tell, or nft does not.
    pub async fn observe(&mut self) -> Result<Option<String>, Error> {
        // Before the look: what changes meanwhile has a later number, and is looked at again.
        let generation = self.generations.current().await?;
        if let Some((last, table)) = &self.last
            && Some(*last) == generation
        {
            return Ok(table.clone());
        }
        let table = list().await?;
        self.last = generation.map(|generation| (generation, table.clone()));
        Ok(table)
    }
}

async fn list() -> Result<Option<String>, Error> {
    let doing = "read the firewall's table 'inet spotstream'";
    let output = run(&["-s", "list", "table", "inet", "spotstream"], "", doing).await?;
    if output.status.success() {
        return Ok(Some(String::from_utf8_lossy(&output.stdout).into_owned()));
    }
    match complaint(&output.stderr) {
        // ENOENT in nft's words: there is no such table.
        text if text.ends_with("No such file or directory") => Ok(None),
        complaint => Err(Error::Refused { doing, complaint }),
    }
}

/// Puts this ruleset, which makes the table `inet spotstream`, in the place of the one that is loaded.
///
/// It is one transaction: packets meet the old rules or the new ones, and a ruleset with a mistake changes nothing.
pub async fn load(ruleset: &str) -> Result<(), Error> {
    let doing = "load the firewall's table 'inet spotstream'";
    let output = run(&["-f", "-"], &transaction(ruleset), doing).await?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Refused {
        doing,
        complaint: complaint(&output.stderr),
    })
}

async fn run(arguments: &[&str], input: &str, doing: &'static str) -> Result<Output, Error> {
    let child = async {
        let mut child = Command::new(NFT)
            .args(arguments)
            // Its complaints are told by their words, which are translated elsewhere.
            .env("LC_ALL", "C")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let stdin = child.stdin.take();
        let write = async {
            if let Some(mut stdin) = stdin {
                // An nft that stops reading says why itself.
                let _ = stdin.write_all(input.as_bytes()).await;
            }
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), write);
        output
    };
    tokio::time::timeout(PATIENCE, child)
        .await
        .map_err(|_| Error::TimedOut { doing })?
        .map_err(|source| Error::Run { doing, source })
}

/// The first line that nft complains with, without its "Error: " and without where in the text it stands.
fn complaint(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty());
    line.map_or_else(
        || "it gave no reason".to_owned(),
        |line| line.split("Error: ").last().unwrap_or(line).to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_its_first_line() {
        let stderr = b"\n/dev/stdin:3:1-5: Error: syntax error, unexpected string\nnonsense\n^^^^^\n";
        assert_eq!(complaint(stderr), "syntax error, unexpected string");
        assert_eq!(
            complaint(b"Operation not permitted (you must be root)\n"),
            "Operation not permitted (you must be root)"
        );
        assert_eq!(complaint(b""), "it gave no reason");
    }
}

//! Waits until the rule holds, by systemd's signals, and acts.

use std::collections::BTreeMap;
use std::io::Write;
use std::num::NonZeroUsize;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::Instant;
use tracing::{info, warn};
use zbus::{Connection, MessageStream, OwnedObjectPath};

use super::rule::{REQUIRED, Remedy, Seen, remedy};
use crate::bus::systemd::{ManagerProxy, UnitProxy, has_owner, owner_changes, unit_changes};
use crate::bus::{appliance, systemd};
use crate::place::{BOOT, MEMORY, Place};
use crate::slots::{BootState, Slot, Start};
use crate::{bootstate, tool};

/// How long the image may take to come up.
pub const LIMIT: Duration = Duration::from_secs(300);
/// How long everything must hold: what falls over at once is not healthy.
pub const SETTLED: Duration = Duration::from_secs(10);

/// Signals of all units that may come while we ask for our own: with a full queue our answers would wait behind them.
const QUEUE: Option<NonZeroUsize> = NonZeroUsize::new(8192);

/// What is written down about this start, for the report and the console.
pub const VERDICT: &str = "/run/spotstream/health";
/// Why the start before this one was given up.
pub const GIVEN_UP: &str = "given-up";

/// Why health could not be told.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus.
    #[error("failed to ask systemd how its units are")]
    Bus(#[from] zbus::Error),
    /// libubootenv.
    #[error("failed to mark the slot good: {0}; if the card is not worn out, write the image to it anew")]
    State(#[from] tool::Error),
    /// The initrd has not said which slot runs.
    #[error("failed to mark the slot good: which slot runs is not known, '{BOOT}' does not say")]
    NoSlot,
}

impl Error {
    /// The stable word for logs and tests.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Bus(_) => "healthy-bus",
            Self::State(_) => "healthy-state",
            Self::NoSlot => "healthy-no-slot",
        }
    }

    /// Whether the next start may do better.
    pub const fn is_retryable(&self) -> bool {
        matches!(self, Self::Bus(_) | Self::State(_))
    }
}

/// Waits for the rule to hold and marks the slot good, or gives it up; what was found, in words, and whether it is well.
///
/// # Errors
/// All of [`Error`].
pub async fn healthy(place: &Place, limit: Duration) -> Result<(bool, String), Error> {
    let start = Start::parse(&place.text(BOOT).unwrap_or_default());
    let connection = Connection::system().await?;
    let missing = wait(&connection, place, limit).await?;
    let Some(missing) = missing else {
        let marked = mark(start.slot);
        tell(place, &connection, &verdict(&marked)).await;
        return marked.map(|slot| (true, format!("{} and was marked good", well(slot))));
    };
    let state = bootstate::read().unwrap_or_else(|error| {
        warn!(
            kind = error.kind(),
            "{error}; no other slot is assumed to be there"
        );
        BootState::default()
    });
    match remedy(&start, &state) {
        Remedy::Restart => {
            warn!("{missing}; restarting, because another slot may do better");
            if let Err(error) = remember(place, &missing) {
                warn!("failed to write down why: {error}");
            }
            systemd::restart_machine(&connection).await?;
            Ok((false, format!("{missing}; the machine restarts")))
        }
        Remedy::Stay(why) => {
            let sentence = format!("the image is not healthy: {missing}; it stays up, because {why}");
            tell(place, &connection, &sentence).await;
            Ok((false, sentence))
        }
    }
}

/// The verdict about a slot with which all is well.
pub fn well(slot: Slot) -> String {
    format!("slot {slot} is healthy")
}

fn mark(slot: Option<Slot>) -> Result<Slot, Error> {
    let slot = slot.ok_or(Error::NoSlot)?;
    bootstate::mark_good(slot)?;
    Ok(slot)
}

/// What is written down when everything runs.
fn verdict(marked: &Result<Slot, Error>) -> String {
    match marked {
        Ok(slot) => well(*slot),
        Err(error) => format!("everything runs, but the start counts as a failed one: {error}"),
    }
}

/// What is missing at the end; nothing when the rule has held for a while.
async fn wait(connection: &Connection, place: &Place, limit: Duration) -> zbus::Result<Option<String>> {
    let manager = ManagerProxy::new(connection).await?;
    // Whoever asks first and subscribes then misses what happens in between.
    let mut changes = MessageStream::for_match_rule(unit_changes()?, connection, QUEUE).await?;
    let mut owners = MessageStream::for_match_rule(owner_changes(appliance::NAME)?, connection, None).await?;
    manager.subscribe().await?;
    let mut paths = BTreeMap::new();
    for unit in REQUIRED {
        paths.insert(unit, manager.load_unit(unit).await?);
    }
    let end = Instant::now() + limit;
    let mut holds_until = None;
    loop {
        let seen = look(connection, place, &paths).await?;
        let missing = seen.missing();
        holds_until = match (&missing, holds_until) {
            (Some(_), _) => None,
            (None, Some(until)) => Some(until),
            (None, None) => Some(Instant::now() + SETTLED),
        };
        let next = holds_until.unwrap_or(end);
        let is_over = tokio::select! {
            () = tokio::time::sleep_until(next) => true,
            () = next_of(&mut changes, &paths) => false,
            change = owners.next() => change.is_none(),
        };
        if is_over {
            // Nothing says so when the data partition stops taking files.
            let missing = look(connection, place, &paths).await?.missing();
            if missing.is_none() || Instant::now() >= end {
                return Ok(missing);
            }
        }
    }
}

/// A change of one of our units.
async fn next_of(changes: &mut MessageStream, paths: &BTreeMap<&'static str, OwnedObjectPath>) {
    while let Some(Ok(message)) = changes.next().await {
        let header = message.header();
        let is_ours = |path: &OwnedObjectPath| header.path().is_some_and(|of| of.as_str() == path.as_str());
        if paths.values().any(is_ours) {
            return;
        }
    }
}

async fn look(
    connection: &Connection,
    place: &Place,
    paths: &BTreeMap<&'static str, OwnedObjectPath>,
) -> zbus::Result<Seen> {
    let mut units = BTreeMap::new();
    for (unit, path) in paths {
        let proxy = UnitProxy::builder(connection).path(path.clone()).build().await?;
        units.insert((*unit).to_owned(), proxy.active_state().await?);
    }
    let seen = Seen {
        units,
        has_appliance: has_owner(connection, appliance::NAME).await?,
        is_data_writable: is_writable(place),
    };
    info!(missing = seen.missing(), "looked");
    Ok(seen)
}

/// A small file, through to the card.
fn is_writable(place: &Place) -> bool {
    let file = place.at(MEMORY).join("writable");
    let write = || -> std::io::Result<()> {
        let mut to = std::fs::File::create(&file)?;
        to.write_all(b"yes\n")?;
        to.sync_all()?;
        std::fs::remove_file(&file)
    };
    write().is_ok()
}

fn remember(place: &Place, why: &str) -> std::io::Result<()> {
    let mut file = std::fs::File::create(place.at(MEMORY).join(GIVEN_UP))?;
    writeln!(file, "{why}")?;
    file.sync_all()
}

/// For the report and the console. Nobody who listens is no reason to fail.
async fn tell(place: &Place, connection: &Connection, sentence: &str) {
    if let Err(error) = std::fs::write(place.at(VERDICT), format!("{sentence}\n")) {
        warn!("failed to write '{VERDICT}': {error}");
    }
    if let Err(error) = appliance::refresh(connection).await {
        warn!("failed to tell spotstream-watch: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_runs_and_cannot_be_marked_good_is_told_with_the_reason() {
        let refused = tool::Error::Refused {
            program: "fw_setenv".to_owned(),
            said: "Cannot write environment".to_owned(),
        };
        assert_eq!(
            verdict(&Err(refused.into())),
            "everything runs, but the start counts as a failed one: failed to mark the slot good: 'fw_setenv' failed: \
             Cannot write environment; if the card is not worn out, write the image to it anew"
        );
        assert_eq!(verdict(&Ok(Slot::B)), "slot B is healthy");
        assert!(verdict(&mark(None)).contains("is not known"));
    }
}

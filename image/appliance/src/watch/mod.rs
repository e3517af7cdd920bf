//! `watch`: sees everything, and says it: on the console, by the LED, in the report, on the bus.

mod files;
mod publish;

use std::time::{Duration, Instant, SystemTime};

use netsetup::view::{self, Status};
use spotstream_service::notify::Notify;
use spotstream_service::signals::Signals;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tracing::{info, warn};
use zbus::Connection;

use crate::bus::appliance::{self, Request};
use crate::bus::follow::{self, Properties};
use crate::console::{self, Console};
use crate::doctor::{self, Check};
use crate::facts::{Facts, Mood, Stream};
use crate::pace::Pace;
use crate::place::Place;
use crate::settings::outcome::{Outcome, What};
use crate::storage::Disk;
use crate::{led, report};

pub use publish::publish;

/// The daemon's name and object.
const DAEMON: (&str, &str) = ("org.spotstream.Daemon1", "/org/spotstream/Daemon1");

/// Why the service ends; systemd starts it anew.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The bus is absent or gone.
    #[error("failed to use the system bus")]
    Bus(#[from] zbus::Error),
    /// The kernel does not let us listen for signals.
    #[error("failed to listen for signals")]
    Signals(#[from] std::io::Error),
    /// The bus has closed the connection.
    #[error("the system bus has gone")]
    Gone,
}

impl Error {
    /// The stable word for logs and tests.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Bus(_) => "watch-bus",
            Self::Signals(_) => "watch-signals",
            Self::Gone => "watch-bus-gone",
        }
    }

    /// systemd starts us anew.
    pub const fn is_retryable(&self) -> bool {
        true
    }
}

/// Writes the report beside a settings file that was just looked at: to the card or stick that is mounted. What nobody
/// can know so early is not in it.
///
/// # Errors
/// What the kernel says.
pub fn first_report(place: &Place, outcome: &Outcome) -> std::io::Result<()> {
    let is_news = !matches!(outcome.what, What::Unchanged | What::Empty | What::Absent);
    if !is_news {
        return Ok(());
    }
    let facts = Facts {
        settings: outcome.clone(),
        ..files::read(place)
    };
    report::write(&mut Disk::new(place.clone()), &report::text(&facts)).map(drop)
}

/// The service, until it is told to stop. The bus is the one at `address`, or the system bus.
///
/// # Errors
/// All of [`Error`].
pub async fn watch(place: Place, address: Option<String>) -> Result<(), Error> {
    let mut signals = Signals::new()?;
    let mut notify = Notify::from_env();
    let connection = connect(address.as_deref()).await?;
    // A bus refuses other users' signals to whoever owns a name that they may not send to: the listener owns none.
    let listener = connect(address.as_deref()).await?;
    let mut watcher = Watcher::new(place);
    let (told, told_of) = watch::channel(watcher.facts.told());
    let (asks, mut requests) = mpsc::channel(4);
    let object = appliance::serve(&connection, told_of, asks).await?;
    let mut streams = streams(&listener);
    let (networks_to, mut networks) = mpsc::channel(4);
    tokio::spawn(view::watch(address, networks_to));
    watcher.show();
    notify.ready();
    let alive = notify.interval();
    let mut next_ping = Instant::now();
    loop {
        if let Some(interval) = alive
            && next_ping <= Instant::now()
        {
            notify.ping();
            next_ping = Instant::now() + interval;
        }
        let ping = alive.map(|_| next_ping);
        let report_due = watcher.report_due();
        tokio::select! {
            () = signals.next() => break,
            () = connection.closed() => return Err(Error::Gone),
            stream = streams.recv() => watcher.stream(stream.ok_or(Error::Gone)?.as_ref()),
            Some(network) = networks.recv() => watcher.network(network),
            Some(request) = requests.recv() => watcher.answer(request),
            written = done(&mut watcher.writing) => watcher.written(written),
            () = at(report_due) => watcher.write(),
            () = at(ping) => {}
        }
        let now = watcher.facts.told();
        let before = told.borrow().clone();
        if now != before {
            told.send_replace(now.clone());
            appliance::tell(&object, &before, &now).await?;
        }
        notify.status(&watcher.facts.state());
    }
    notify.stopping();
    if let Some(writing) = watcher.writing.take() {
        let _ = writing.await;
    }
    Ok(())
}

async fn connect(address: Option<&str>) -> zbus::Result<Connection> {
    let builder = address.map_or_else(
        zbus::connection::Builder::system,
        zbus::connection::Builder::address,
    );
    builder.build().await
}

fn streams(connection: &Connection) -> mpsc::Receiver<Option<Properties>> {
    let (to, streams) = mpsc::channel(4);
    let connection = connection.clone();
    tokio::spawn(async move {
        let (name, path) = DAEMON;
        if let Err(error) = follow::follow(&connection, name, path, to).await {
            warn!("failed to follow the stream's state: {error}");
        }
    });
    streams
}

/// For ever when there is nothing to wait for.
async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

async fn done(writing: &mut Option<JoinHandle<Result<(), String>>>) -> Result<(), String> {
    let Some(task) = writing else {
        return std::future::pending().await;
    };
    let written = task.await;
    *writing = None;
    written.unwrap_or_else(|error| Err(error.to_string()))
}

/// How long a new state must last before the report is worth a write, where it is no fault.
const SETTLE: Duration = Duration::from_secs(3);

struct Watcher {
    console: Console,
    place: Place,
    facts: Facts,
    /// What was shown last.
    shown: Option<(Mood, String)>,
    pace: Pace,
    writing: Option<JoinHandle<Result<(), String>>>,
    /// Whether the last report could not be written.
    is_card_deaf: bool,
}

impl Watcher {
    fn new(place: Place) -> Self {
        Self {
            console: Console::new(place.clone()),
            facts: files::read(&place),
            place,
            shown: None,
            pace: Pace::new(Instant::now()),
            writing: None,
            is_card_deaf: false,
        }
    }

    fn stream(&mut self, properties: Option<&Properties>) {
        let stream = properties.map(Stream::read);
        if stream != self.facts.stream {
            self.facts.stream = stream;
            self.changed();
        }
    }

    fn network(&mut self, network: Option<Status>) {
        if network != self.facts.network {
            self.facts.network = network;
            self.changed();
        }
    }

    fn answer(&mut self, request: Request) {
        match request {
            Request::Doctor(reply) => {
                let checks = self.examine();
                let _ = reply.send(doctor::json(&checks));
            }
            Request::Report(reply) => {
                self.examine();
                let _ = reply.send(report::text(&self.facts));
            }
            Request::Refresh(reply) => {
                self.facts = Facts {
                    stream: self.facts.stream.take(),
                    network: self.facts.network.take(),
                    checks: std::mem::take(&mut self.facts.checks),
                    ..files::read(&self.place)
                };
                self.changed();
                self.pace.want(Instant::now() + SETTLE, false);
                let _ = reply.send(());
            }
        }
    }

    /// Says what is new, and sees to it that the report does.
    fn changed(&mut self) {
        let mood = self.facts.mood();
        let was = self.shown.as_ref().map(|(mood, _)| *mood);
        let is_first = was.is_none_or(|was| was == Mood::Booting) && mood != Mood::Booting;
        let is_fault = mood == Mood::Fault && was != Some(Mood::Fault);
        if is_fault {
            self.examine();
        }
        if !self.show() {
            return;
        }
        if is_first || is_fault {
            self.pace.want(Instant::now(), is_fault);
        } else if mood != Mood::Booting {
            self.pace.want(Instant::now() + SETTLE, false);
        }
    }

    /// Whether there was anything new.
    fn show(&mut self) -> bool {
        let now = (self.facts.mood(), console::text(&self.facts));
        if self.shown.as_ref() == Some(&now) {
            return false;
        }
        if self.shown.as_ref().map(|(mood, _)| *mood) != Some(now.0) {
            led::sysfs::show(&self.place, &led::pattern::of(now.0));
        }
        self.console.show(now.1.clone());
        info!(mood = ?now.0, "{}", self.facts.state());
        self.shown = Some(now);
        true
    }

    fn examine(&mut self) -> Vec<Check> {
        let evidence = doctor::collect::collect(&self.place, &self.facts, SystemTime::now());
        self.facts.checks = doctor::judge::judge(&evidence);
        self.facts.checks.clone()
    }

    fn report_due(&self) -> Option<Instant> {
        self.pace.deadline().filter(|_| self.writing.is_none())
    }

    /// The card may be slow: the loop goes on meanwhile.
    fn write(&mut self) {
        self.examine();
        let (place, text) = (self.place.clone(), report::text(&self.facts));
        self.pace.written(Instant::now());
        self.writing = Some(tokio::task::spawn_blocking(move || publish(&place, &text)));
    }

    fn written(&mut self, written: Result<(), String>) {
        let is_deaf = written.is_err();
        if let Err(error) = written
            && !self.is_card_deaf
        {
            warn!("failed to write the report to the card: {error}");
        }
        self.is_card_deaf = is_deaf;
    }
}

//! How other programs see the network: the D-Bus name `org.spotstream.Network1`.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::StreamExt;
pub use netsetup_core::status::{Found, Internet, Reason, Robot, Status, Uplink};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, info, warn};
use zbus::message::{Message, Sequence, Type};
use zbus::names::OwnedUniqueName;
use zbus::{Connection, MatchRule, MessageStream, OwnedVariant, connection, fdo};

use crate::edge::dbus::{NAME, PATH};
use crate::properties;

const BUS: &str = "org.freedesktop.DBus";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// How long netsetup may take to answer.
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// How long an apply may take: a search for the robot, and NetworkManager's time to bring it up.
const APPLY_LIMIT: Duration = Duration::from_secs(40);
/// How long a bus that is absent is not looked for again.
const RETRY: Duration = Duration::from_secs(5);

/// Why nothing is known of the network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no bus.
    #[error("failed to connect to the system bus")]
    NoBus(#[source] zbus::Error),
    /// The bus went away, or does not understand us.
    #[error("failed to ask the system bus for the network")]
    Bus(#[from] zbus::Error),
    /// netsetup has the name and does not answer.
    #[error("failed to get an answer from netsetup in time")]
    Silent,
    /// netsetup, or the bus for it, has said no.
    #[error("{0}")]
    Refused(String),
    /// The bus's connection has ended.
    #[error("the system bus has closed the connection")]
    Closed,
}

impl Error {
    /// The stable word for status and metrics.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::NoBus(_) => "network-view-no-bus",
            Self::Bus(_) => "network-view-bus",
            Self::Silent => "network-view-silent",
            Self::Refused(_) => "network-view-refused",
            Self::Closed => "network-view-closed",
        }
    }

    /// Whether another try may succeed.
    pub const fn is_retryable(&self) -> bool {
        match self {
            Self::NoBus(_) | Self::Bus(_) | Self::Silent | Self::Closed => true,
            Self::Refused(_) => false,
        }
    }
}

/// The network at this moment, by the bus at `address` or the system bus; nothing when netsetup does not run.
///
/// # Errors
/// All of [`Error`].
pub async fn read(address: Option<&str>) -> Result<Option<Status>, Error> {
    let connection = connect(address).await?;
    let Some(owner) = owner(&connection).await? else {
        return Ok(None);
    };
    let (properties, _) = all(&connection, &owner).await?;
    Ok(Some(properties::read(&properties)))
}

/// Has netsetup look at everything and put right what is wrong; gives what was changed, line by line, or nothing when
/// netsetup does not run.
///
/// # Errors
/// All of [`Error`].
pub async fn apply(address: Option<&str>) -> Result<Option<Vec<String>>, Error> {
    let connection = connect(address).await?;
    let Some(owner) = owner(&connection).await? else {
        return Ok(None);
    };
    let call = connection.call_method(Some(owner.as_str()), PATH, Some(NAME), "Apply", &());
    match timeout(APPLY_LIMIT, call).await.map_err(|_| Error::Silent)? {
        Ok(reply) => Ok(Some(reply.body().deserialize()?)),
        Err(zbus::Error::MethodError(_, Some(sentence), _)) => Err(Error::Refused(sentence)),
        Err(zbus::Error::FDO(error)) => Err(Error::Refused(error.to_string())),
        Err(error) => Err(error.into()),
    }
}

/// Sends how the network stands, and then each change, in order; nothing while netsetup does not run. Ends with its
/// receiver.
///
/// Nothing is asked again and again: netsetup is asked once, when it takes its name, and signals say the rest.
pub async fn watch(address: Option<String>, news: mpsc::Sender<Option<Status>>) {
    let mut warned = false;
    while !news.is_closed() {
        let ended = tokio::select! {
            ended = follow(address.as_deref(), &news, &mut warned) => ended,
            () = news.closed() => return,
        };
        if let Err(error) = ended
            && !std::mem::replace(&mut warned, true)
        {
            warn!(
                kind = error.kind(),
                "{error}; the network is guessed at until it is there"
            );
        }
        // A receiver that has gone ends the loop.
        let _ = news.send(None).await;
        let _ = timeout(RETRY, news.closed()).await;
    }
}

/// Until the bus or the receiver is gone.
async fn follow(
    address: Option<&str>,
    news: &mpsc::Sender<Option<Status>>,
    warned: &mut bool,
) -> Result<(), Error> {
    let connection = connect(address).await?;
    // Whoever asks first and subscribes then misses what happens in between.
    let mut owners = MessageStream::for_match_rule(owner_rule()?, &connection, None).await?;
    let mut changes = MessageStream::for_match_rule(change_rule()?, &connection, None).await?;
    let mut seen = Seen {
        owner: owner(&connection).await?,
        known: None,
    };
    *warned = false;
    seen.ask(&connection).await?;
    let mut told = None;
    loop {
        let status = seen
            .known
            .as_ref()
            .map(|(properties, _)| properties::read(properties));
        if told.as_ref() != Some(&status) {
            if news.send(status.clone()).await.is_err() {
                return Ok(());
            }
            told = Some(status);
        }
        tokio::select! {
            biased;
            owner = owners.next() => seen.owner_changed(&connection, &owner.ok_or(Error::Closed)??).await?,
            change = changes.next() => seen.changed(&connection, &change.ok_or(Error::Closed)??).await?,
        }
    }
}

/// What netsetup has said.
struct Seen {
    /// Who has the name.
    owner: Option<OwnedUniqueName>,
    /// All properties, and the place in the connection at which they were said.
    known: Option<(HashMap<String, OwnedVariant>, Sequence)>,
}

impl Seen {
    async fn owner_changed(&mut self, connection: &Connection, message: &Message) -> Result<(), Error> {
        if message
            .header()
            .sender()
            .is_none_or(|sender| sender.as_str() != BUS)
        {
            return Ok(());
        }
        let body = message.body();
        let (_, _, owner): (&str, &str, &str) = body.deserialize()?;
        self.owner = OwnedUniqueName::try_from(owner).ok();
        self.known = None;
        info!(is_running = self.owner.is_some(), "netsetup");
        self.ask(connection).await
    }

    /// Anybody on the bus may send such a signal: only the owner's count.
    async fn changed(&mut self, connection: &Connection, message: &Message) -> Result<(), Error> {
        let header = message.header();
        let sender = header.sender().map(|sender| sender.as_str());
        if sender.is_none() || sender != self.owner.as_ref().map(|owner| owner.as_str()) {
            return Ok(());
        }
        let Some((known, asked_at)) = &mut self.known else {
            // It did not answer before.
            return self.ask(connection).await;
        };
        // What was said before the answer to our question is in that answer.
        if message.recv_position() > *asked_at {
            let body = message.body();
            let (_, changed, _): (&str, HashMap<String, OwnedVariant>, Vec<String>) = body.deserialize()?;
            known.extend(changed);
        }
        Ok(())
    }

    async fn ask(&mut self, connection: &Connection) -> Result<(), Error> {
        let Some(owner) = &self.owner else { return Ok(()) };
        match all(connection, owner).await {
            Ok(known) => self.known = Some(known),
            // It ended while it was asked, which the bus tells too, or it does not answer: its next signal asks again.
            Err(error @ (Error::Silent | Error::Bus(zbus::Error::MethodError(..) | zbus::Error::FDO(_)))) => {
                debug!(kind = error.kind(), "{error}");
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }
}

async fn connect(address: Option<&str>) -> Result<Connection, Error> {
    let builder = address.map_or_else(connection::Builder::system, connection::Builder::address);
    builder.build().await.map_err(Error::NoBus)
}

async fn owner(connection: &Connection) -> Result<Option<OwnedUniqueName>, Error> {
    let reply = connection
        .call_method(
            Some(BUS),
            "/org/freedesktop/DBus",
            Some(BUS),
            "GetNameOwner",
            &(NAME,),
        )
        .await;
    match reply {
        Ok(reply) => Ok(Some(reply.body().deserialize()?)),
        Err(zbus::Error::FDO(error)) if matches!(*error, fdo::Error::NameHasNoOwner(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

async fn all(
    connection: &Connection,
    owner: &OwnedUniqueName,
) -> Result<(HashMap<String, OwnedVariant>, Sequence), Error> {
    let call = connection.call_method(Some(owner.as_str()), PATH, Some(PROPERTIES), "GetAll", &(NAME,));
    let reply = timeout(CALL_LIMIT, call).await.map_err(|_| Error::Silent)??;
    Ok((reply.body().deserialize()?, reply.recv_position()))
}

fn owner_rule() -> zbus::Result<MatchRule<'static>> {
    MatchRule::builder()
        .msg_type(Type::Signal)
        .sender(BUS)
        .interface(BUS)
        .member("NameOwnerChanged")
        .add_arg(NAME)
        .build()
}

fn change_rule() -> zbus::Result<MatchRule<'static>> {
    MatchRule::builder()
        .msg_type(Type::Signal)
        .path(PATH)
        .interface(PROPERTIES)
        .member("PropertiesChanged")
        .add_arg(NAME)
        .build()
}

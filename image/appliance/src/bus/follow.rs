//! Follows the properties of a program on the bus: asked once when it takes its name, then by its signals.

use std::collections::HashMap;

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tracing::debug;
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedVariant, message};

use super::systemd::owner_changes;

const PROPERTIES: &str = "org.freedesktop.DBus.Properties";

/// Properties by their names.
pub type Properties = HashMap<String, OwnedVariant>;

/// Sends all properties of `name`, whose object is at `path` and whose interface has its name, and then all again after
/// each change; nothing while it does not run. Ends with its receiver, or with the bus.
///
/// # Errors
/// What the bus says.
pub async fn follow(
    connection: &Connection,
    name: &'static str,
    path: &'static str,
    news: mpsc::Sender<Option<Properties>>,
) -> zbus::Result<()> {
    // Whoever asks first and subscribes then misses what happens in between.
    let mut owners = MessageStream::for_match_rule(owner_changes(name)?, connection, None).await?;
    let mut changes = MessageStream::for_match_rule(property_changes(name, path)?, connection, None).await?;
    let mut known = all(connection, name, path).await;
    loop {
        if news.send(known.clone()).await.is_err() {
            return Ok(());
        }
        known = tokio::select! {
            biased;
            owner = owners.next() => match owner.transpose()? {
                Some(_) => all(connection, name, path).await,
                None => return Ok(()),
            },
            change = changes.next() => match change.transpose()? {
                Some(change) => match known {
                    Some(known) => Some(changed(known, &change)?),
                    None => all(connection, name, path).await,
                },
                None => return Ok(()),
            },
        };
    }
}

fn property_changes(name: &'static str, path: &'static str) -> zbus::Result<MatchRule<'static>> {
    // The bus lets only the owner of the name through, so nobody else can speak for it.
    MatchRule::builder()
        .msg_type(message::Type::Signal)
        .sender(name)
        .path(path)
        .interface(PROPERTIES)
        .member("PropertiesChanged")
        .add_arg(name)
        .build()
}

fn changed(mut known: Properties, message: &Message) -> zbus::Result<Properties> {
    let body = message.body();
    let (_, changed, _): (&str, Properties, Vec<String>) = body.deserialize()?;
    known.extend(changed);
    Ok(known)
}

async fn all(connection: &Connection, name: &str, path: &str) -> Option<Properties> {
    let reply = connection
        .call_method(Some(name), path, Some(PROPERTIES), "GetAll", &(name,))
        .await;
    match reply {
        Ok(reply) => reply.body().deserialize().ok(),
        Err(error) => {
            debug!(name, "nobody answers: {error}");
            None
        }
    }
}

/// A text among properties; empty is nothing.
pub fn word(properties: &Properties, name: &str) -> Option<String> {
    let word = <&str>::try_from(&**properties.get(name)?).ok()?;
    (!word.is_empty()).then(|| word.to_owned())
}

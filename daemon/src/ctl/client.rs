//! Calls to the daemon, and to the image's own service.

use std::collections::HashMap;

use serde::Serialize;
use serde::de::DeserializeOwned;
use spotstreamd::edge::appliance;
use spotstreamd::edge::dbus::{NAME, PATH};
use zbus::{Connection, OwnedVariant, Type, connection};

use crate::failure::Failure;

/// Properties by their D-Bus names.
pub(crate) type Status = HashMap<String, OwnedVariant>;

pub(crate) struct Client(Connection);

impl Client {
    pub(crate) async fn connect(address: Option<&str>) -> Result<Self, Failure> {
        let builder = address.map_or_else(connection::Builder::system, connection::Builder::address);
        builder.build().await.map(Self).map_err(Failure::NoBus)
    }

    pub(crate) async fn call<B, R>(&self, method: &str, body: &B) -> Result<R, Failure>
    where
        B: Serialize + Type,
        R: DeserializeOwned + Type,
    {
        let reply = self
            .0
            .call_method(Some(NAME), PATH, Some(NAME), method, body)
            .await?;
        Ok(reply.body().deserialize()?)
    }

    /// The text that a method of the image's own service gives.
    pub(crate) async fn ask_appliance(&self, method: &str) -> Result<String, Failure> {
        let (name, path) = (appliance::NAME, appliance::PATH);
        let reply = self
            .0
            .call_method(Some(name), path, Some(name), method, &())
            .await;
        let reply = reply.map_err(Failure::of_appliance)?;
        Ok(reply.body().deserialize()?)
    }

    /// All properties at one moment.
    pub(crate) async fn status(&self) -> Result<Status, Failure> {
        let properties = "org.freedesktop.DBus.Properties";
        let reply = self
            .0
            .call_method(Some(NAME), PATH, Some(properties), "GetAll", &(NAME,))
            .await?;
        Ok(reply.body().deserialize()?)
    }
}

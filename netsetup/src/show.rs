//! How `netsetup show` puts the status to people.

use std::fmt;

use netsetup_core::status::{Found, Reason, Status};

/// The status as lines of text.
pub(crate) struct Text<'a>(pub(crate) &'a Status);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Status {
            robot,
            uplink,
            internet,
            reason,
            notes,
        } = self.0;
        writeln!(f, "robot     {}", state(robot.ready, robot.reason.as_ref()))?;
        line(f, "interface", robot.interface.as_ref())?;
        line(f, "hardware address", robot.mac.as_ref())?;
        line(f, "plugged into", robot.layout.map(Found::in_words))?;
        line(f, "robot's address", robot.address)?;
        line(f, "our address", robot.own_address)?;
        writeln!(f, "internet  {}", state(uplink.ready, uplink.reason.as_ref()))?;
        line(f, "interface", uplink.interface.as_ref())?;
        line(f, "hardware address", uplink.mac.as_ref())?;
        line(f, "WiFi network", uplink.ssid.as_ref())?;
        line(f, "our address", uplink.address)?;
        line(f, "gateway", uplink.gateway)?;
        line(f, "streaming server", Some(internet.in_words()))?;
        if let Some(reason) = reason {
            writeln!(f, "problem   {}", reason.sentence)?;
        }
        notes.iter().try_for_each(|note| writeln!(f, "note      {note}"))
    }
}

fn state(ready: bool, reason: Option<&Reason>) -> &str {
    match (reason, ready) {
        (Some(reason), _) => &reason.sentence,
        (None, true) => "ready",
        (None, false) => "coming up",
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: Option<impl fmt::Display>) -> fmt::Result {
    match value {
        Some(value) => writeln!(f, "  {name:18}{value}"),
        None => Ok(()),
    }
}

//! What systemd wants to know: that we are ready, how we are, that we live, that we go (`sd_notify(3)`).

use std::time::Duration;

use sd_notify::NotifyState;
use tracing::warn;

/// The service manager's ear; deaf when there is none.
#[derive(Debug)]
pub struct Notify {
    watchdog: Option<Duration>,
    warned: bool,
    status: String,
}

impl Notify {
    /// Looks at `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn from_env() -> Self {
        Self {
            watchdog: sd_notify::watchdog_enabled(),
            warned: false,
            status: String::new(),
        }
    }

    /// How often [`Self::ping`] is wanted: half of the time after which systemd kills us.
    pub fn interval(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    /// Start-up is over: settings are read and the run loop runs.
    pub fn ready(&mut self) {
        self.send(&[NotifyState::Ready]);
    }

    /// One line for `systemctl status`; said once until it changes.
    pub fn status(&mut self, line: &str) {
        let line = line.replace('\n', " ");
        if self.status != line {
            self.send(&[NotifyState::Status(&line)]);
            self.status = line;
        }
    }

    /// The run loop is alive; only it may say so.
    pub fn ping(&mut self) {
        if self.watchdog.is_some() {
            self.send(&[NotifyState::Watchdog]);
        }
    }

    /// The end has begun.
    pub fn stopping(&mut self) {
        self.send(&[NotifyState::Stopping]);
    }

    fn send(&mut self, state: &[NotifyState<'_>]) {
        if let Err(error) = sd_notify::notify(state)
            && !std::mem::replace(&mut self.warned, true)
        {
            warn!("failed to talk to the service manager: {error}");
        }
    }
}

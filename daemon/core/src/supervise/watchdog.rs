//! Whether the daemon is alive, which is more than that its process exists.

use std::time::{Duration, Instant};

use crate::Deadline;

/// On air, pictures must go out at least this often; else the session is started anew.
const STALLED: Duration = Duration::from_secs(15);

/// If starting anew has not helped by then, systemd is to restart the whole daemon.
const HOPELESS: Duration = Duration::from_secs(45);

/// Decides when systemd's watchdog is fed and when a stage that stands still is started anew.
///
/// The run loop tells it what it saw; a run loop that hangs tells nothing, polls nothing, and so feeds nothing.
#[derive(Debug)]
pub struct Watchdog {
    interval: Option<Duration>,
    next_ping: Option<Instant>,
    /// Since when no picture has gone out though we are on air.
    waiting_since: Option<Instant>,
    restarted: bool,
    outputs: Vec<Output>,
}

/// What the run loop saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A picture has gone out.
    Picture,
    /// Whether the state says that we are on air and pictures come from the camera.
    OnAir(bool),
    /// The time that [`Watchdog::deadline`] named has come.
    Woken,
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Tell systemd that all is well.
    Ping,
    /// Pictures come in and none goes out: start the session anew.
    Restart,
}

impl Watchdog {
    /// `interval` is how often systemd wants to hear of us (half of `WatchdogSec`), if it does.
    pub fn new(now: Instant, interval: Option<Duration>) -> Self {
        Self {
            interval,
            next_ping: interval.map(|_| now),
            waiting_since: None,
            restarted: false,
            outputs: Vec::new(),
        }
    }

    /// Takes what the run loop saw.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match input {
            Input::Picture | Input::OnAir(false) => {
                self.waiting_since = self.waiting_since.and((input == Input::Picture).then_some(now));
                self.restarted = false;
            }
            Input::OnAir(true) => {
                self.waiting_since.get_or_insert(now);
            }
            Input::Woken => {}
        }
        let waited = self
            .waiting_since
            .map_or(Duration::ZERO, |since| now.saturating_duration_since(since));
        if waited >= STALLED && !self.restarted {
            self.restarted = true;
            self.outputs.push(Output::Restart);
        }
        if self.next_ping.is_some_and(|at| at <= now) && waited < HOPELESS {
            self.next_ping = self.interval.map(|interval| now + interval);
            self.outputs.push(Output::Ping);
        }
    }

    /// The next thing to do.
    pub fn poll(&mut self) -> Option<Output> {
        self.outputs.pop()
    }

    /// When to send [`Input::Woken`].
    pub fn deadline(&self) -> Deadline {
        let stalled = self
            .waiting_since
            .filter(|_| !self.restarted)
            .map(|since| (since + STALLED, "no picture went out"));
        let hopeless = self.waiting_since.map(|since| since + HOPELESS);
        // A ping that is withheld must not wake the loop again and again.
        let ping = self
            .next_ping
            .filter(|at| hopeless.is_none_or(|hopeless| *at < hopeless));
        [stalled, ping.map(|at| (at, "feed the watchdog"))]
            .into_iter()
            .flatten()
            .min()
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "virtual time needs a zero")]
mod tests {
    use super::*;

    /// Runs the watchdog to `until` in virtual time and lists when it said what, in seconds.
    fn run(watchdog: &mut Watchdog, start: Instant, from: u64, until: u64) -> Vec<(u64, Output)> {
        let mut said = Vec::new();
        let mut now = start + Duration::from_secs(from);
        while let Some((at, _)) = watchdog.deadline() {
            now = now.max(at);
            if now > start + Duration::from_secs(until) {
                break;
            }
            watchdog.handle(now, Input::Woken);
            while let Some(output) = watchdog.poll() {
                said.push(((now - start).as_secs(), output));
            }
        }
        said
    }

    #[test]
    fn an_idle_daemon_is_alive() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(start, Some(Duration::from_secs(10)));
        assert_eq!(
            run(&mut watchdog, start, 0, 30),
            [
                (0, Output::Ping),
                (10, Output::Ping),
                (20, Output::Ping),
                (30, Output::Ping)
            ]
        );
    }

    #[test]
    fn a_stream_that_stands_still_is_started_anew_once_and_then_left_to_systemd() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(start, Some(Duration::from_secs(10)));
        watchdog.handle(start, Input::OnAir(true));
        let said = run(&mut watchdog, start, 0, 300);
        assert_eq!(
            said.iter()
                .filter(|(_, output)| *output == Output::Restart)
                .collect::<Vec<_>>(),
            [&(15, Output::Restart)]
        );
        assert_eq!(said.iter().map(|(at, _)| *at).max(), Some(40));
    }

    #[test]
    fn pictures_that_go_out_keep_it_quiet() {
        let start = Instant::now();
        let mut watchdog = Watchdog::new(start, None);
        watchdog.handle(start, Input::OnAir(true));
        for second in 1..100 {
            assert_eq!(run(&mut watchdog, start, second - 1, second), []);
            watchdog.handle(start + Duration::from_secs(second), Input::Picture);
        }
        watchdog.handle(start + Duration::from_secs(100), Input::OnAir(false));
        assert_eq!(watchdog.deadline(), None);
    }
}

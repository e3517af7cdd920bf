//! Log lines go to the journal with their fields when systemd runs us, else to stderr as text.

use std::os::fd::AsFd;

use nix::sys::stat::fstat;
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Starts logging for the process; a second call changes nothing.
pub fn start(level: Level) {
    let filter = filter(level);
    let registry = tracing_subscriber::registry().with(filter);
    let started = match tracing_journald::layer() {
        Ok(journal) if stderr_is_the_journal() => registry
            .with(journal.with_field_prefix(Some("SPOTSTREAM".to_owned())))
            .try_init(),
        _ => {
            let text = tracing_subscriber::fmt::layer()
                .with_writer(std::io::stderr)
                .with_ansi(false);
            registry.with(text).try_init()
        }
    };
    if let Err(error) = started {
        tracing::debug!("logging has been started before: {error}");
    }
}

/// The level holds for our own lines. The libraries are held at WARN up to "info" and at INFO beyond, because their
/// finer lines may carry whole requests, and with them what must not be written.
fn filter(level: Level) -> Targets {
    let theirs = match level {
        Level::ERROR => LevelFilter::ERROR,
        Level::WARN | Level::INFO => LevelFilter::WARN,
        Level::DEBUG | Level::TRACE => LevelFilter::INFO,
    };
    Targets::new()
        .with_default(theirs)
        .with_target("spotstream", level)
        .with_target("netsetup", level)
}

/// `JOURNAL_STREAM` has the device and inode of the stream that systemd gave us (`systemd.exec(5)`); a child whose
/// stderr was redirected inherits the variable and must not follow it.
fn stderr_is_the_journal() -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    fstat(std::io::stderr().as_fd()).is_ok_and(|stat| stream == format!("{}:{}", stat.st_dev, stat.st_ino))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_lines_follow_the_setting_and_those_of_libraries_stay_coarse() {
        let filter = filter(Level::TRACE);
        assert!(filter.would_enable("spotstreamd::edge::camera", &Level::TRACE));
        assert!(filter.would_enable("spotstream_core::media", &Level::TRACE));
        assert!(!filter.would_enable("h2::client", &Level::DEBUG));
    }
}

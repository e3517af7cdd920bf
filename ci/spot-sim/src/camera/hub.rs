//! Hands what the camera makes to every session that listens.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex};

use bytes::Bytes;

use crate::locked;

/// One coded picture as Annex B, whole.
#[derive(Debug, Clone)]
pub(crate) struct AccessUnit {
    pub(crate) frame: u32,
    /// Camera time in ns: zero when the simulator started.
    pub(crate) pts: u64,
    /// In ns.
    pub(crate) duration: u64,
    pub(crate) data: Bytes,
}

/// One coded audio frame.
#[derive(Debug, Clone)]
pub(crate) struct AudioFrame {
    /// Camera time in ns.
    pub(crate) pts: u64,
    /// In ns.
    pub(crate) duration: u64,
    pub(crate) data: Bytes,
}

/// A session's ear. Neither call may wait.
pub(crate) trait Listener: Send + Sync {
    fn video(&self, unit: &AccessUnit);
    fn audio(&self, frame: &AudioFrame);
}

/// The listeners, by session number.
#[derive(Default)]
pub(crate) struct Hub {
    listeners: Mutex<BTreeMap<u64, Box<dyn Listener>>>,
    arrival: Condvar,
}

impl Hub {
    pub(crate) fn add(&self, session: u64, listener: Box<dyn Listener>) {
        locked(&self.listeners).insert(session, listener);
        self.arrival.notify_all();
    }

    pub(crate) fn remove(&self, session: u64) {
        locked(&self.listeners).remove(&session);
    }

    pub(crate) fn is_empty(&self) -> bool {
        locked(&self.listeners).is_empty()
    }

    /// Waits until somebody listens: a camera that nobody watches costs no CPU.
    pub(crate) fn wait_for_a_listener(&self) {
        let listeners = locked(&self.listeners);
        drop(
            self.arrival
                .wait_while(listeners, |listeners| listeners.is_empty()),
        );
    }

    pub(crate) fn video(&self, unit: &AccessUnit) {
        locked(&self.listeners)
            .values()
            .for_each(|listener| listener.video(unit));
    }

    pub(crate) fn audio(&self, frame: &AudioFrame) {
        locked(&self.listeners)
            .values()
            .for_each(|listener| listener.audio(frame));
    }
}

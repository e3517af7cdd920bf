//! What NetworkManager's devices last failed of: their properties say so for milliseconds only.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// NM_DEVICE_STATE_UNAVAILABLE; below it is a device that nobody takes care of.
const UNAVAILABLE: u32 = 20;
/// NM_DEVICE_STATE_ACTIVATED.
const ACTIVATED: u32 = 100;
/// NM_DEVICE_STATE_FAILED.
const FAILED: u32 = 120;

/// NMDeviceStateReason by the path of the device. All clones are one: who listens writes, who looks reads.
#[derive(Clone, Debug, Default)]
pub struct Failures(Arc<Mutex<BTreeMap<String, u32>>>);

impl Failures {
    /// The device at `path` has come into this state (NMDeviceState) for this reason.
    pub(super) fn changed(&self, path: &str, state: u32, reason: u32) {
        match state {
            FAILED => drop(self.lock().insert(path.to_owned(), reason)),
            0..=UNAVAILABLE | ACTIVATED => drop(self.lock().remove(path)),
            _ => {}
        }
    }

    /// Another NetworkManager gives the same paths to other devices.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    pub(super) fn of(&self, path: &str) -> Option<u32> {
        self.lock().get(path).copied()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WLAN: &str = "/org/freedesktop/NetworkManager/Devices/3";

    #[test]
    fn a_failure_outlives_the_next_attempts_until_one_succeeds() {
        let (failures, read) = (Failures::default(), Failures::default());
        assert_eq!((failures.of(WLAN), read.of(WLAN)), (None, None));
        let read = failures.clone();
        for (state, reason) in [(50, 0), (60, 8), (120, 7), (30, 0), (40, 0), (50, 0)] {
            failures.changed(WLAN, state, reason);
        }
        assert_eq!(read.of(WLAN), Some(7));
        failures.changed(WLAN, 120, 11);
        assert_eq!(read.of(WLAN), Some(11));
        failures.changed(WLAN, 100, 0);
        assert_eq!(read.of(WLAN), None);
    }

    #[test]
    fn a_device_that_goes_and_a_networkmanager_that_goes_take_their_failures_along() {
        let failures = Failures::default();
        for state in [10, 20] {
            failures.changed(WLAN, 120, 7);
            failures.changed(WLAN, state, 0);
            assert_eq!(failures.of(WLAN), None);
        }
        failures.changed(WLAN, 120, 7);
        failures.forget();
        assert_eq!(failures.of(WLAN), None);
    }
}

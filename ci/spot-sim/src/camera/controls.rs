//! What others may ask of the camera, and what happened to it: the only state shared with its threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use crate::locked;

/// What the encoder should do now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Bits per second.
    pub(crate) bitrate: u32,
    /// Frames between two IDRs; 0 = no IDR at all.
    pub(crate) idr_interval: u32,
    /// Frames in which intra refresh renews the picture.
    pub(crate) refresh_interval: u32,
    /// Index in the list of screens.
    pub(crate) screen: usize,
}

/// Shared by the services, the sessions and the encoder.
#[derive(Debug)]
pub(crate) struct Controls {
    wanted: Mutex<Wanted>,
    key_frame: AtomicBool,
    /// Counted over all sessions.
    pub(crate) picture_loss_indications: AtomicU64,
    pub(crate) full_intra_requests: AtomicU64,
    /// Every n-th RTP packet is withheld; 0 = none.
    pub(crate) drop_every: AtomicU32,
    /// No RTP at all.
    pub(crate) mute: AtomicBool,
}

impl Controls {
    pub(crate) fn new(wanted: Wanted) -> Self {
        Self {
            wanted: Mutex::new(wanted),
            key_frame: AtomicBool::new(false),
            picture_loss_indications: AtomicU64::new(0),
            full_intra_requests: AtomicU64::new(0),
            drop_every: AtomicU32::new(0),
            mute: AtomicBool::new(false),
        }
    }

    pub(crate) fn wanted(&self) -> Wanted {
        *locked(&self.wanted)
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Wanted)) {
        change(&mut locked(&self.wanted));
    }

    pub(crate) fn request_key_frame(&self) {
        self.key_frame.store(true, Ordering::Relaxed);
    }

    /// Whether a key frame was asked for since the last call.
    pub(crate) fn take_key_frame_request(&self) -> bool {
        self.key_frame.swap(false, Ordering::Relaxed)
    }
}

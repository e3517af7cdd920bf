//! Which access units are published, and when the camera is asked for a key frame.

use std::time::{Duration, Instant};

use crate::Deadline;

/// A key frame that was asked for is asked for again after these times, and then at the last one for ever. A camera that is asked
/// too often answers with nothing but key frames.
const PATIENCE: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(1)];
const PATIENCE_AT_LAST: Duration = Duration::from_secs(2);

/// What happens to the pictures between a loss and the next IDR picture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AfterLoss {
    /// They are dropped: the viewer sees a still picture, never a wrong one.
    #[default]
    Freeze,
    /// They are published: right for a camera with intra-refresh, whose picture heals by itself.
    PassThrough,
}

/// Why a key frame is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A publication begins.
    Start,
    /// Part of the video was lost.
    Loss,
    /// The IDR picture that came refers to parameter sets that did not.
    ParameterSets,
}

/// A key frame, please.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyFrameNeeded {
    /// Why.
    pub reason: Reason,
    /// How often it has been asked for already: 0 the first time.
    pub attempt: u32,
}

#[derive(Debug)]
struct Wish {
    reason: Reason,
    attempt: u32,
    due: Option<Instant>,
}

/// Open while pictures may be published.
#[derive(Debug)]
pub struct Gate {
    policy: AfterLoss,
    open: bool,
    wish: Option<Wish>,
}

impl Gate {
    /// Closed until the first IDR picture.
    pub fn new(policy: AfterLoss) -> Self {
        Self {
            policy,
            open: false,
            wish: Some(Wish {
                reason: Reason::Start,
                attempt: 0,
                due: None,
            }),
        }
    }

    /// A picture that is not an IDR picture wants to pass.
    pub fn admits(&self) -> bool {
        self.open
    }

    /// An IDR picture has passed.
    pub fn open(&mut self) {
        self.open = true;
        self.wish = None;
    }

    /// Part of the video is missing. A gate that is already waiting stays as it is.
    pub fn lose(&mut self, now: Instant, reason: Reason) {
        if self.policy == AfterLoss::Freeze || reason != Reason::Loss {
            self.open = false;
        }
        self.wish.get_or_insert(Wish {
            reason,
            attempt: 0,
            due: Some(now),
        });
    }

    /// Video has arrived, so there is somebody to ask.
    pub fn wake(&mut self, now: Instant) {
        if let Some(wish) = &mut self.wish {
            wish.due.get_or_insert(now);
        }
    }

    /// The request that is due at `now`.
    pub fn pop(&mut self, now: Instant) -> Option<KeyFrameNeeded> {
        let wish = self.wish.as_mut()?;
        if wish.due.is_none_or(|due| now < due) {
            return None;
        }
        let request = KeyFrameNeeded {
            reason: wish.reason,
            attempt: wish.attempt,
        };
        let patience = usize::try_from(wish.attempt)
            .ok()
            .and_then(|attempt| PATIENCE.get(attempt));
        wish.due = Some(now + *patience.unwrap_or(&PATIENCE_AT_LAST));
        wish.attempt = wish.attempt.saturating_add(1);
        Some(request)
    }

    /// When the next request is due.
    pub fn deadline(&self) -> Deadline {
        self.wish
            .as_ref()?
            .due
            .map(|due| (due, "a key frame is asked for again"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::epoch;

    #[test]
    fn a_key_frame_is_asked_for_at_once_and_then_with_patience() {
        let start = epoch();
        let mut gate = Gate::new(AfterLoss::Freeze);
        assert_eq!(gate.pop(start), None, "no video has come: nobody to ask");
        gate.wake(start);
        let mut asked = Vec::new();
        for tick in 0..80u32 {
            let now = start + Duration::from_millis(100) * tick;
            asked.extend(gate.pop(now).map(|request| (tick, request.attempt)));
        }
        assert_eq!(asked, [(0, 0), (5, 1), (15, 2), (35, 3), (55, 4), (75, 5)]);
        gate.open();
        assert_eq!(gate.deadline(), None);
    }

    #[test]
    fn a_loss_closes_the_gate_unless_the_picture_heals_by_itself() {
        let now = epoch();
        for (policy, open) in [(AfterLoss::Freeze, false), (AfterLoss::PassThrough, true)] {
            let mut gate = Gate::new(policy);
            gate.open();
            gate.lose(now, Reason::Loss);
            assert_eq!(gate.admits(), open);
            assert_eq!(
                gate.pop(now),
                Some(KeyFrameNeeded {
                    reason: Reason::Loss,
                    attempt: 0
                })
            );
        }
    }
}

//! What the run loop and its operators say to each other.

use netsetup_core::engine::Failure;
use netsetup_core::status::Status;
use tokio::sync::{mpsc, oneshot, watch};

/// What an operator wants.
#[derive(Debug)]
pub enum Request {
    /// Look at everything now, and put right what is wrong.
    Apply {
        /// What was changed, line by line; nothing when all was as it should be.
        reply: oneshot::Sender<Result<Vec<String>, Failure>>,
    },
}

/// An operator's end: what is known, and a way to ask.
#[derive(Clone, Debug)]
pub struct Control {
    /// What is known.
    pub status: watch::Receiver<Status>,
    requests: mpsc::Sender<Request>,
}

impl Control {
    /// Makes both ends; the run loop keeps the sender of the status and the receiver of the requests.
    pub fn channel(first: Status) -> (Self, watch::Sender<Status>, mpsc::Receiver<Request>) {
        let (publish, status) = watch::channel(first);
        let (requests, inbox) = mpsc::channel(8);
        (Self { status, requests }, publish, inbox)
    }

    /// Asks for [`Request::Apply`] and waits for what was changed.
    ///
    /// # Errors
    /// What kept the changes from being made, or that the run loop is no longer there.
    pub async fn apply(&self) -> Result<Vec<String>, Failure> {
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(Request::Apply { reply })
            .await
            .map_err(|_| stopping())?;
        answer.await.unwrap_or_else(|_| Err(stopping()))
    }
}

fn stopping() -> Failure {
    Failure {
        kind: "stopping",
        sentence: "netsetup is stopping".to_owned(),
        is_retryable: true,
    }
}

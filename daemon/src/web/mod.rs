//! The status page: tells how the stream is, and steers it for who knows the password of the settings.
//!
//! It speaks to the run loop by [`Control`], as D-Bus does. It listens where systemd does (`spotstreamd.socket`), and
//! without that socket there is none.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use netsetup::view::Status as Network;
use spotstream_core::secret::Secret;
use tokio::sync::watch;

use crate::control::Control;
use crate::edge::appliance::{Appliance, Findings};
use door::Door;

mod acts;
mod door;
mod figures;
mod forms;
mod guard;
mod listen;
mod look;
mod page;
mod pauses;
mod view;

pub use listen::serve;

/// What systemd calls the sockets that it passes for the page (`FileDescriptorName=`).
pub const SOCKET: &str = "http";

/// Where the page has its news from, and whom it tells what is wanted.
#[derive(Clone, Debug)]
pub struct Sources {
    /// The run loop.
    pub control: Control,
    /// How the networks stand, as netsetup has told it last.
    pub network: watch::Receiver<Option<Network>>,
    /// The image's own service.
    pub appliance: Arc<Appliance>,
}

/// What all requests share.
#[derive(Clone, Debug)]
struct Site {
    sources: Sources,
    /// The names of this computer.
    names: Arc<[String]>,
    door: Arc<Mutex<Door>>,
    doctor: Arc<Ward>,
}

/// Doctor's last findings, and who may be at work.
#[derive(Debug, Default)]
struct Ward {
    findings: Mutex<Option<Findings>>,
    /// Held by the one that runs.
    work: tokio::sync::Mutex<()>,
}

impl Site {
    fn door(&self) -> MutexGuard<'_, Door> {
        // Nothing in there can be left half done.
        self.door.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ward {
    fn findings(&self) -> MutexGuard<'_, Option<Findings>> {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The page, its parts and its buttons. Without a `password` it only tells.
pub fn router(sources: Sources, password: Option<&Secret>) -> Router {
    let hostname = nix::unistd::gethostname().ok();
    let site = Site {
        sources,
        names: guard::names(hostname.and_then(|name| name.into_string().ok())).into(),
        door: Arc::new(Mutex::new(Door::new(password))),
        doctor: Arc::default(),
    };
    Router::new()
        .route("/", get(look::page))
        .route("/status.json", get(look::json))
        .route("/style.css", get(|| async { look::style() }))
        .route("/page.js", get(|| async { look::script() }))
        .route("/icon.svg", get(|| async { look::icon() }))
        .route("/report.txt", get(acts::report))
        .route("/login", post(acts::log_in))
        .route("/logout", post(acts::log_out))
        .route("/start", post(acts::start))
        .route("/stop", post(acts::stop))
        .route("/screen", post(acts::screen))
        .route("/camera", post(acts::camera))
        .route("/accept", post(acts::accept))
        .route("/doctor", post(acts::doctor))
        .fallback(|| async { look::nowhere() })
        .method_not_allowed_fallback(|| async { look::another_way() })
        .layer(from_fn_with_state(site.clone(), guard::guard))
        .with_state(site)
}

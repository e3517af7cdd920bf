//! The publication: which server, the connection to it, and the frames that go there.

use std::sync::Arc;

use rustls::ClientConfig;
use spotstream_core::ingest::directory::{Server, Target};
use spotstream_core::ingest::flv::Description;
use spotstream_core::media::Frame;
use spotstream_core::secret::Secret;
use spotstream_core::supervise::network::Footing;
use spotstream_core::units::{Bitrate, FrameRate};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, info};

use crate::edge::ingest::{self, Event, Ingest, Plan};
use crate::edge::ingest_list;

/// Reports between the connection's task and us.
const REPORTS: usize = 32;

/// How many servers are tried before the conductor is told that none answers.
const CANDIDATES: usize = 3;

/// Where the stream goes.
#[derive(Clone, Debug)]
pub enum Destination {
    /// The nearest of Twitch's servers.
    Nearest(ingest_list::Plan),
    /// One server.
    Fixed(Server),
}

/// What a publication needs to know.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Where it goes.
    pub destination: Destination,
    /// The stream key.
    pub key: Secret,
    /// Seen in Twitch Inspector only.
    pub bandwidth_test: bool,
    /// Whom to trust.
    pub tls: Arc<ClientConfig>,
    /// The uplink's interface, when there is only one to use.
    pub interface: Option<String>,
}

/// At most one publication at a time.
pub struct Publication {
    wish: Wish,
    /// By which the present publication goes.
    interface: Option<String>,
    description: Description,
    finding: JoinSet<Vec<Target>>,
    ingest: Option<Ingest>,
    events: mpsc::Receiver<Event>,
    farewells: JoinSet<()>,
}

impl Publication {
    /// Nothing happens before [`Self::open`].
    pub fn new(wish: Wish) -> Self {
        let (_, events) = mpsc::channel(1);
        Self {
            wish,
            interface: None,
            description: Description::default(),
            finding: JoinSet::new(),
            ingest: None,
            events,
            farewells: JoinSet::new(),
        }
    }

    /// What the metadata of the next publication says.
    pub fn describe(&mut self, frame_rate: Option<FrameRate>, video_bitrate: Option<Bitrate>) {
        self.description = Description {
            frame_rate,
            video_bitrate,
            ..Description::default()
        };
    }

    /// Finds a server and connects to it, by the network that netsetup has named if it has; [`Event::Publishing`] or
    /// [`Event::Closed`] follows.
    pub fn open(&mut self, footing: Option<&Footing>) {
        self.close();
        let named = self.wish.interface.clone();
        self.interface = named.or_else(|| footing.map(|footing| footing.interface.to_string()));
        let (wish, interface) = (self.wish.clone(), self.interface.clone());
        self.finding.spawn(async move { targets(wish, interface).await });
    }

    /// [`Event::Heard`] tells when the server acknowledges something from now on.
    pub fn listen(&self) {
        if let Some(ingest) = &self.ingest {
            ingest.listen();
        }
    }

    /// Hands a frame over. Frames before [`Event::Publishing`] are not sent.
    pub fn send(&self, frame: Frame) {
        if let Some(ingest) = &self.ingest
            && let Err(error) = ingest.send(frame)
        {
            debug!("{error}");
        }
    }

    /// Says goodbye to the server in the background.
    pub fn close(&mut self) {
        // A search that has just ended is dropped with its result.
        self.finding = JoinSet::new();
        self.events.close();
        if let Some(ingest) = self.ingest.take() {
            self.farewells.spawn(ingest.close());
        }
    }

    /// Waits for the goodbyes.
    pub async fn closed(&mut self) {
        while self.farewells.join_next().await.is_some() {}
    }

    /// Waits for news.
    pub async fn next(&mut self) -> Event {
        loop {
            tokio::select! {
                Some(targets) = self.finding.join_next() => match targets {
                    Ok(targets) => self.connect(targets),
                    Err(error) => debug!("the search for a server ended early: {error}"),
                },
                Some(event) = self.events.recv(), if self.ingest.is_some() => {
                    if matches!(event, Event::Refused(_) | Event::Closed(_)) {
                        self.ingest = None;
                    }
                    return event;
                }
                Some(_) = self.farewells.join_next() => {}
                else => std::future::pending().await,
            }
        }
    }

    fn connect(&mut self, targets: Vec<Target>) {
        info!(
            servers = targets
                .iter()
                .map(|target| target.host.as_str())
                .collect::<Vec<_>>()
                .join(", "),
            "publish"
        );
        let plan = Plan {
            tls: self.wish.tls.clone(),
            interface: self.interface.clone(),
            description: self.description.clone(),
        };
        let (sender, events) = mpsc::channel(REPORTS);
        self.events = events;
        self.ingest = Some(ingest::start(targets, plan, sender));
    }
}

async fn targets(wish: Wish, interface: Option<String>) -> Vec<Target> {
    let servers = match wish.destination {
        Destination::Fixed(server) => vec![server],
        Destination::Nearest(plan) => {
            let plan = ingest_list::Plan { interface, ..plan };
            let (mut servers, source) = ingest_list::nearest(&plan).await;
            debug!(?source, "servers");
            servers.truncate(CANDIDATES);
            servers
        }
    };
    servers
        .iter()
        .filter_map(|server| server.target(&wish.key).ok())
        .map(|target| {
            if wish.bandwidth_test {
                target.with_bandwidth_test()
            } else {
                target
            }
        })
        .collect()
}

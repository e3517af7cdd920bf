//! The one select loop: what happens goes to the engine, what it decides is done.

use std::pin::pin;
use std::time::{Duration, Instant};

use netsetup_core::desired::Desired;
use netsetup_core::engine::{Engine, Failure, Input, Output, Verdict};
use netsetup_core::names::InterfaceName;
use netsetup_core::observed::Observed;
use netsetup_core::status::{Reason, Status};
use spotstream_service::notify::Notify;
use spotstream_service::signals::Signals;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tracing::{debug, error, info, warn};

use crate::control::{Control, Request};
use crate::edge::arp::Prober;
use crate::edge::machine::{Machine, failure};
use crate::edge::manager::{Failures, Manager};
use crate::edge::{dbus, internet, manager, netlink};

/// What a look or an apply may take at most.
const WORK: Duration = Duration::from_secs(25);
/// So often the watchdog is told that we live while we wait for somebody else.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a bus that is not there is not asked for again.
const RECONNECT: Duration = Duration::from_secs(1);
/// How long `netsetup apply` waits for the robot and for NetworkManager.
const ONCE: Duration = Duration::from_secs(20);

/// The loop's ways in and out.
pub struct Doors {
    /// Where the status is published.
    pub status: watch::Sender<Status>,
    /// What operators want.
    pub inbox: mpsc::Receiver<Request>,
    /// The operators' end, to be served once there is something to say.
    pub control: Control,
    /// Reads the settings; they are read again at each apply that somebody asks for.
    pub settings: Box<dyn Fn() -> Wish>,
    /// The address of the bus; the system bus if there is none.
    pub bus: Option<String>,
}

/// What the settings want, and what is wrong with them if they cannot be used: then the defaults are wanted.
pub type Wish = (Desired, Option<Reason>);

/// Runs until SIGTERM or SIGINT. What was set up stays: the robot's packets must not go astray while we are away.
///
/// # Errors
/// When the kernel or the signals cannot be listened to.
pub async fn run(doors: Doors) -> Result<(), Failure> {
    let mut signals = Signals::new().map_err(|error| failure("signals", &error, false))?;
    let mut inbox = doors.inbox;
    let (desired, complaint) = (doors.settings)();
    let mut run = Run::new(desired, doors.bus.clone(), doors.status).await?;
    run.engine.complain(complaint);
    let mut ping = tokio::time::interval(run.notify.interval().unwrap_or(Duration::from_secs(86400)));
    run.drain().await;
    // Whoever reads the status before the first look would take it for "nothing is there".
    tokio::spawn(dbus::serve(doors.control, doors.bus));
    run.notify.ready();
    loop {
        tokio::select! {
            input = run.next() => run.handle(input).await,
            Some(Request::Apply { reply }) = inbox.recv() => {
                let (desired, complaint) = (doors.settings)();
                run.engine.desire(desired);
                run.engine.complain(complaint);
                run.apply_for(reply).await;
            }
            _ = ping.tick() => run.notify.ping(),
            () = signals.next() => break,
        }
    }
    info!("stopping");
    run.notify.stopping();
    // What has not been seen to be good is undone; what has, is committed.
    run.roll_back().await;
    Ok(())
}

/// Does what is to be done once; gives what was changed, line by line.
///
/// # Errors
/// What could not be done.
pub async fn once(desired: Desired, bus: Option<String>) -> Result<Vec<String>, Failure> {
    let (status, _) = watch::channel(Status::default());
    let mut run = Run::new(desired, bus, status).await?;
    run.changes = Some(Vec::new());
    run.drain().await;
    let limit = tokio::time::Instant::now() + ONCE;
    while !run.engine.is_settled() {
        match tokio::time::timeout_at(limit, run.next()).await {
            Ok(input) => run.handle(input).await,
            Err(_) => break,
        }
    }
    if !run.engine.is_settled() {
        run.roll_back().await;
        return Err(not_in_time());
    }
    run.machine.commit().await?;
    match run.engine.failure() {
        Some(failure) => Err(failure.clone()),
        None => Ok(run.changes.unwrap_or_default()),
    }
}

/// Looks once at everything; whom the robot's cable leads to is not asked.
///
/// # Errors
/// What could not be looked at.
pub async fn look(bus: Option<String>) -> Result<Observed, Failure> {
    Machine::open(bus, Failures::default())?.observe().await
}

struct Run {
    engine: Engine,
    machine: Machine,
    changes_of_kernel: netlink::Watch,
    changes_of_manager: mpsc::Receiver<manager::Changed>,
    prober: Option<(InterfaceName, Prober)>,
    /// Why nobody on the cable can be asked, once it was told.
    deaf: Option<&'static str>,
    asking: Option<JoinHandle<Verdict>>,
    status: watch::Sender<Status>,
    notify: Notify,
    /// Who waits for an apply.
    waiting: Vec<oneshot::Sender<Result<Vec<String>, Failure>>>,
    /// What has been changed since the first of them asked.
    changes: Option<Vec<String>>,
}

impl Run {
    async fn new(
        desired: Desired,
        bus: Option<String>,
        status: watch::Sender<Status>,
    ) -> Result<Self, Failure> {
        let failures = Failures::default();
        let mut machine = Machine::open(bus.clone(), failures.clone())?;
        let changes_of_kernel = machine.watch().await?;
        machine.roll_back_leftovers().await;
        let (notices, changes_of_manager) = mpsc::channel(1);
        tokio::spawn(follow_manager(bus, failures, notices));
        Ok(Self {
            engine: Engine::new(Instant::now(), desired, std::process::id()),
            machine,
            changes_of_kernel,
            changes_of_manager,
            prober: None,
            deaf: None,
            asking: None,
            status,
            notify: Notify::from_env(),
            waiting: Vec::new(),
            changes: None,
        })
    }

    /// Waits for what happens next. Cancel-safe.
    async fn next(&mut self) -> Input {
        let deadline = self.engine.deadline();
        tokio::select! {
            notice = self.changes_of_kernel.next() => match notice {
                Ok(netlink::Notice::Changed) => Input::Changed,
                Ok(netlink::Notice::NeighbourFailed(interface, host)) => Input::NeighbourFailed(interface, host),
                Err(error) => Input::Unobserved(error.into()),
            },
            Some(manager::Changed) = self.changes_of_manager.recv() => Input::Changed,
            answer = answer_of(&mut self.prober) => match answer {
                Ok((host, mac)) => Input::Answer(host, mac),
                Err(error) => {
                    debug!(kind = error.kind(), "{error}");
                    self.prober = None;
                    Input::Changed
                }
            },
            verdict = verdict_of(&mut self.asking) => {
                self.asking = None;
                Input::Internet(verdict)
            }
            () = until(deadline) => Input::Woken,
        }
    }

    async fn handle(&mut self, input: Input) {
        self.engine.handle(Instant::now(), input);
        self.drain().await;
    }

    /// Does what the engine wants until it wants nothing more.
    async fn drain(&mut self) {
        // The first look is due at once.
        self.engine.handle(Instant::now(), Input::Woken);
        while let Some(output) = self.engine.poll() {
            if let Some(input) = self.carry_out(output).await {
                self.engine.handle(Instant::now(), input);
            }
        }
        if self.engine.is_settled() && !self.waiting.is_empty() {
            let changes = self.changes.take().unwrap_or_default();
            let result = self
                .engine
                .failure()
                .map_or(Ok(changes), |failure| Err(failure.clone()));
            for reply in self.waiting.drain(..) {
                let _ = reply.send(result.clone());
            }
        }
    }

    async fn carry_out(&mut self, output: Output) -> Option<Input> {
        match output {
            Output::Observe => {
                let observed = limited(&mut self.notify, self.machine.observe()).await;
                return Some(
                    observed.map_or_else(Input::Unobserved, |observed| Input::Observed(Box::new(observed))),
                );
            }
            Output::Apply { steps, devices } => {
                for step in &steps {
                    info!("{step}");
                }
                let applied = limited(&mut self.notify, self.machine.apply(&steps, &devices)).await;
                match &applied {
                    Ok(()) => {
                        if let Some(changes) = &mut self.changes {
                            changes.extend(steps.iter().map(ToString::to_string));
                        }
                    }
                    Err(failure) => {
                        warn!(kind = failure.kind, "{}", failure.sentence);
                        // Also where time ran out in the middle of it.
                        self.roll_back().await;
                    }
                }
                return Some(Input::Applied(applied));
            }
            Output::Commit => {
                let committed = limited(&mut self.notify, self.machine.commit()).await;
                return committed.err().map(|failure| Input::Applied(Err(failure)));
            }
            Output::RollBack => {
                warn!("undoing what NetworkManager was told");
                self.roll_back().await;
            }
            Output::TryAgain(profile, device) => {
                debug!("trying the WiFi profile {profile} again on {device}");
                let tried = limited(&mut self.notify, self.machine.try_again(profile, &device)).await;
                if let Err(failure) = tried {
                    debug!(kind = failure.kind, "{}", failure.sentence);
                }
            }
            Output::Ask { interface, addresses } => self.ask(interface, &addresses),
            Output::StopAsking => self.prober = None,
            Output::CheckInternet(question) => {
                if let Some(old) = self
                    .asking
                    .replace(tokio::spawn(async move { internet::ask(&question).await }))
                {
                    old.abort();
                }
            }
            Output::Tell(status) => self.tell(*status),
            Output::Repair(line) => warn!("somebody else has changed the network, putting right: {line}"),
        }
        None
    }

    async fn roll_back(&mut self) {
        let undo = async {
            self.machine.roll_back().await;
            Ok(())
        };
        // NetworkManager undoes it by itself when it does not answer.
        let _ = limited(&mut self.notify, undo).await;
    }

    fn ask(&mut self, interface: InterfaceName, addresses: &[std::net::Ipv4Addr]) {
        if self.prober.as_ref().is_none_or(|(name, _)| *name != interface) {
            self.prober = match Prober::open(&interface) {
                Ok(prober) => Some((interface, prober)),
                Err(error) => {
                    if self.deaf != Some(error.kind()) {
                        warn!(kind = error.kind(), "{error}");
                    }
                    self.deaf = Some(error.kind());
                    None
                }
            };
        }
        if self.prober.is_some() {
            self.deaf = None;
        }
        if let Some((_, prober)) = &mut self.prober
            && let Err(error) = prober.ask(addresses)
        {
            debug!(kind = error.kind(), "{error}");
        }
    }

    fn tell(&mut self, status: Status) {
        let before = self.status.borrow().clone();
        for (side, was, is) in [
            ("robot", &before.robot.reason, &status.robot.reason),
            ("uplink", &before.uplink.reason, &status.uplink.reason),
            ("both", &before.reason, &status.reason),
        ] {
            let kind = |reason: &Option<Reason>| reason.as_ref().map(|reason| reason.kind.clone());
            if let (true, Some(reason)) = (kind(was) != kind(is), is) {
                warn!(side, kind = reason.kind, "{}", reason.sentence);
            }
        }
        if (before.robot.ready, before.uplink.ready) != (status.robot.ready, status.uplink.ready) {
            info!(robot = status.robot.ready, uplink = status.uplink.ready, "ready");
        }
        self.notify.status(&status.summary());
        self.status.send_replace(status);
    }

    async fn apply_for(&mut self, reply: oneshot::Sender<Result<Vec<String>, Failure>>) {
        self.waiting.push(reply);
        self.changes.get_or_insert_default();
        self.handle(Input::CheckNow).await;
    }
}

fn not_in_time() -> Failure {
    Failure {
        kind: "not-in-time",
        sentence: format!(
            "the network did not come to rest within {} s; what was begun is undone",
            ONCE.as_secs()
        ),
        is_retryable: true,
    }
}

/// Waits for others, not for ever, and tells the watchdog that it is not us who hangs.
async fn limited<T>(
    notify: &mut Notify,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let mut work = pin!(work);
    let limit = tokio::time::Instant::now() + WORK;
    while tokio::time::Instant::now() < limit {
        if let Ok(done) = tokio::time::timeout(PATIENCE, &mut work).await {
            return done;
        }
        notify.ping();
    }
    Err(Failure {
        kind: "timed-out",
        sentence: format!(
            "NetworkManager or the kernel did not answer within {} s",
            WORK.as_secs()
        ),
        is_retryable: true,
    })
}

async fn answer_of(
    prober: &mut Option<(InterfaceName, Prober)>,
) -> Result<(std::net::Ipv4Addr, netsetup_core::names::MacAddress), crate::edge::arp::Error> {
    match prober {
        Some((_, prober)) => prober.next().await,
        None => std::future::pending().await,
    }
}

async fn verdict_of(asking: &mut Option<JoinHandle<Verdict>>) -> Verdict {
    let Some(task) = asking else {
        return std::future::pending().await;
    };
    match task.await {
        Ok(verdict) => verdict,
        Err(error) => {
            error!("the internet check has ended early: {error}");
            Verdict::Unreachable
        }
    }
}

/// The bus may come later than we do, and may be started anew.
async fn follow_manager(bus: Option<String>, failures: Failures, notices: mpsc::Sender<manager::Changed>) {
    while !notices.is_closed() {
        if let Ok(manager) = Manager::connect(bus.as_deref(), failures.clone()).await
            && let Err(error) = manager.watch(notices.clone()).await
        {
            debug!(kind = error.kind(), "{error}");
        }
        let _ = tokio::time::timeout(RECONNECT, notices.closed()).await;
    }
}

async fn until(deadline: netsetup_core::Deadline) {
    match deadline {
        Some((at, _)) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

//! One connection: the select loop between the wire, the machines and the rest of the daemon.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use spotstream_core::ingest::chunk::Reader;
use spotstream_core::ingest::command::{self, Publisher};
use spotstream_core::ingest::directory::Target;
use spotstream_core::ingest::flv::Tags;
use spotstream_core::ingest::pace::{self, Pace};
use spotstream_core::media::Frame;
use spotstream_core::units::Bitrate;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

use super::rtmp::{Handshake, Progress as Shake, Writer};
use super::wire::{Progress, Wire};
use super::{Error, Event, Statistics, Work};

/// How often the kernel is asked how much it has not sent.
const SAMPLE: Duration = Duration::from_millis(200);
/// How often statistics are given.
const REPORT: Duration = Duration::from_secs(1);
/// A frame is taken from the queue when less than this waits on the wire: later is better, it may still be given up.
const WIRE_LOW: u64 = 8 * 1024;
/// How long the server may take the goodbyes.
const GOODBYE_LIMIT: Duration = Duration::from_secs(2);

/// How a connection ended.
pub(super) enum End {
    /// As we wished.
    Closed,
    /// Otherwise.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for End {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// The one thing that happened.
enum Woken {
    Wire(Progress),
    Frame(Frame),
    Delivered,
    Listen,
    Close,
    Time,
}

pub(super) struct Session<'a> {
    work: &'a mut Work,
    server: String,
    wire: Wire,
    handshake: Option<Handshake>,
    reader: Reader,
    writer: Writer,
    publisher: Publisher,
    pace: Pace,
    tags: Option<Tags>,
    closing: bool,
    /// The goodbyes are queued: nothing follows them.
    finished: bool,
    outbox: VecDeque<Event>,
    /// What the server had acknowledged when we were asked to listen, in bytes.
    listening_from: Option<u64>,
    sample_at: Instant,
    report_at: Instant,
    reported_bytes: u64,
}

impl<'a> Session<'a> {
    pub(super) fn new(wire: Wire, target: Target, work: &'a mut Work) -> Self {
        let now = Instant::now();
        Self {
            work,
            server: target.name.clone(),
            wire,
            handshake: None,
            reader: Reader::default(),
            writer: Writer::default(),
            publisher: Publisher::new(now.into_std(), target),
            pace: Pace::new(now.into_std()),
            tags: None,
            closing: false,
            finished: false,
            outbox: VecDeque::new(),
            listening_from: None,
            sample_at: now + SAMPLE,
            report_at: now + REPORT,
            reported_bytes: 0,
        }
    }

    pub(super) async fn run(mut self) -> End {
        if let Err(error) = self.begin() {
            return error.into();
        }
        loop {
            if let Err(end) = self.settle() {
                return end;
            }
            if self.finished {
                self.say_goodbye().await;
                return End::Closed;
            }
            if let Err(end) = self.wait().await {
                return end;
            }
        }
    }

    fn begin(&mut self) -> Result<(), Error> {
        let (handshake, first) = Handshake::begin()?;
        self.handshake = Some(handshake);
        self.wire.queue(first);
        Ok(())
    }

    /// Waits for one thing to happen and tells the machine that it concerns.
    async fn wait(&mut self) -> Result<(), End> {
        let at = self.wake();
        let work = &mut *self.work;
        let woken = tokio::select! {
            progress = self.wire.progress() => Woken::Wire(closed_or_lost(progress)?),
            frame = work.frames.recv() => Woken::Frame(frame.ok_or(End::Closed)?),
            delivered = deliver(&work.events, &mut self.outbox), if !self.outbox.is_empty() => {
                delivered?;
                Woken::Delivered
            }
            Some(()) = work.listen.recv() => Woken::Listen,
            _ = &mut work.close, if !self.closing => Woken::Close,
            () = sleep_until(at) => Woken::Time,
        };
        match woken {
            Woken::Wire(Progress::Read(bytes)) => self.read(&bytes)?,
            Woken::Wire(Progress::Wrote) => self.tell_sent(),
            Woken::Wire(Progress::Closed) => self.publisher.handle(now(), command::Input::ClosedByServer),
            Woken::Frame(frame) => self.pace.handle(now(), pace::Input::Frame(frame)),
            Woken::Delivered => {}
            Woken::Listen => self.listening_from = Some(self.wire.inspect().acknowledged_bytes),
            Woken::Close => self.close()?,
            Woken::Time => self.tick(),
        }
        Ok(())
    }

    fn wake(&self) -> Instant {
        let machines = [self.publisher.deadline(), self.pace.deadline()];
        let machines = machines
            .into_iter()
            .flatten()
            .map(|(at, _)| Instant::from_std(at));
        machines
            .chain([self.sample_at, self.report_at])
            .min()
            .unwrap_or(self.sample_at)
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.publisher.handle(now.into_std(), command::Input::Tick);
        if now >= self.sample_at {
            self.sample_at = now + SAMPLE;
            let kernel = self.wire.inspect();
            let is_answered = |from| kernel.acknowledged_bytes > from;
            // Where nothing was sent, silence says nothing.
            let is_idle = kernel.unacknowledged_segments == 0 && kernel.unsent_bytes == 0;
            if self
                .listening_from
                .is_some_and(|from| is_idle || is_answered(from))
            {
                self.listening_from = None;
                self.outbox.push_back(Event::Heard);
            }
            self.tell_sent();
        } else {
            self.pace.handle(now.into_std(), pace::Input::Tick);
        }
        if now >= self.report_at {
            self.report(now);
        }
    }

    fn tell_sent(&mut self) {
        self.pace.handle(now(), pace::Input::Sent(self.wire.sent()));
    }

    /// Everything that was handed over goes before the goodbyes.
    fn close(&mut self) -> Result<(), Error> {
        self.closing = true;
        while let Ok(frame) = self.work.frames.try_recv() {
            self.pace.handle(now(), pace::Input::Frame(frame));
        }
        self.send_frames(u64::MAX)?;
        self.publisher.handle(now(), command::Input::Close);
        Ok(())
    }

    fn read(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self.handshake.take() {
            None => self.reader.push(bytes),
            Some(mut handshake) => match handshake.read(bytes)? {
                Shake::Continue(answer) => {
                    self.wire.queue(answer);
                    self.handshake = Some(handshake);
                }
                Shake::Done { last, rest } => {
                    self.wire.queue(last);
                    self.publisher.handle(now(), command::Input::Opened);
                    self.reader.push(&rest);
                }
            },
        }
        while let Some(message) = self.reader.poll()? {
            self.publisher.handle(now(), command::Input::Message(message));
        }
        self.publisher
            .handle(now(), command::Input::Received(self.wire.received()));
        Ok(())
    }

    /// Does what the machines want until they want no more.
    fn settle(&mut self) -> Result<(), End> {
        while let Some(output) = self.publisher.poll() {
            self.obey(output)?;
        }
        self.send_frames(WIRE_LOW)?;
        while let Some(output) = self.pace.poll() {
            self.pass_on(output)?;
        }
        Ok(())
    }

    fn obey(&mut self, output: command::Output) -> Result<(), End> {
        match output {
            command::Output::SetChunkSize(size) => {
                let bytes = self.writer.set_chunk_size(size).map_err(Error::Rtmp)?;
                self.wire.queue(bytes);
            }
            command::Output::Send(message) => {
                let bytes = self.writer.write(message).map_err(Error::Rtmp)?;
                self.wire.queue(bytes);
            }
            command::Output::Publishing { stream_id } => {
                self.tags = Some(Tags::new(stream_id, self.work.plan.description.clone()));
                self.pace.handle(now(), pace::Input::Opened);
                tracing::info!(server = %self.server, "publishing");
                self.outbox.push_back(Event::Publishing {
                    server: self.server.clone(),
                });
            }
            command::Output::Finished => self.finished = true,
            command::Output::Failed(error) => return Err(error.into()),
        }
        Ok(())
    }

    fn pass_on(&mut self, output: pace::Output) -> Result<(), End> {
        match output {
            pace::Output::Choked => self.outbox.push_back(Event::Choked),
            pace::Output::Relieved => self.outbox.push_back(Event::Relieved),
            pace::Output::KeyFrameNeeded => self.outbox.push_back(Event::KeyFrameNeeded),
            pace::Output::Stalled => return Err(Error::Stalled.into()),
            pace::Output::Hopeless => return Err(Error::Hopeless.into()),
        }
        Ok(())
    }

    /// Fills the wire up to `limit` bytes and a frame; what is not on it can still be given up.
    fn send_frames(&mut self, limit: u64) -> Result<(), Error> {
        let Some(tags) = &mut self.tags else { return Ok(()) };
        let mut messages = VecDeque::new();
        while !self.finished && self.wire.waiting() < limit {
            let Some(frame) = self.pace.take() else { break };
            tags.write(&frame, &mut messages)?;
            for message in messages.drain(..) {
                self.wire.queue(self.writer.write(message)?);
            }
            self.pace.handle(now(), pace::Input::Written(self.wire.queued()));
        }
        Ok(())
    }

    async fn say_goodbye(&mut self) {
        let goodbye = async {
            while !self.wire.is_flushed() {
                self.wire.progress().await?;
            }
            self.wire.shut_down().await?;
            // Closing while the server still talks would reset the connection, and what it has not read yet is lost.
            while !matches!(self.wire.progress().await?, Progress::Closed) {}
            Ok::<_, io::Error>(())
        };
        match timeout(GOODBYE_LIMIT, goodbye).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "the server was gone before our goodbye"),
            Err(_) => tracing::debug!("the server was slow to take our goodbye"),
        }
    }

    fn report(&mut self, now: Instant) {
        let span = REPORT + now.duration_since(self.report_at);
        self.report_at = now + REPORT;
        let (load, kernel, sent) = (self.pace.load(), self.wire.inspect(), self.wire.sent());
        let bits = sent.saturating_sub(self.reported_bytes).saturating_mul(8);
        let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX).max(1);
        self.reported_bytes = sent;
        if self.tags.is_none()
            || self
                .outbox
                .iter()
                .any(|event| matches!(event, Event::Statistics(_)))
        {
            return;
        }
        self.outbox.push_back(Event::Statistics(Statistics {
            bytes_sent: sent,
            frames_sent: load.frames_sent,
            frames_dropped: load.frames_dropped,
            queued: load.queued,
            queued_bytes: load.queued_bytes as u64 + self.wire.queued().saturating_sub(sent),
            bitrate: Bitrate::bps(bits.saturating_mul(1000) / millis),
            round_trip: Some(kernel.round_trip).filter(|time| !time.is_zero()),
        }));
    }
}

/// A server that resets the connection has closed it, only with data of ours unread.
fn closed_or_lost(progress: io::Result<Progress>) -> Result<Progress, Error> {
    match progress {
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe
            ) =>
        {
            Ok(Progress::Closed)
        }
        other => other.map_err(Error::Lost),
    }
}

/// Gives the first event to the conductor, once it has room. Dropping the future loses nothing.
async fn deliver(events: &mpsc::Sender<Event>, outbox: &mut VecDeque<Event>) -> Result<(), End> {
    let permit = events.reserve().await.map_err(|_| End::Closed)?;
    if let Some(event) = outbox.pop_front() {
        permit.send(event);
    }
    Ok(())
}

fn now() -> std::time::Instant {
    Instant::now().into_std()
}

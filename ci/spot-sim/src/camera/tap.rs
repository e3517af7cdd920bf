//! What is done to the packets of a session on their way out, and what comes back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Context as _;
use gstreamer::prelude::*;

use super::controls::Controls;
use super::hub::AccessUnit;
use super::record::{Packet, Recorder};
use super::session::Plan;
use super::{Camera, Clock};
use crate::locked;

/// Stands between payloader and transport: records, withholds packets on request, and hears key frame requests.
pub(super) struct Tap {
    clock: Clock,
    controls: Arc<Controls>,
    recorder: Option<Mutex<Recorder>>,
    /// Frame numbers of the units on their way, by time.
    frames: Mutex<BTreeMap<u64, u32>>,
    packets: AtomicU32,
}

impl Tap {
    pub(super) fn new(number: u64, plan: &Plan, camera: &Camera) -> anyhow::Result<Self> {
        let recorder = plan
            .record
            .as_deref()
            .map(|folder| Recorder::create(folder, number))
            .transpose()?;
        Ok(Self {
            clock: camera.clock.clone(),
            controls: Arc::clone(&camera.controls),
            recorder: recorder.map(Mutex::new),
            frames: Mutex::default(),
            packets: AtomicU32::new(0),
        })
    }

    pub(super) fn install(self: &Arc<Self>, pipeline: &gstreamer::Pipeline) -> anyhow::Result<()> {
        let payloader = pipeline
            .by_name("videopay")
            .context("failed to find the payloader")?;
        let pad = payloader
            .static_pad("src")
            .context("failed to find the payloader's pad")?;
        let tap = Arc::clone(self);
        let media = gstreamer::PadProbeType::BUFFER | gstreamer::PadProbeType::BUFFER_LIST;
        pad.add_probe(media, move |_, info| match &mut info.data {
            Some(gstreamer::PadProbeData::Buffer(buffer)) if tap.passes(buffer) => {
                gstreamer::PadProbeReturn::Ok
            }
            Some(gstreamer::PadProbeData::Buffer(_)) => gstreamer::PadProbeReturn::Drop,
            Some(gstreamer::PadProbeData::BufferList(list)) => {
                list.make_mut().foreach_mut(|buffer, _| {
                    std::ops::ControlFlow::Continue(tap.passes(&buffer).then_some(buffer))
                });
                gstreamer::PadProbeReturn::Ok
            }
            _ => gstreamer::PadProbeReturn::Ok,
        });
        let controls = Arc::clone(&self.controls);
        pad.add_probe(gstreamer::PadProbeType::EVENT_UPSTREAM, move |_, info| {
            if let Some(request) = info
                .event()
                .and_then(|event| gstreamer_video::UpstreamForceKeyUnitEvent::parse(event).ok())
            {
                let counter = if request.all_headers {
                    &controls.full_intra_requests
                } else {
                    &controls.picture_loss_indications
                };
                counter.fetch_add(1, Ordering::Relaxed);
                controls.request_key_frame();
            }
            gstreamer::PadProbeReturn::Ok
        });
        if let Some(pad) = pipeline
            .by_name("audiopay")
            .and_then(|payloader| payloader.static_pad("src"))
        {
            let controls = Arc::clone(&self.controls);
            pad.add_probe(media, move |_, _| {
                let mute = controls.mute.load(Ordering::Relaxed);
                if mute {
                    gstreamer::PadProbeReturn::Drop
                } else {
                    gstreamer::PadProbeReturn::Ok
                }
            });
        }
        Ok(())
    }

    pub(super) fn expect(&self, unit: &AccessUnit) {
        let mut frames = locked(&self.frames);
        frames.insert(unit.pts, unit.frame);
        while frames.len() > 1000 {
            frames.pop_first();
        }
    }

    /// Whether the packet may go.
    fn passes(&self, buffer: &gstreamer::Buffer) -> bool {
        let index = self.packets.fetch_add(1, Ordering::Relaxed);
        let every = self.controls.drop_every.load(Ordering::Relaxed);
        let dropped =
            self.controls.mute.load(Ordering::Relaxed) || every != 0 && (index + 1).is_multiple_of(every);
        if let Some(recorder) = &self.recorder
            && let Err(error) = self.record(&mut locked(recorder), buffer, dropped)
        {
            tracing::error!("failed to record: {error:#}");
        }
        !dropped
    }

    fn record(
        &self,
        recorder: &mut Recorder,
        buffer: &gstreamer::Buffer,
        dropped: bool,
    ) -> anyhow::Result<()> {
        let rtp = gstreamer_rtp::RTPBuffer::from_buffer_readable(buffer)?;
        let pts = buffer.pts().context("a packet has no time")?.nseconds();
        let packet = Packet {
            frame: *locked(&self.frames)
                .get(&pts)
                .context("a packet of an unknown picture")?,
            sequence: rtp.seq(),
            timestamp: rtp.timestamp(),
            marker: rtp.is_marker(),
            payload: rtp.payload()?,
            dropped,
            sent_ns: self.clock.clock.time().nseconds(),
        };
        Ok(recorder.push(packet)?)
    }
}

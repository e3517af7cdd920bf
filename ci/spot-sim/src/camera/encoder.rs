//! The real encoder: x264 in a pipeline of its own, driven picture by picture.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use anyhow::Context;
use bytes::Bytes;
use gstreamer::prelude::*;
use gstreamer_app::{AppSink, AppSinkCallbacks, AppSrc};
use gstreamer_video::UpstreamForceKeyUnitEvent;

use super::hub::AccessUnit;
use super::picture::Size;
use crate::locked;

/// What cannot change while an encoder lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) size: Size,
    pub(crate) fps: u32,
    /// Frames in which intra refresh renews the whole picture.
    pub(crate) refresh_interval: u32,
}

/// Which picture an access unit will come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Picture {
    pub(crate) frame: u32,
    pub(crate) pts: u64,
}

pub(crate) struct Encoder {
    pipeline: gstreamer::Pipeline,
    input: AppSrc,
    x264: gstreamer::Element,
    pictures: Arc<Mutex<VecDeque<Picture>>>,
    frame_ns: u64,
    count: u64,
    kbps: u32,
}

impl Encoder {
    /// Starts an encoder; `output` gets each access unit, in order, on a thread of the pipeline.
    pub(crate) fn start(
        shape: Shape,
        bits_per_second: u32,
        output: impl Fn(&AccessUnit) + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let kbps = bits_per_second / 1000;
        let pipeline =
            gstreamer::parse::launch(&description(shape, kbps)).context("failed to make the encoder")?;
        let pipeline = pipeline
            .downcast::<gstreamer::Pipeline>()
            .ok()
            .context("failed to make the encoder")?;
        let named = |name| {
            pipeline
                .by_name(name)
                .with_context(|| format!("failed to find '{name}'"))
        };
        let input = named("input")?
            .downcast::<AppSrc>()
            .ok()
            .context("failed to find the encoder's input")?;
        let sink = named("output")?
            .downcast::<AppSink>()
            .ok()
            .context("failed to find the encoder's output")?;
        let x264 = named("x264")?;

        let pictures = Arc::new(Mutex::new(VecDeque::<Picture>::new()));
        let frame_ns = 1_000_000_000 / u64::from(shape.fps.max(1));
        let waiting = Arc::clone(&pictures);
        sink.set_callbacks(
            AppSinkCallbacks::builder()
                .new_sample(move |sink| {
                    let sample = sink.pull_sample().map_err(|_| gstreamer::FlowError::Eos)?;
                    let buffer = sample.buffer().ok_or(gstreamer::FlowError::Error)?;
                    let map = buffer.map_readable().map_err(|_| gstreamer::FlowError::Error)?;
                    let picture = locked(&waiting).pop_front().ok_or(gstreamer::FlowError::Error)?;
                    output(&AccessUnit {
                        frame: picture.frame,
                        pts: picture.pts,
                        duration: frame_ns,
                        data: Bytes::copy_from_slice(&map),
                    });
                    Ok(gstreamer::FlowSuccess::Ok)
                })
                .build(),
        );
        pipeline
            .set_state(gstreamer::State::Playing)
            .context("failed to start the encoder")?;
        Ok(Self {
            pipeline,
            input,
            x264,
            pictures,
            frame_ns,
            count: 0,
            kbps,
        })
    }

    /// Encodes one I420 picture. Waits while the encoder is behind.
    pub(crate) fn encode(&mut self, picture: Picture, i420: Vec<u8>, idr: bool) -> anyhow::Result<()> {
        if idr {
            self.x264
                .send_event(UpstreamForceKeyUnitEvent::builder().all_headers(true).build());
        }
        let mut buffer = gstreamer::Buffer::from_mut_slice(i420);
        if let Some(buffer) = buffer.get_mut() {
            // Even steps whatever the camera's clock did: rate control sees no pause while nobody watches.
            buffer.set_pts(gstreamer::ClockTime::from_nseconds(self.count * self.frame_ns));
            buffer.set_duration(gstreamer::ClockTime::from_nseconds(self.frame_ns));
        }
        self.count += 1;
        locked(&self.pictures).push_back(picture);
        self.input
            .push_buffer(buffer)
            .map(drop)
            .context("failed to hand a picture to the encoder")
    }

    /// Takes effect with the next picture.
    pub(crate) fn set_bitrate(&mut self, bits_per_second: u32) {
        let kbps = bits_per_second / 1000;
        if kbps != self.kbps {
            self.kbps = kbps;
            self.x264.set_property("bitrate", kbps);
        }
    }

    /// Waits until all pictures are encoded.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        self.input
            .end_of_stream()
            .context("failed to end the encoder's input")?;
        let bus = self.pipeline.bus().context("failed to find the encoder's bus")?;
        let kinds = [gstreamer::MessageType::Eos, gstreamer::MessageType::Error];
        let message = bus.timed_pop_filtered(gstreamer::ClockTime::from_seconds(10), &kinds);
        match message.as_ref().map(|message| message.type_()) {
            Some(gstreamer::MessageType::Eos) => Ok(()),
            _ => anyhow::bail!("failed to finish encoding"),
        }
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // Stopping a pipeline fails only where it is already broken.
        let _ = self.pipeline.set_state(gstreamer::State::Null);
    }
}

/// `intra-refresh` is an x264 option here and not the element's property: with the property set, the element answers
/// a forced key unit by a new refresh cycle and never by an IDR.
fn description(shape: Shape, kbps: u32) -> String {
    let Shape {
        size: Size { width, height },
        fps,
        refresh_interval,
    } = shape;
    // At 1, x264 makes every picture an IDR; at 0 it chooses by itself.
    let refresh = refresh_interval.max(2);
    format!(
        "appsrc name=input is-live=true format=time block=true max-buffers=2 \
           caps=video/x-raw,format=I420,width={width},height={height},framerate={fps}/1,colorimetry=bt709 \
         ! x264enc name=x264 tune=zerolatency speed-preset=ultrafast threads=1 bitrate={kbps} vbv-buf-capacity=500 \
           key-int-max={refresh} option-string=intra-refresh=1:scenecut=0:filler=0 \
         ! video/x-h264,profile=constrained-baseline,stream-format=byte-stream,alignment=au \
         ! appsink name=output sync=false max-buffers=0"
    )
}

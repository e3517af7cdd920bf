"""gstreamer_relay.py CAMERA URL: the job of spotstreamd as a GStreamer pipeline, to be measured beside it.

webrtcbin ! rtph264depay ! h264parse ! flvmux ! rtmp2sink, and Opus to AAC by avenc_aac; all at their defaults. The
robot's token is in $TOKEN. Needs Debian's own Python, which has GStreamer's bindings.
"""

import base64
import json
import os
import ssl
import sys
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402 # versions are chosen before the import

VIDEO = "rtph264depay ! h264parse ! queue"
AUDIO = "rtpopusdepay ! opusdec ! audioconvert ! audioresample ! audio/x-raw,rate=48000,channels=2 ! avenc_aac ! queue"


class Relay:
    """One camera session, from offer to the end of the stream."""

    def __init__(self, camera: str, url: str):
        """Build the pipeline."""
        self.signalling = f"https://{camera}:31102/h264.sdp"
        self.loop = GLib.MainLoop()
        self.pipeline = Gst.parse_launch(
            "webrtcbin name=camera bundle-policy=max-bundle "
            f"flvmux name=mux streamable=true ! rtmp2sink name=server location={url}"
        )
        self.camera = self.pipeline.get_by_name("camera")
        self.camera.connect("pad-added", self._on_pad)
        self.camera.connect("notify::ice-gathering-state", self._on_gathering)
        bus = self.pipeline.get_bus()
        bus.add_signal_watch()
        bus.connect("message::error", self._on_error)

    def run(self) -> None:
        """Take the camera's offer and run until an error or a signal."""
        offer = self._http(None)
        self.id = offer["id"]
        _, message = GstSdp.SDPMessage.new_from_text(base64.b64decode(offer["sdp"]).decode())
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.OFFER, message)
        self.pipeline.set_state(Gst.State.PLAYING)
        self.camera.emit("set-remote-description", description, _promise(lambda _: self._answer()))
        self.loop.run()

    def _answer(self) -> None:
        def local(promise: Gst.Promise) -> None:
            # The description lives as long as the reply that holds it.
            reply = promise.get_reply()
            answer = reply.get_value("answer")
            self.camera.emit("set-local-description", answer, Gst.Promise.new())

        self.camera.emit("create-answer", None, _promise(local))

    def _on_gathering(self, camera: Gst.Element, _) -> None:
        if camera.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            sdp = camera.get_property("local-description").sdp.as_text()
            self._http({"id": self.id, "sdp": base64.b64encode(sdp.encode()).decode()})

    def _on_pad(self, _, pad: Gst.Pad) -> None:
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        chain = Gst.parse_bin_from_description(VIDEO if kind == "video" else AUDIO, True)
        self.pipeline.add(chain)
        chain.link_pads("src", self.pipeline.get_by_name("mux"), kind)
        chain.sync_state_with_parent()
        pad.link(chain.get_static_pad("sink"))

    def _on_error(self, _, message: Gst.Message) -> None:
        print(message.parse_error(), file=sys.stderr)
        self.loop.quit()

    def _http(self, body: dict | None) -> dict:
        headers = {"Authorization": f"Bearer {os.environ['TOKEN']}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.signalling, data, headers)
        # The camera's certificate is its own, as on the robot.
        trust = ssl._create_unverified_context()
        with urllib.request.urlopen(request, timeout=10, context=trust) as answer:
            text = answer.read()
            return json.loads(text) if body is None else {}


def _promise(then) -> Gst.Promise:
    return Gst.Promise.new_with_change_func(then)


if __name__ == "__main__":
    Gst.init(None)
    Relay(sys.argv[1], sys.argv[2]).run()
    sys.exit(1)

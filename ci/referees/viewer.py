"""A viewer of the camera built on aiortc: it answers an offer and keeps every RTP packet that arrives."""

import asyncio
import base64
import time
from dataclasses import dataclass, field
from typing import NamedTuple

import requests
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from aiortc.rtp import RTCP_PSFB_FIR, RtcpPsfbPacket, RtcpSrPacket


class Arrival(NamedTuple):
    """One video packet."""

    at: float
    sequence: int
    timestamp: int
    marker: bool
    payload: bytes


@dataclass
class Unit:
    """One access unit put together from packets."""

    at: float
    done: float
    timestamp: int
    nals: list[bytes] = field(default_factory=list)

    @property
    def kinds(self) -> list[int]:
        return [nal[0] & 0x1F for nal in self.nals]

    @property
    def is_idr(self) -> bool:
        return 5 in self.kinds


class Viewer:
    """One session; use as an async context manager."""

    def __init__(self, url: str, token: str):
        self.url = url
        self.headers = {"Authorization": f"Bearer {token}"}
        self.peer = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        self.arrivals: list[Arrival] = []
        self.reports: dict[str, list[tuple[int, int]]] = {"video": [], "audio": []}
        self.pictures: asyncio.Queue = asyncio.Queue()
        self.sounds: asyncio.Queue = asyncio.Queue()
        self.offer = ""
        self.session = 0
        self.first_sound: int | None = None
        self._pumps: list[asyncio.Task] = []

    async def __aenter__(self) -> "Viewer":
        self.peer.on("track", self._on_track)
        connected = asyncio.Event()

        @self.peer.on("connectionstatechange")
        def on_change():
            if self.peer.connectionState == "connected":
                connected.set()

        reply = requests.get(self.url, headers=self.headers, verify=False, timeout=10)
        reply.raise_for_status()
        self.session = int(reply.json()["id"])
        self.offer = base64.b64decode(reply.json()["sdp"]).decode()
        await self.peer.setRemoteDescription(RTCSessionDescription(self.offer, "offer"))
        for transceiver in self.peer.getTransceivers():
            self._listen(transceiver.receiver, transceiver.kind)
        await self.peer.setLocalDescription(await self.peer.createAnswer())
        sdp = base64.b64encode(self.peer.localDescription.sdp.encode()).decode()
        # Blocking on purpose, as in the official example: no STUN is answered before this call returns.
        body = {"id": reply.json()["id"], "sdp": sdp}
        requests.post(self.url, headers=self.headers, json=body, verify=False, timeout=10).raise_for_status()
        await asyncio.wait_for(connected.wait(), 10)
        return self

    async def __aexit__(self, *_):
        for pump in self._pumps:
            pump.cancel()
        await self.peer.close()

    async def pli(self):
        await self._video._send_rtcp_pli(await self._ssrc())

    async def fir(self):
        ssrc = await self._ssrc()
        request = RtcpPsfbPacket(
            fmt=RTCP_PSFB_FIR,
            ssrc=self._video._RTCRtpReceiver__rtcp_ssrc,
            media_ssrc=0,
            fci=ssrc.to_bytes(4, "big") + b"\x01\0\0\0",
        )
        await self._video.transport._send_rtp(bytes(request))

    def units(self, since: float = 0.0) -> list[Unit]:
        """Whole access units that began to arrive after a moment of `time.monotonic`, in order of arrival."""
        units: list[Unit] = []
        fragment = b""
        for arrival in self.arrivals:
            if arrival.at < since:
                continue
            if not units or units[-1].timestamp != arrival.timestamp:
                units.append(Unit(arrival.at, arrival.at, arrival.timestamp))
            units[-1].done = arrival.at
            payload = arrival.payload
            match payload[0] & 0x1F:
                case 24:
                    rest = payload[1:]
                    while rest:
                        end = 2 + int.from_bytes(rest[:2], "big")
                        units[-1].nals.append(rest[2:end])
                        rest = rest[end:]
                case 28:
                    if payload[1] & 0x80:
                        fragment = bytes([payload[0] & 0xE0 | payload[1] & 0x1F])
                    fragment += payload[2:]
                    if payload[1] & 0x40:
                        units[-1].nals.append(fragment)
                case _:
                    units[-1].nals.append(payload)
        return units

    async def bitrate(self, seconds: float) -> float:
        """Mean bits per second of RTP payload."""
        start = time.monotonic()
        await asyncio.sleep(seconds)
        return sum(len(a.payload) for a in self.arrivals if start <= a.at < start + seconds) * 8 / seconds

    async def next_idr(self, since: float, within: float) -> Unit:
        """The first IDR that arrives after `since`."""
        async with asyncio.timeout_at(asyncio.get_running_loop().time() + within):
            while True:
                # The last unit may still be arriving.
                for unit in self.units(since)[:-1]:
                    if unit.is_idr:
                        return unit
                await asyncio.sleep(0.02)

    @property
    def _video(self):
        return next(t.receiver for t in self.peer.getTransceivers() if t.kind == "video")

    async def _ssrc(self) -> int:
        async with asyncio.timeout(5):
            while not self._ssrcs:
                await asyncio.sleep(0.01)
        return self._ssrcs[0]

    def _listen(self, receiver, kind: str):
        if kind == "video":
            self._ssrcs: list[int] = []
        handle_rtp, handle_rtcp = receiver._handle_rtp_packet, receiver._handle_rtcp_packet

        async def on_rtp(packet, *args, **kwargs):
            if kind == "video":
                if not self._ssrcs:
                    self._ssrcs.append(packet.ssrc)
                if packet.payload:
                    self.arrivals.append(
                        Arrival(
                            time.monotonic(),
                            packet.sequence_number,
                            packet.timestamp,
                            packet.marker == 1,
                            packet.payload,
                        )
                    )
            elif self.first_sound is None:
                self.first_sound = packet.timestamp
            await handle_rtp(packet, *args, **kwargs)

        async def on_rtcp(packet):
            if isinstance(packet, RtcpSrPacket):
                self.reports[kind].append((packet.sender_info.ntp_timestamp, packet.sender_info.rtp_timestamp))
            await handle_rtcp(packet)

        receiver._handle_rtp_packet, receiver._handle_rtcp_packet = on_rtp, on_rtcp

    def _on_track(self, track):
        queue = self.pictures if track.kind == "video" else self.sounds

        async def pump():
            try:
                while True:
                    queue.put_nowait(await track.recv())
            except MediaStreamError:
                pass

        self._pumps.append(asyncio.ensure_future(pump()))

"""A camera made of aiortc: it offers over HTTPS like a Spot CAM, and writes down what the answerer sends back.

It shares no code with spotstream. One JSON object a line goes to standard output:
{"event": "listening", "port": ..}, {"event": "answered"}, {"event": "rtcp", "kind": "pli"}, ...
It ends when standard input is closed.
"""

import argparse
import asyncio
import base64
import datetime
import fractions
import ipaddress
import json
import random
import re
import ssl
import sys
import tempfile
import time

import aioice.ice
import av
from aiortc import RTCConfiguration, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, MediaStreamTrack
from aiortc.rtp import (
    RTCP_PSFB_APP,
    RTCP_PSFB_FIR,
    RTCP_PSFB_PLI,
    RTCP_RTPFB_NACK,
    RtcpPsfbPacket,
    RtcpRrPacket,
    RtcpRtpfbPacket,
    unpack_remb_fci,
)
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

TOKEN = "referee"
# aioice leaves the loopback out, and nothing else may be used here.
aioice.ice.get_host_addresses = lambda use_ipv4, use_ipv6: ["127.0.0.1"]


def say(event, **values):
    print(json.dumps({"event": event, **values}), flush=True)


class Picture(MediaStreamTrack):
    """Noise of which a tenth changes: a frame takes several packets, and is not taken for a cut in the film."""

    kind = "video"
    WIDTH, HEIGHT, RATE = 640, 360, 30

    def __init__(self):
        super().__init__()
        self.count, self.start = 0, time.time()
        self.rows = [random.randbytes(self.WIDTH) for _ in range(self.HEIGHT)]

    async def recv(self):
        self.count += 1
        await asyncio.sleep(max(0.0, self.start + self.count / self.RATE - time.time()))
        for row in range(self.count % 10, self.HEIGHT, 10):
            self.rows[row] = random.randbytes(self.WIDTH)
        frame = av.VideoFrame(self.WIDTH, self.HEIGHT, "yuv420p")
        luma, *chroma = frame.planes
        luma.update(b"".join(row.ljust(luma.line_size, b"\0") for row in self.rows))
        for plane in chroma:
            plane.update(b"\x80" * plane.buffer_size)
        frame.pts, frame.time_base = self.count * 90000 // self.RATE, fractions.Fraction(1, 90000)
        return frame


def listen_in(sender):
    """Writes down the RTCP that arrives for a sender."""
    handle = sender._handle_rtcp_packet

    async def heard(packet):
        if isinstance(packet, RtcpPsfbPacket):
            if packet.fmt == RTCP_PSFB_PLI:
                say("rtcp", kind="pli", mine=packet.media_ssrc == sender._ssrc)
            elif packet.fmt == RTCP_PSFB_FIR:
                say("rtcp", kind="fir")
            elif packet.fmt == RTCP_PSFB_APP:
                bitrate, ssrcs = unpack_remb_fci(packet.fci)
                say("rtcp", kind="remb", bitrate=bitrate, mine=sender._ssrc in ssrcs)
        elif isinstance(packet, RtcpRtpfbPacket) and packet.fmt == RTCP_RTPFB_NACK:
            say("rtcp", kind="nack", lost=len(packet.lost))
        elif isinstance(packet, RtcpRrPacket):
            say("rtcp", kind="rr")
        await handle(packet)

    sender._handle_rtcp_packet = heard


def lose(transport, share):
    """Drops a share of the RTP packets, retransmissions included."""
    send = transport._send_rtp

    async def lossy(data):
        is_rtcp = 192 <= data[1] <= 223
        if is_rtcp or random.random() >= share:
            await send(data)

    transport._send_rtp = lossy


class Camera:
    def __init__(self, options):
        self.options, self.sessions = options, {}

    async def offer(self):
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        for _ in range(self.options.videos):
            video = pc.addTransceiver(Picture(), direction=self.options.direction)
            codecs = RTCRtpSender.getCapabilities("video").codecs
            # One format alone, so that a changed description of it can be changed back in the answer.
            formats = [c for c in codecs if c.parameters.get("profile-level-id") == "42e01f"]
            video.setCodecPreferences(formats + [c for c in codecs if self.options.rtx and c.name == "rtx"][:1])
            listen_in(video.sender)
        if self.options.audio:
            audio = pc.addTransceiver(AudioStreamTrack(), direction=self.options.direction)
            codecs = RTCRtpSender.getCapabilities("audio").codecs
            audio.setCodecPreferences([c for c in codecs if c.mimeType.lower() == f"audio/{self.options.audio}"])
        await pc.setLocalDescription(await pc.createOffer())
        if self.options.loss:
            lose(video.sender.transport, self.options.loss)

        @pc.on("connectionstatechange")
        async def changed():
            say("state", state=pc.connectionState)

        identifier = str(len(self.sessions) + 1)
        self.sessions[identifier] = pc
        sdp = pc.localDescription.sdp
        for pattern in self.options.cut:
            sdp = "".join(line for line in sdp.splitlines(keepends=True) if not re.match(pattern, line))
        if self.options.fmtp is not None:
            # The referee itself speaks one format, whatever it says.
            line = f"a=fmtp:\\1 {self.options.fmtp}\r\n" if self.options.fmtp else ""
            sdp = re.sub(r"a=fmtp:(\d+) .*profile-level-id.*\r\n", line, sdp)
        for pattern, replacement in self.options.replace:
            sdp = re.sub(pattern, replacement.replace(r"\r\n", "\r\n"), sdp)
        return {"command": "offer", "id": identifier, "sdp": base64.b64encode(sdp.encode()).decode()}

    async def answer(self, body):
        assert sorted(body) == ["id", "sdp"], body
        sdp = base64.b64decode(body["sdp"], validate=True).decode()
        say("answered", sdp=sdp)
        if self.options.fmtp is not None:
            said = f" {self.options.fmtp}" if self.options.fmtp else ""
            assert not said or said in sdp, sdp
            payload_type = re.search(r"a=rtpmap:(\d+) H264/90000", sdp)[1]
            sdp = re.sub(f"a=fmtp:{payload_type} .*\r\n", "", sdp)
            ours = "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f"
            sdp = re.sub(r"(a=rtpmap:\d+ H264/90000\r\n)", f"\\1a=fmtp:{payload_type} {ours}\r\n", sdp)
        pc = self.sessions[body["id"]]
        # The real camera replies before it has a path, so this is not waited for.
        task = asyncio.ensure_future(pc.setRemoteDescription(RTCSessionDescription(sdp=sdp, type="answer")))
        task.add_done_callback(lambda done: done.exception() and say("error", text=repr(done.exception())))

    async def serve(self, reader, writer):
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            request, *lines = head.split("\r\n")
            headers = {key.lower(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
            body = await reader.readexactly(int(headers.get("content-length", 0)))
            status, reply = "200 OK", b""
            if headers.get("authorization") != f"Bearer {TOKEN}":
                status = "401 Unauthorized"
            elif request == "GET /h264.sdp HTTP/1.1":
                reply = json.dumps(await self.offer()).encode()
            elif request == "POST /h264.sdp HTTP/1.1" and headers.get("content-type") == "application/json":
                await self.answer(json.loads(body))
            else:
                status = "404 Not Found"
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Length: {len(reply)}\r\nConnection: close\r\n\r\n".encode() + reply
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def certificate():
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "camera")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .sign(key, hashes.SHA256())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(made.public_bytes(serialization.Encoding.PEM))
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        file.flush()
        context.load_cert_chain(file.name)
    return context


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--direction", default="sendonly")
    parser.add_argument("--audio", default="opus")
    parser.add_argument("--videos", type=int, default=1)
    parser.add_argument("--rtx", action="store_true")
    parser.add_argument("--loss", type=float, default=0.0)
    parser.add_argument("--fmtp", help="say this of the H.264 format; empty says nothing")
    parser.add_argument("--cut", action="append", default=[], help="pattern of SDP lines to leave out")
    parser.add_argument("--replace", nargs=2, action="append", default=[], help="pattern and replacement in the SDP")
    camera = Camera(parser.parse_args())
    server = await asyncio.start_server(camera.serve, "127.0.0.1", 0, ssl=certificate())
    say("listening", port=server.sockets[0].getsockname()[1])
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.buffer.read)
    for pc in camera.sessions.values():
        await pc.close()


asyncio.run(main())

"""Reads what a server recorded, with FFmpeg's libraries: nothing of spotstream reads it.

PyAV gives packets as they are in the file; ffprobe and ffmpeg judge the whole.
"""

import json
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy

SLICE, IDR, SEI, SPS, PPS = 1, 5, 6, 7, 8
# What the camera sends and no one on the way has a right to touch. Delimiters (9) and filler (12) are the carrier's.
PICTURE_NALS = (SLICE, IDR, SEI, SPS, PPS)
TONE_HZ = 1000


def nal_type(nal: bytes) -> int:
    """Table 7-1 of H.264."""
    return nal[0] & 0x1F


@dataclass(frozen=True)
class Packet:
    """One packet of a track: times in seconds."""

    dts: Fraction
    pts: Fraction
    data: bytes

    def nals(self) -> list[bytes]:
        """The NAL units of a video packet, which FLV separates by four-byte lengths (ISO 14496-15)."""
        units, rest = [], self.data
        while rest:
            length = int.from_bytes(rest[:4])
            assert 0 < length <= len(rest) - 4, "a NAL is longer than its packet"
            units.append(rest[4 : 4 + length])
            rest = rest[4 + length :]
        return units

    def is_idr(self) -> bool:
        """Whether a decoder can start here."""
        return any(nal_type(nal) == IDR for nal in self.nals())


def codecs(path: Path) -> dict[str, str]:
    """The codec of each kind of stream, as ffprobe names it."""
    words = ["ffprobe", "-v", "error", "-show_entries", "stream=codec_type,codec_name", "-of", "json", str(path)]
    streams = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)["streams"]
    return {stream["codec_type"]: stream["codec_name"] for stream in streams if stream["codec_type"] != "data"}


def decode_errors(path: Path) -> str:
    """What ffmpeg says when it decodes all of the file and stops at the first error: nothing, if there is none."""
    # In the file's own time base: rounded to whole frames, two of a burst would have the same time.
    time_base = ["-fps_mode", "passthrough", "-enc_time_base:v", "demux"]
    words = ["ffmpeg", "-nostdin", "-v", "error", "-xerror", "-i", str(path), *time_base, "-f", "null", "-"]
    done = subprocess.run(words, check=False, capture_output=True, text=True)
    return done.stderr + (f"exit code {done.returncode}" if done.returncode else "")


def packets(path: Path, kind: str) -> list[Packet]:
    """All packets of the `video` or `audio` track, without the empty one that ends a file."""
    with av.open(str(path)) as container:
        (stream,) = (stream for stream in container.streams if stream.type == kind)
        return [
            Packet(packet.dts * packet.time_base, packet.pts * packet.time_base, bytes(packet))
            for packet in container.demux(stream)
            if packet.dts is not None
        ]


def pictures(path: Path):
    """Yield (seconds, luma) for every decoded picture."""
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            plane = frame.planes[0]
            luma = numpy.frombuffer(plane, numpy.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]
            yield float(frame.pts * frame.time_base), luma


def tone_starts(path: Path) -> list[float]:
    """When the 1 kHz tone sets in, in seconds of the file: the first millisecond as loud as half of the tone."""
    starts = []
    loud_until = None
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            start = float(frame.pts * frame.time_base)
            assert frame.format.is_planar, "FFmpeg's AAC decoder gives one plane a channel"
            mono = frame.to_ndarray().astype(numpy.float64).mean(axis=0)
            step = frame.sample_rate // TONE_HZ
            for index in range(len(mono) // step):
                loud = numpy.abs(mono[index * step : (index + 1) * step]).max() > 0.125
                at = start + index / TONE_HZ
                # A pause within the tone is an artefact of coding; the camera is silent for 800 ms between tones.
                if loud and (loud_until is None or at - loud_until > 0.4):
                    starts.append(at)
                if loud:
                    loud_until = at
    # What sounds at the very start set in before the recording did.
    return [start for start in starts if start - starts[0] > 0.5]

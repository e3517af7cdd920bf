"""arrivals.py URL FILE: take one RTMP publisher, as FFmpeg's libraries do, and note when each video frame is whole.

One JSON line a frame: CLOCK_MONOTONIC in ns, the one clock of all hosts here, and the hash of the frame's last NAL.
"""

import hashlib
import json
import sys
import time

import av

url, path = sys.argv[1:]
options = {"listen": "1", "fflags": "nobuffer", "probesize": "32", "analyzeduration": "0"}
with open(path, "w") as file, av.open(url, format="flv", options=options) as container:  # a plain path
    for packet in container.demux():
        now = time.monotonic_ns()
        data = bytes(packet)
        if packet.stream.type != "video" or not data:
            continue
        last = b""
        while data:
            length = int.from_bytes(data[:4])
            last, data = data[4 : 4 + length], data[4 + length :]
        print(json.dumps({"ns": now, "nal": hashlib.sha256(last).hexdigest()}), file=file, flush=True)

"""A time server of the internet: it answers SNTP (RFC 4330) with this machine's time; run on a host of the network."""

import socket
import struct
import sys
import time

# Seconds from NTP's epoch, 1900, to 1970.
EPOCH = 2208988800
SERVER_REPLY = 0x24
STRATUM = 1


def answer(request: bytes, now: float) -> bytes:
    """The reply to one request: the sender's transmit time comes back as the originate time."""
    stamp = struct.pack(">II", int(now) + EPOCH, int(now % 1 * 2**32))
    head = struct.pack(">BBbbII4s", SERVER_REPLY, STRATUM, 6, -20, 0, 0, b"GPS\0")
    return head + stamp + request[40:48] + stamp + stamp


def serve(address: str) -> None:
    """Answer for ever."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind((address, 123))
        print("it listens", flush=True)
        while True:
            request, sender = server.recvfrom(1024)
            if len(request) >= 48:
                server.sendto(answer(request, time.time()), sender)


if __name__ == "__main__":
    serve(sys.argv[1])

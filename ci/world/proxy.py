"""Passes one loopback port to a Unix socket: the only way from the machine into the test world."""

import asyncio
import contextlib
import socket
from pathlib import Path


async def serve(listener: socket.socket, path: Path) -> None:
    """Take connections from `listener` until cancelled."""

    async def passage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            there_reader, there_writer = await asyncio.open_unix_connection(str(path))
            async with asyncio.TaskGroup() as both:
                both.create_task(_copy(reader, there_writer))
                both.create_task(_copy(there_reader, writer))
        writer.close()

    server = await asyncio.start_server(passage, sock=listener)
    async with server:
        await server.serve_forever()


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while part := await source.read(1 << 16):
            sink.write(part)
            await sink.drain()
        sink.write_eof()

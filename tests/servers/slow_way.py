"""A way to a server on which every packet takes its time, as over an ocean."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CHUNK = 65_536


@contextmanager
def slow_way(*, listening: int, to: int, seconds: float) -> Iterator[None]:
    """Whoever connects to the port `listening` of this machine reaches the port `to`; each way takes so long."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()

    async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(CHUNK):
            loop.call_later(seconds, writer.write, data)
        loop.call_later(seconds, writer.close)

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, back = await asyncio.open_connection("127.0.0.1", to)
            await asyncio.gather(carry(reader, back), carry(there, writer))
        except OSError:
            writer.close()

    server = asyncio.run_coroutine_threadsafe(asyncio.start_server(connected, "127.0.0.1", listening), loop).result(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(server.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)

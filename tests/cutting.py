"""A TCP proxy that cuts its connections, at places that a seed decides."""

import asyncio
from contextlib import suppress
from random import Random

CHUNK = 16_384


class CuttingProxy:
    """Passes on what comes, and cuts the connection at each of some places of what it passed on.

    Half of the cuts leave the server what is on its way to it, and lose the answers; half lose
    what is on its way in both directions.

    Args:
        port: of the server.
        cuts: how many.
        size: of what clients send in all, at least; the last cut comes before that.
        seed: decides the places.
    """

    def __init__(self, port, *, cuts, size, seed):
        random = Random(seed)
        self._port = port
        self._places = sorted(random.sample(range(1000, size), cuts))
        self._gently = random.sample([True, False] * cuts, cuts)
        self._passed = 0
        self._tasks = set()
        self.cuts = 0

    async def __aenter__(self):
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, from_client, to_client):
        self._tasks.add(asyncio.current_task())
        with suppress(ConnectionError):
            await self._pass_both_ways(from_client, to_client)

    async def _pass_both_ways(self, from_client, to_client):
        from_server, to_server = await asyncio.open_connection("127.0.0.1", self._port)
        answers = asyncio.create_task(self._pass_on(from_server, to_client))
        try:
            gently = await self._pass_until_cut(from_client, to_server)
        finally:
            answers.cancel()
            to_client.transport.abort()
        if not gently:
            to_server.transport.abort()
            return
        to_server.write_eof()  # the server reads what was sent, and nobody hears its answers
        while await from_server.read(CHUNK):
            pass
        to_server.transport.abort()

    async def _pass_on(self, reader, writer):
        with suppress(ConnectionError):
            while data := await reader.read(CHUNK):
                writer.write(data)
                await writer.drain()

    async def _pass_until_cut(self, reader, writer):
        while data := await reader.read(CHUNK):
            if self._places and self._passed + len(data) >= self._places[0]:
                place = self._places.pop(0)
                data = data[: place - self._passed]
                self._passed = place
                writer.write(data)
                self.cuts += 1
                return self._gently.pop()
            self._passed += len(data)
            writer.write(data)
            await writer.drain()
        return False

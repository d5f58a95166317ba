"""The asyncio edge: real sockets on loopback, and scripted servers."""

import asyncio
import ssl
import subprocess
import sys
from contextlib import asynccontextmanager

import pytest
from certificates import authority

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.client import (
    Authenticated,
    BackoffLimits,
    ClientLimits,
    Disconnected,
    Gap,
    Garbled,
    Mode,
    Position,
    Silent,
    Subscribed,
    asyncio_client,
    asyncio_publisher,
)
from tickstorm.errors import ConfigError, InvalidAuth
from tickstorm.frames import FrameDecoder, FrameType
from tickstorm.messages import Heartbeat, ack_frame, error_frame, pong_frame
from tickstorm.records import batch_frame, tick_record
from tickstorm.ticks import MAX_METADATA_VALUE, Tick

pytestmark = pytest.mark.real

LONGEST = 20
"""Seconds after which a test that hangs is ended."""
QUICK = ClientLimits(backoff=BackoffLimits(first=0.01))


def batch(sequence, records=()):
    return batch_frame(records, timestamp_ms=1, sequence=sequence, publish_time_ns=2)


class Peer:
    """The server's end of one connection."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer
        self._decoder = FrameDecoder()

    async def expect(self, type):
        while (frame := self._decoder.next_frame()) is None:
            data = await self._reader.read(4096)
            if not data:
                raise EOFError
            self._decoder.feed(data)
        assert frame.type is type
        return frame.payload

    def say(self, *frames):
        self._writer.write(b"".join(frames))

    async def drain(self):
        await self._writer.drain()

    async def stream_from(self, next_sequence, **metadata):
        await self.expect(FrameType.AUTH)
        self.say(ack_frame(FrameType.AUTH, "", 5))
        request = pb.SubscribeRequest.FromString(await self.expect(FrameType.SUBSCRIBE))
        terms = {"epoch": "e", "next_sequence": str(next_sequence), **metadata}
        self.say(ack_frame(FrameType.SUBSCRIBE, "", 5, terms))
        return request

    async def until_closed(self):
        while await self._reader.read(4096):
            pass


@asynccontextmanager
async def serving(*scripts, path=None, **options):
    """A server whose n-th connection plays the n-th script; gives its port."""
    remaining = list(scripts)
    failures, playing = [], set()

    async def play(reader, writer):
        playing.add(asyncio.current_task())
        try:
            await remaining.pop(0)(Peer(reader, writer))
        except (EOFError, ConnectionError):
            pass
        except Exception as error:
            failures.append(error)
        finally:
            writer.transport.abort()

    if path is None:
        server = await asyncio.start_server(play, "127.0.0.1", 0, **options)
    else:
        server = await asyncio.start_unix_server(play, path)
    try:
        yield None if path else server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await asyncio.gather(*playing)
    assert failures == []


def client_of(place, on_event=lambda event: None, limits=QUICK, **options):
    return asyncio_client(
        place, username="ann", password="secret", on_event=on_event, limits=limits, **options
    )


def run(test):
    return asyncio.run(asyncio.wait_for(test, LONGEST))


async def two_batches(peer):
    await peer.stream_from(1)
    peer.say(batch(1), batch(2))
    await peer.until_closed()


async def take(client, count):
    return [(await client.__anext__()).sequence for _ in range(count)]


@pytest.mark.parametrize("form", ["127.0.0.1:{}", "tcp:127.0.0.1:{}", "tcp:port={}:host=127.0.0.1"])
def test_over_tcp(form):
    async def test():
        events = []
        async with (
            serving(two_batches) as port,
            client_of(form.format(port), events.append) as client,
        ):
            assert await take(client, 2) == [1, 2]
        assert events == [Authenticated(), Subscribed("e", 1, 15.0, 20.0)]

    run(test())


def test_over_a_unix_socket(tmp_path):
    async def test():
        path = str(tmp_path / "s")
        async with serving(two_batches, path=path), client_of(f"unix:{path}") as client:
            assert await take(client, 2) == [1, 2]

    run(test())


class TestTLS:
    @pytest.fixture
    def ca(self):
        return authority()

    @pytest.fixture
    def roots(self, ca, tmp_path):
        roots = tmp_path / "roots"
        roots.mkdir()
        (roots / "ca.pem").write_bytes(ca.pem())
        return roots

    @pytest.fixture
    def context(self, ca, tmp_path):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*ca.issue("localhost").save(tmp_path, "server"))
        return context

    @pytest.mark.parametrize("file", ["", "/ca.pem"])
    def test_with_a_directory_or_a_file_of_roots(self, roots, context, file):
        async def test():
            async with serving(two_batches, ssl=context) as port:
                place = f"tls:localhost:{port}:trustRoots={roots}{file}"
                async with client_of(place) as client:
                    assert await take(client, 2) == [1, 2]

        run(test())

    def test_with_a_client_certificate(self, ca, roots, context, tmp_path):
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(roots / "ca.pem")
        certificate, key = ca.issue("ann").save(tmp_path, "ann")

        async def test():
            async with serving(two_batches, ssl=context) as port:
                place = f"tls:localhost:{port}:trustRoots={roots}"
                shown = f":certificate={certificate}:privateKey={key}"
                async with client_of(place + shown) as client:
                    assert await take(client, 2) == [1, 2]

        run(test())

    def test_a_server_of_nobody_s_is_not_talked_to(self, context):
        async def test():
            lost = asyncio.get_running_loop().create_future()
            async with serving(two_batches, ssl=context) as port:
                client = client_of(
                    f"tls:localhost:{port}", lambda e: lost.done() or lost.set_result(e)
                )
                async with client:
                    assert isinstance((await lost).error, ssl.SSLCertVerificationError)

        run(test())

    def test_roots_that_cannot_be_read(self):
        async def test():
            with pytest.raises(ConfigError, match="certificates"):
                client_of("tls:localhost:1:trustRoots=/nowhere/ca.pem")

        run(test())


def test_a_lost_connection_and_a_broken_frame_are_survived_and_gaps_told():
    async def lose(peer):
        await peer.stream_from(1)
        peer.say(batch(1))
        await peer.drain()

    async def garble(peer):
        await peer.stream_from(4)
        peer.say(batch(4), b"garbage garbage")
        await peer.until_closed()

    async def resume(peer):
        await peer.stream_from(5)
        peer.say(batch(5))
        await peer.until_closed()

    async def test():
        events = []
        async with (
            serving(lose, garble, resume) as port,
            client_of(("127.0.0.1", port), events.append) as client,
        ):
            assert await take(client, 3) == [1, 4, 5]
        interesting = [e for e in events if not isinstance(e, Authenticated | Subscribed)]
        assert list(map(type, interesting)) == [Disconnected, Gap, Garbled, Disconnected]
        assert interesting[1] == Gap(2, 3)

    run(test())


def test_a_lost_connection_is_resumed_and_another_client_goes_on():
    asked = []

    async def lose(peer):
        asked.append(await peer.stream_from(1))
        peer.say(batch(1), batch(2))
        await peer.drain()

    async def resume(peer):
        asked.append(await peer.stream_from(3, recovered="true"))
        peer.say(batch(3), batch(4))
        await peer.until_closed()

    async def go_on(peer):
        asked.append(await peer.stream_from(4, recovered="true"))
        peer.say(batch(4))
        await peer.until_closed()

    async def test():
        async with serving(lose, resume, go_on) as port:
            async with client_of(("127.0.0.1", port)) as client:
                assert await take(client, 3) == [1, 2, 3]
            assert client.position == Position("e", 3)
            async with client_of(("127.0.0.1", port), resume_from=client.position) as client:
                assert await take(client, 1) == [4]
        found = [(request.resume_epoch, request.resume_after_sequence) for request in asked]
        assert found == [("", 0), ("e", 2), ("e", 3)]

    run(test())


def test_a_change_of_mind_on_the_same_connection():
    asked = []

    async def change(peer):
        asked.append(await peer.stream_from(1))
        peer.say(batch(1), batch(2))
        await peer.expect(FrameType.UNSUBSCRIBE)
        peer.say(batch(3), ack_frame(FrameType.UNSUBSCRIBE, "", 5))
        asked.append(pb.SubscribeRequest.FromString(await peer.expect(FrameType.SUBSCRIBE)))
        peer.say(ack_frame(FrameType.SUBSCRIBE, "", 5, {"epoch": "e", "next_sequence": "8"}))
        peer.say(batch(8))
        await peer.until_closed()

    async def test():
        async with serving(change) as port, client_of(("127.0.0.1", port)) as client:
            assert await take(client, 1) == [1]
            await client.change(mode=Mode.TICK, symbols=["EUR*"])
            assert await take(client, 1) == [8]
        assert asked == [
            pb.SubscribeRequest(mode=pb.SUBSCRIPTION_MODE_SECOND),
            pb.SubscribeRequest(mode=pb.SUBSCRIPTION_MODE_TICK, symbols=["EUR*"]),
        ]

    run(test())


def test_a_change_that_the_end_of_the_client_overtakes():
    async def stall(peer):
        await peer.stream_from(1)
        await peer.expect(FrameType.UNSUBSCRIBE)
        await peer.until_closed()

    async def test():
        async with serving(stall) as port:
            streaming = asyncio.Event()

            def hear(event):
                if isinstance(event, Subscribed):
                    streaming.set()

            async with client_of(("127.0.0.1", port), hear) as client:
                await streaming.wait()
                changing = asyncio.create_task(client.change(mode=Mode.TICK, symbols=None))
                await asyncio.sleep(0)
                closing = client.close()
                with pytest.raises(ConnectionError, match="the client was closed"):
                    await changing
                await closing

    run(test())


def test_an_error_that_will_not_go_away_ends_it():
    async def refuse(peer):
        await peer.expect(FrameType.AUTH)
        peer.say(error_frame(InvalidAuth("no"), 5))
        await peer.until_closed()

    async def test():
        async with serving(refuse) as port:
            client = client_of(("127.0.0.1", port))
            with pytest.raises(InvalidAuth, match="no"):
                await take(client, 1)

    run(test())


def test_close_ends_a_loop_in_another_task():
    async def test():
        both = asyncio.Event()
        taken = []

        async def collect(client):
            async for received in client:
                taken.append(received.sequence)
                if len(taken) == 2:
                    both.set()

        async with serving(two_batches) as port:
            client = client_of(("127.0.0.1", port))
            collecting = asyncio.create_task(collect(client))
            await both.wait()
            await client.close()
            await collecting
        assert taken == [1, 2]

    run(test())


@pytest.mark.parametrize("make", [asyncio_client, asyncio_publisher])
def test_a_close_that_is_given_up_stops_no_other(make):
    async def test():
        errors = []
        asyncio.get_running_loop().set_exception_handler(lambda _, told: errors.append(told))
        connected = asyncio.Event()

        async def until_closed(peer):
            await peer.expect(FrameType.AUTH)
            connected.set()
            await peer.until_closed()

        async with serving(until_closed) as port:
            one = make(("127.0.0.1", port), username="ann", password="secret")
            await one.__aenter__()
            await connected.wait()
            given_up, closed = one.close(), one.close()
            given_up.cancel()
            await closed
        assert errors == []

    run(test())


def test_a_consumer_that_gives_up_loses_nothing():
    async def when_told(peer, told):
        await peer.stream_from(1)
        await told.wait()
        peer.say(batch(1))
        await peer.until_closed()

    async def test():
        told = asyncio.Event()
        async with (
            serving(lambda peer: when_told(peer, told)) as port,
            client_of(("127.0.0.1", port)) as client,
        ):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(client.__anext__(), 0.05)
            told.set()
            assert await take(client, 1) == [1]

    run(test())


def test_heartbeats_are_sent_and_silence_is_found_out():
    intervals = {"heartbeat_interval_ms": "40", "heartbeat_timeout_ms": "120"}

    async def fall_silent(peer):
        await peer.stream_from(1, **intervals)
        for count in range(5):
            await peer.expect(FrameType.HEARTBEAT)
            peer.say(pong_frame(Heartbeat(1, count), 2))
        await peer.until_closed()

    async def test():
        events = []
        async with (
            serving(fall_silent, two_batches) as port,
            client_of(("127.0.0.1", port), events.append) as client,
        ):
            assert await take(client, 1) == [1]
        assert events[2] == Silent(0.12)

    run(test())


def test_a_slow_consumer_stops_the_server_through_tcp():
    metadata = {str(key): "x" * MAX_METADATA_VALUE for key in range(4)}
    record = tick_record(Tick("ACME", 1.0, metadata=metadata))

    async def flood(peer, sent):
        await peer.stream_from(1)
        for number in range(1, 1001):
            peer.say(batch(number, [record] * 50))
            await peer.drain()
            sent.append(number)
        await peer.until_closed()

    async def test():
        sent = []
        limits = QUICK._replace(max_queued_batches=5)
        async with (
            serving(lambda peer: flood(peer, sent)) as port,
            client_of(("127.0.0.1", port), limits=limits) as client,
        ):
            taken = await take(client, 1)
            stood_still, before = 0, -1
            while stood_still < 20:
                await asyncio.sleep(0.01)
                stood_still, before = stood_still + 1 if before == len(sent) else 0, len(sent)
            assert len(sent) < 1000
            assert len(client._inbox) <= 5
            taken += await take(client, 999)
        assert taken == list(range(1, 1001))

    run(test())


def test_no_loop_is_an_error_at_once():
    with pytest.raises(RuntimeError, match="no running event loop"):
        client_of("localhost:1")


def test_twisted_s_reactor_is_not_touched():
    program = """
import asyncio, sys
from tickstorm.client import asyncio_client
async def main():
    await asyncio_client("localhost:1", username="u", password="p").close()
asyncio.run(main())
print([name for name in sys.modules if name.startswith("twisted")])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout == b"[]\n"

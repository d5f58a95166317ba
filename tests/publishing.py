"""A publisher over a blocking socket, whose prices rise, so that each tick is told apart."""

import socket

from test_tap import LOGIN
from workers_server import Launched

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.frames import HEADER_BYTES, OVERHEAD_BYTES, FrameDecoder, FrameType, encode_frame

RIGHTS = {"TICKSTORM_PUBLISHERS": f"{LOGIN['STREAM_USER']}:*"}
TIMEOUT = 30.0


def quiet(folder, workers, environ):
    """A server that has ticks from its publishers alone."""
    settings = folder / "quiet.toml"
    settings.write_text("source = []\n")
    return Launched(folder, "--config", settings, workers=workers, environ=environ | RIGHTS)


class Publisher:
    """Publishes, and waits until that is done.

    Attributes:
        published: the symbol and the price of each tick, in order.
    """

    def __init__(self, port):
        self.published = []
        self._decoder = FrameDecoder()
        self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        login = pb.AuthRequest(username=LOGIN["STREAM_USER"], password=LOGIN["STREAM_PASS"])
        self._ask(FrameType.AUTH, login)

    def publish(self, symbols, metadata=()):
        """Publish a tick of each of these symbols.

        Args:
            symbols: at most as many as one request may have.
            metadata: of each tick.
        """
        items = [(each, float(len(self.published) + at)) for at, each in enumerate(symbols, 1)]
        ticks = [pb.Tick(symbol=s, price=p, volume=1.0, metadata=dict(metadata)) for s, p in items]
        self._ask(FrameType.PUBLISH, pb.PublishRequest(ticks=ticks))
        self.published += items

    def close(self):
        self._socket.close()

    def _ask(self, type, message):
        self._socket.sendall(encode_frame(type, message.SerializeToString()))
        while (frame := self._decoder.next_frame()) is None:
            data = self._socket.recv(HEADER_BYTES + OVERHEAD_BYTES + 1024)
            assert data, "the server has closed on its publisher"
            self._decoder.feed(data)
        assert frame.type is FrameType.ACK, pb.ErrorResponse.FromString(frame.payload)

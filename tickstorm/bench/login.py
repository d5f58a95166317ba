"""One login as the client sees it: AUTH, ACK, SUBSCRIBE, ACK; bytes in, bytes out. Pure."""

from enum import Enum, auto

from tickstorm.bench.cutting import MAX_PAYLOAD_BYTES
from tickstorm.client.events import Subscribed
from tickstorm.client.messages import decode_ack, decode_error
from tickstorm.client.terms import subscribed
from tickstorm.errors import InvalidAuth, InvalidMessage, InvalidSubscription
from tickstorm.frames import Frame, FrameDecoder, FrameType


class Stage(Enum):
    """Which answer is awaited."""

    AUTHENTICATING = auto()
    SUBSCRIBING = auto()
    SUBSCRIBED = auto()


_NEXT = {
    Stage.AUTHENTICATING: Stage.SUBSCRIBING,
    Stage.SUBSCRIBING: Stage.SUBSCRIBED,
}
"""What an ACK leads to. In the last stage there is nothing more to be done here."""
_REFUSAL = {Stage.AUTHENTICATING: InvalidAuth, Stage.SUBSCRIBING: InvalidSubscription}
"""What an ACK means that says no."""


class Requests:
    """What every connection of a run sends.

    Args:
        auth: a whole AUTH frame; of bidders that need not log in, nothing.
        subscribe: a whole SUBSCRIBE frame; of bidders nothing.
    """

    __slots__ = ("auth", "subscribe")

    def __init__(self, auth: bytes, subscribe: bytes) -> None:
        self.auth = auth
        self.subscribe = subscribe

    def __repr__(self) -> str:
        return "Requests(<hidden>)"


class Login:
    """The way of one connection to its subscription. Its hello is sent by who made it.

    Args:
        requests: what it sends.
        number: of the connection among all, for who keeps it.
        began_ns: when it began, since the Unix epoch; likewise.
    """

    __slots__ = ("_decoder", "_requests", "_stage", "began_ns", "number", "rest", "subscribed")

    def __init__(self, requests: Requests, number: int = 0, began_ns: int = 0) -> None:
        self.number = number
        self.began_ns = began_ns
        self.subscribed: Subscribed | None = None
        """What the server says of the subscription, once there is one."""
        self.rest = b""
        """What came behind the last answer: the beginning of the stream."""
        self._requests = requests
        self._stage = Stage.AUTHENTICATING
        self._decoder = FrameDecoder(MAX_PAYLOAD_BYTES)

    @property
    def hello(self) -> bytes:
        """What it sends first."""
        return self._requests.auth

    def received(self, data: bytes) -> bytes:
        """Take what arrived, and return what is to be sent; nothing more once subscribed.

        Raises:
            ProtocolError: the server refused, or what it sends is not the protocol.
        """
        self._decoder.feed(data)
        sent = b""
        while self._stage is not Stage.SUBSCRIBED:
            frame = self._decoder.next_frame()
            if frame is None:
                return sent
            sent += self._answer(frame)
        pending = self._decoder.pending_bytes
        self.rest = data[-pending:] if pending else b""
        return sent

    def _answer(self, frame: Frame) -> bytes:
        if frame.type is FrameType.ERROR:
            raise decode_error(frame.payload).error
        if frame.type is not FrameType.ACK:
            raise InvalidMessage(f"{frame.type.name} came instead of an answer")
        ack = decode_ack(frame.payload)
        if not ack.success:
            raise _REFUSAL[self._stage](ack.message or "the server says no")
        self._stage = _NEXT[self._stage]
        if self._stage is Stage.SUBSCRIBING:
            return self._requests.subscribe
        self.subscribed = subscribed(ack.metadata)
        return b""

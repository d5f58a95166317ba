"""What all conversations with a server have: a state, frames in and out, signs of life. Pure.

Bytes and the time go in; events and bytes to send come out. Whatever the server sends that is not
among the transitions of the state, or that is no frame, ends it with one error.
"""

from collections import deque
from collections.abc import Callable
from math import inf
from typing import Generic, NamedTuple, TypeVar

from tickstorm.client.events import Garbled, Silent
from tickstorm.client.messages import login_frame
from tickstorm.client.pulse import Pulse
from tickstorm.client.states import State, Step, Transitions, next_state
from tickstorm.errors import ProtocolError
from tickstorm.frames import MAX_PAYLOAD_BYTES, Frame, FrameDecoder
from tickstorm.messages import Login

E = TypeVar("E")


class SessionLimits(NamedTuple):
    """What a server is held to.

    Attributes:
        answer_timeout: seconds for each answer, until it lets this side stream or publish.
        max_payload_bytes: of a frame.
    """

    answer_timeout: float = 10.0
    max_payload_bytes: int = MAX_PAYLOAD_BYTES


class Dialogue(Generic[E]):
    """One conversation, from its AUTH to its end, but for what its frames mean.

    Args:
        login: who to be.
        transitions: what there is of steps.
        read: takes in a frame: it makes the steps, tells the events and sends the answers. Each
            ProtocolError that it raises is the end.
        random: gives a number from 0 up to but not including 1.
        limits: what the server is held to.
        now: the present, in seconds of any monotonic clock.
        at_end: called once, when it is over.

    Attributes:
        state: where it stands.
    """

    def __init__(
        self,
        login: Login,
        transitions: Transitions,
        read: Callable[[Frame], None],
        *,
        random: Callable[[], float],
        limits: SessionLimits,
        now: float,
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        self.state = State.AUTHENTICATING
        self._transitions = transitions
        self._read = read
        self._at_end = at_end
        self._decoder = FrameDecoder(limits.max_payload_bytes)
        self._pulse = Pulse(limits.answer_timeout, random, now)
        self._events: deque[E | Garbled] = deque()
        self._out = [login_frame(login)]

    # What the connection asks.

    @property
    def over(self) -> bool:
        """Whether it has ended."""
        return self.state is State.CLOSED

    @property
    def deadline(self) -> float:
        """When to `wake` it; infinity once it is over."""
        return inf if self.over else self._pulse.deadline

    def take_output(self) -> bytes:
        """Return the bytes to send, and forget them."""
        output = b"".join(self._out)
        self._out.clear()
        return output

    def feed(self, data: bytes, now: float) -> None:
        """Add what arrived; then take events until there is none."""
        self._pulse.heard(now)
        self._decoder.feed(data)

    def next_event(self) -> E | Garbled | None:
        """Return what the next frame means, or None until more is fed."""
        while not self._events and not self.over:
            try:
                frame = self._decoder.next_frame()
                if frame is None:
                    return None
                self._read(frame)
            except ProtocolError as error:
                self.end(Garbled(error))
        return self._events.popleft() if self._events else None

    def pause(self) -> None:
        """Note that nothing is read from now on: the server cannot be blamed for silence."""
        self._pulse.pause()

    def resume(self, now: float) -> None:
        """Note that what arrives is read again."""
        self._pulse.resume(now)

    def wake(self, now: float, wall_ms: int) -> Silent | None:
        """Send the heartbeat that is due, or end a conversation whose server is silent."""
        beat = self._pulse.wake(now, wall_ms)
        if isinstance(beat, Silent):
            self.close()
            return beat
        self._out.append(beat)
        return None

    def close(self) -> None:
        """End it: nothing is read any more."""
        if not self.over:
            self.step(Step.ENDED)

    # What comes of a frame.

    def step(self, step: Step) -> None:
        """Go where a step leads.

        Raises:
            InvalidMessage: there is no such step.
        """
        self.state = next_state(self._transitions, self.state, step)
        if self.over:
            self._at_end()

    def settle(self, heartbeat_interval: float, heartbeat_timeout: float) -> None:
        """Keep the intervals that the server has named, in seconds."""
        self._pulse.settle(heartbeat_interval, heartbeat_timeout)

    def send(self, *frames: bytes) -> None:
        """Add to the output."""
        self._out += frames

    def tell(self, *events: E) -> None:
        """Add events."""
        self._events += events

    def end(self, event: E | Garbled) -> None:
        """End it with this event."""
        self.close()
        self._events.append(event)

    def drop_events(self) -> None:
        """Forget those that were not taken yet."""
        self._events.clear()

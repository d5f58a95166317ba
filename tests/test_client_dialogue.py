"""What every conversation has: frames in, events and frames out, and one end."""

from math import inf

import pytest

from tickstorm.client.dialogue import Dialogue, SessionLimits
from tickstorm.client.events import Garbled, Silent
from tickstorm.client.messages import heartbeat_frame, login_frame
from tickstorm.client.states import PUBLISHER, State, Step
from tickstorm.errors import ChecksumFailed, InvalidMessage, MessageTooLarge
from tickstorm.frames import FrameType, encode_frame
from tickstorm.messages import Login

LOGIN = Login("ann", "secret", "desk-1", "1.0")
ACK, PONG = encode_frame(FrameType.ACK, b""), encode_frame(FrameType.PONG, b"")


class Talk:
    """A dialogue in which each ACK is of the login, and told twice."""

    def __init__(self, limits=SessionLimits()):
        self.ends = 0
        self.dialogue = Dialogue(
            LOGIN,
            PUBLISHER,
            self._read,
            random=lambda: 0.0,
            limits=limits,
            now=0.0,
            at_end=self._end,
        )

    def _read(self, frame):
        if frame.type is FrameType.PONG:
            self.dialogue.tell("pong")
            self.dialogue.step(Step.PONG)
            return
        self.dialogue.step(Step.LOGIN_ACKNOWLEDGED)
        self.dialogue.settle(10.0, 16.0)
        self.dialogue.send(b"thank ", b"you")
        self.dialogue.tell("let in", "yes")

    def _end(self):
        self.ends += 1

    def hear(self, data, now=0.0):
        self.dialogue.feed(data, now)
        return list(iter(self.dialogue.next_event, None))

    @property
    def ending(self):
        return self.dialogue.state, self.dialogue.over, self.dialogue.deadline, self.ends


OVER = (State.CLOSED, True, inf, 1)


def test_it_begins_with_the_login():
    talk = Talk()
    assert talk.dialogue.take_output() == login_frame(LOGIN)
    assert talk.dialogue.take_output() == b""
    assert talk.ending == (State.AUTHENTICATING, False, 10.0, 0)


def test_what_is_read_is_told_and_answered_in_order():
    talk = Talk()
    talk.dialogue.take_output()
    assert talk.hear(ACK[:5]) == []
    assert talk.hear(ACK[5:] + PONG) == ["let in", "yes", "pong"]
    assert talk.dialogue.take_output() == b"thank you"
    assert talk.ending == (State.PUBLISHING, False, 10.0, 0)


def test_a_frame_is_read_when_what_the_one_before_said_is_taken():
    talk = Talk()
    talk.dialogue.feed(ACK + PONG, 0.0)
    assert talk.dialogue.next_event() == "let in"
    talk.dialogue.drop_events()
    assert talk.dialogue.next_event() == "pong"


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"x" * 8, InvalidMessage),
        (ACK[:-1] + bytes([ACK[-1] ^ 1]), ChecksumFailed),
        (encode_frame(FrameType.ACK, b"x" * 33), MessageTooLarge),
    ],
)
def test_what_is_no_frame_ends_it_once(data, kind):
    talk = Talk(SessionLimits(max_payload_bytes=32))
    (event,) = talk.hear(data + ACK)
    assert (type(event), type(event.error)) == (Garbled, kind)
    assert talk.ending == OVER
    assert talk.hear(ACK) == []


def test_what_is_not_expected_ends_it_behind_what_was_told():
    talk = Talk()
    told, garbled = talk.hear(PONG + ACK)
    assert (told, type(garbled)) == ("pong", Garbled)
    assert "PONG is not expected while AUTHENTICATING" in garbled.error.message
    assert talk.ending == OVER


def test_its_end_is_told_last():
    talk = Talk()
    talk.dialogue.end("refused")
    assert talk.hear(ACK) == ["refused"]
    assert talk.ending == OVER


def test_closed_twice_it_ends_once():
    talk = Talk()
    talk.dialogue.close()
    talk.dialogue.close()
    assert talk.hear(ACK) == []
    assert talk.ending == OVER


def test_heartbeats_go_out_and_silence_is_the_end():
    talk = Talk()
    talk.hear(ACK)
    talk.dialogue.take_output()
    assert talk.dialogue.wake(10.0, 5) is None
    assert talk.dialogue.take_output() == heartbeat_frame(5, 1)
    assert talk.hear(PONG[:1], 12.0) == []
    assert talk.dialogue.wake(20.0, 6) is None
    assert talk.dialogue.wake(28.0, 7) == Silent(16.0)
    assert talk.ending == OVER


def test_while_nothing_is_read_nobody_is_silent():
    talk = Talk()
    talk.dialogue.pause()
    assert talk.dialogue.deadline == inf
    talk.dialogue.resume(90.0)
    assert talk.dialogue.deadline == 100.0

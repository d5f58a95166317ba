"""The link's messages: whatever is said arrives as it was, however the bytes are cut."""

from ipaddress import ip_network

import pytest
from conversation import read
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.config import load
from tickstorm.credentials import Peer, User
from tickstorm.errors import (
    ChecksumFailed,
    ConfigError,
    InvalidAuth,
    InvalidMessage,
    MessageTooLarge,
    NotPermitted,
    ProtocolError,
    RateLimited,
)
from tickstorm.frames import HEADER_BYTES, FrameType, encode_frame
from tickstorm.listing import MAX_LIMIT, Listing, Query
from tickstorm.messages import Login
from tickstorm.metrics import Metrics
from tickstorm.publishing import Accepted, Publication, Publisher
from tickstorm.reading import Reading
from tickstorm.records import batch_frame, tick_record
from tickstorm.settings import Settings
from tickstorm.subscriptions import Mode, Subscription
from tickstorm.ticks import Tick
from tickstorm.workers.handover import PortKind
from tickstorm.workers.link import (
    MAX_LINK_PAYLOAD,
    PART_BYTES,
    AtAddress,
    AtAddresses,
    Drain,
    Drained,
    Emission,
    Hasten,
    Join,
    Leave,
    Leaving,
    LinkDecoder,
    LinkType,
    ListAsked,
    Listed,
    Load,
    LoginAnswered,
    LoginAsked,
    LoginDropped,
    LoginFailed,
    Placed,
    PublishAnswered,
    PublishAsked,
    Ready,
    Reload,
    Report,
    Said,
    Unreadable,
    control,
    emission,
    parts,
)

SUBSCRIPTION = Subscription(Mode.SECOND, frozenset({"A", "B"}), True, 5, {"desk": "7"})
ROW = {
    "id": 2**63,
    "peer": "2001:db8:1234:5678:9abc:def0:1234:5678",
    "user": "u" * 64,
    "certificate": "c" * 64,
    "mode": "INTERVAL",
    "interval_ms": 3_600_000,
    "symbols": [f"SYMBOL-{number:09}" for number in range(100)],
    "overload": "DROP_OLDEST",
    "age_s": 1234567.891,
    "bytes_sent": 2**40,
    "pending_bytes": 2**22,
    "congested": True,
    "warned": True,
}
MESSAGES = [
    Ready(),
    Join(1, SUBSCRIPTION, 199),
    Join(2, Subscription(Mode.TICK, metadata={}), 0),
    Leave(3, 2),
    LoginDropped(4),
    LoginAsked(4, Login("alice", "secret", "client", "1.0"), Peer("10.0.0.1", "desk")),
    PublishAsked(9, Publication(Publisher("alice", "desk"), 7, [Tick("A", 1.5), Tick("B", 2.0)])),
    LoginFailed("10.0.0.1"),
    AtAddress("2001:db8::/64", -1),
    AtAddress("10.0.0.1", 1, PortKind.BIDDERS),
    AtAddresses({"10.0.0.1": -3}, PortKind.BIDDERS),
    Load(10, 3),
    Load(4, 2, PortKind.BIDDERS),
    Said("warn", "somewhere", "a text with \udcff in it", {"n": 1, "f": 0.5, "none": None}),
    Listed(5, Listing(1, [ROW], 1)),
    Leaving(),
    Drained(),
    Placed(6, 7, 3, "a-3", 2**32 - 1, 5, (b"one", b"", b"two"), recovered=True),
    Placed(6, 7, 0, "a", 8, 5, [b"one"], more=True),
    LoginAnswered(7, User("alice")),
    PublishAnswered(9, Accepted(2, repeated=True)),
    ListAsked(8, Query(5, 6, True)),
    Drain(2.5, 2.0),
    Hasten(),
    Reload(Settings(block=(ip_network("10.0.0.0/8"),)), {"server.crt": b"new"}),
]


def received(data, *cuts):
    """What a decoder makes of data that arrives in pieces."""
    decoder = LinkDecoder()
    messages = []
    for begin, end in zip((0, *cuts), (*cuts, len(data)), strict=True):
        messages += decoder.receive(data[begin:end])
    return messages


def batch(sequence, *prices):
    records = [tick_record(Tick("EURUSD", price)) for price in prices]
    return batch_frame(records, timestamp_ms=1, sequence=sequence, publish_time_ns=2)


frames = st.lists(
    st.binary(max_size=300).map(lambda payload: encode_frame(FrameType.DATA_BATCH, payload)),
    max_size=4,
).map(tuple)
emissions = st.builds(
    Emission, st.integers(0, 2**64 - 1), st.integers(0, 2**32 - 1), st.floats(0, 1e9), frames
)
said = st.lists(st.sampled_from(MESSAGES) | emissions, max_size=6)


def encoded(message):
    return emission(*message) if isinstance(message, Emission) else control(message)


def whole(message):
    """An emission whose frames are a tuple, to be compared."""
    return message._replace(frames=tuple(message.frames)) if type(message) is Emission else message


# As it was said.


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_message_arrives_as_it_was_said(message):
    (arrived,) = received(control(message))
    assert (type(arrived), arrived) == (type(message), message)


def test_a_report_arrives_with_all_that_was_counted():
    metrics = Metrics()
    metrics.logins["accepted"] += 3
    metrics.publish_latency_ms.observe(0.2, 4)
    reading = Reading(1, 2, 3, {"TICK": 4}, metrics, 0.5, 9.0)
    (arrived,) = received(control(Report(reading, 1.25, 4096)))
    assert arrived[1:] == (1.25, 4096, None)
    assert arrived.reading._replace(metrics=None) == reading._replace(metrics=None)
    assert arrived.reading.metrics.logins == {"accepted": 3}
    assert arrived.reading.metrics.publish_latency_ms.counts == metrics.publish_latency_ms.counts


@pytest.mark.parametrize(
    "error",
    [InvalidAuth("no"), NotPermitted("not today", "a detail"), RateLimited("wait", "", 1500)],
)
def test_why_a_login_is_refused_arrives_whole(error):
    (arrived,) = received(control(LoginAnswered(1, error)))
    answer = arrived.answer
    assert (type(answer), answer.message, answer.details, answer.retry_after_ms) == (
        type(error),
        error.message,
        error.details,
        error.retry_after_ms,
    )


def test_why_a_message_cannot_be_read_is_said():
    (message,) = received(encode_frame(LinkType.CONTROL, b"ctickstorm.errors\nNoSuch\n."))
    assert message.reason.startswith("AttributeError: ")


def test_the_bytes_of_an_emission_pass_unchanged():
    sent = [batch(1, 1.5, 2.5), batch(2), batch(3, 3.5)]
    (arrived,) = received(emission(9, 4, 123.25, sent))
    assert arrived == Emission(9, 4, 123.25, sent)
    prices = [[tick.price for tick in each.ticks] for each in read(b"".join(arrived.frames))]
    assert prices == [[1.5, 2.5], [], [3.5]]


@given(said, st.data())
def test_however_the_bytes_are_cut_the_same_arrives(messages, data):
    stream = b"".join(map(encoded, messages))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    assert list(map(whole, received(stream, *cuts))) == messages


def test_every_single_byte_may_come_alone():
    messages = [*MESSAGES, Emission(1, 2, 0.5, (batch(1, 1.5),))]
    stream = b"".join(map(encoded, messages))
    assert list(map(whole, received(stream, *range(1, len(stream))))) == messages


def test_a_message_that_is_not_whole_is_waited_for():
    assert received(control(Ready())[:-1]) == []


def test_the_largest_page_of_connections_has_room():
    rows = [{**ROW, "id": number} for number in range(MAX_LIMIT)]
    # Texts that are not shared, as when each came from elsewhere, take the most.
    page = control(Listed(1, Listing(MAX_LIMIT, rows[:1])))
    assert len(page) * MAX_LIMIT < MAX_LINK_PAYLOAD


@given(st.lists(st.integers(1, 30).map(bytes), max_size=20))
def test_frames_are_cut_into_parts_of_so_many_bytes_or_of_one_longer_frame(sent):
    cut = list(parts(sent, 20))
    assert [frame for part in cut for frame in part] == sent
    assert all(len(part) == 1 or sum(map(len, part)) <= 20 for part in cut)
    assert (len(cut) == 1) == (len(sent) < 2 or sum(map(len, sent)) <= 20)


def test_a_part_has_room_for_a_frame_as_long_as_it_may_be_set():
    longest = 2**24
    queue = {"TICKSTORM_MAX_WRITE_QUEUE_BYTES": str(2 * longest)}
    load(file=None, environ={"MAX_MSG_SIZE": str(longest), **queue}, options={})
    with pytest.raises(ConfigError, match="MAX_MSG_SIZE"):
        load(file=None, environ={"MAX_MSG_SIZE": str(longest + 1), **queue}, options={})
    assert PART_BYTES + longest < MAX_LINK_PAYLOAD


# What is none of these.


@given(st.binary(max_size=64))
def test_noise_is_our_error_or_is_waited_for(noise):
    try:
        assert received(noise) == []
    except ProtocolError:
        return


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: type(message).__name__)
def test_a_byte_that_was_changed_on_the_way_is_noticed(message):
    data = bytearray(control(message))
    data[-5] ^= 1
    with pytest.raises(ChecksumFailed):
        received(bytes(data))


@pytest.mark.parametrize(
    "payload",
    [b"", b"garbage", b"\x80\x04", b"cnowhere\nnothing\n.", b"ctickstorm.errors\nNoSuch\n."],
)
def test_a_control_message_that_is_none_is_said_to_be_unreadable_and_the_next_one_comes(payload):
    messages = received(encode_frame(LinkType.CONTROL, payload) + control(Ready()))
    assert [type(message) for message in messages] == [Unreadable, Ready]


@given(st.sampled_from(MESSAGES), st.data())
def test_a_control_message_that_was_cut_short_is_unreadable(message, data):
    payload = control(message)[HEADER_BYTES:-4]
    length = data.draw(st.integers(0, len(payload) - 1))
    (unreadable,) = received(encode_frame(LinkType.CONTROL, payload[:length]))
    assert type(unreadable) is Unreadable


@pytest.mark.parametrize("length", [0, 19, 21, 40])
def test_an_emission_that_was_cut_short_is_our_error(length):
    payload = emission(1, 2, 0.5, [batch(1, 1.5)])[HEADER_BYTES:-4]
    with pytest.raises(ProtocolError):
        received(encode_frame(LinkType.EMISSION, payload[:length]))


@pytest.mark.parametrize("type", [0, 3, 255])
def test_another_type_is_our_error(type):
    with pytest.raises(InvalidMessage, match=r"^unknown frame type"):
        received(encode_frame(type, b""))


def test_what_is_too_long_is_refused_by_its_header():
    header = encode_frame(LinkType.CONTROL, b"")[:4] + (MAX_LINK_PAYLOAD + 1).to_bytes(4, "big")
    with pytest.raises(MessageTooLarge):
        received(header)

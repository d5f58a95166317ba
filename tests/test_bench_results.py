"""results: what RESULTs say, wherever the bytes are cut and whatever stands between them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.auction.rule import Answer, Bid, Outcome, Standing
from tickstorm.auction.wire import Refusal, Update, auth_frame, error_frame, result_frame
from tickstorm.auction.wire import update_frame as update
from tickstorm.bench.results import OUTCOME_AT, RESULT_BYTES, Read, error_name, read_results
from tickstorm.errors import InvalidMessage, SlowConsumer

STANDING = Standing(1250, 7, 3, 1300, 1_800_000_000_000)


def result(outcome):
    return result_frame(Bid(1, 2, 1250, 5), Answer(outcome, 1250, STANDING))


def longer(outcome):
    """A RESULT of a later version."""
    plain = result(outcome)
    return bytes((plain[0], plain[1] + 3)) + plain[2:] + b"new"


FRAMES = st.one_of(
    st.sampled_from(list(Outcome)).map(result),
    st.sampled_from(list(Outcome)).map(longer),
    st.just(auth_frame("alice")),
    st.just(update(Update(1, 2, 1250, 3))),
)


def test_where_the_outcome_is():
    for outcome in Outcome:
        frame = result(outcome)
        assert (len(frame), frame[OUTCOME_AT]) == (RESULT_BYTES, outcome)


def test_plain_results_and_the_beginning_of_another():
    data = b"".join(map(result, (Outcome.ACCEPTED, Outcome.TOO_LOW, Outcome.EQUAL)))
    assert read_results(data + data[:40]) == Read(bytes((1, 2, 3)), data[:40])
    assert read_results(data) == Read(bytes((1, 2, 3)), b"")
    assert read_results(b"") == Read(b"", b"")


@given(st.lists(FRAMES, max_size=8), st.lists(st.integers(1, 300), max_size=20))
def test_cut_anywhere_they_say_the_same(frames, sizes):
    data, rest, outcomes = b"".join(frames), b"", b""
    for size in [*sizes, len(data)]:
        piece, data = data[:size], data[size:]
        read = read_results(rest + piece)
        assert read.refusal is None
        rest, outcomes = read.rest, outcomes + read.outcomes
    assert (rest, data) == (b"", b"")
    assert outcomes == bytes(frame[OUTCOME_AT] for frame in frames if frame[0] == 2)


def test_an_error_is_told_at_once_though_it_is_shorter_than_a_result():
    error = error_frame(SlowConsumer("too slow"))
    told = Refusal(SlowConsumer.code, "too slow")
    assert read_results(error) == Read(b"", b"", told)
    assert read_results(result(Outcome.ACCEPTED) + error) == Read(b"\x01", b"", told)
    assert read_results(result(Outcome.ACCEPTED) + error[:5]) == Read(b"\x01", error[:5])


@pytest.mark.parametrize(
    "data", [b"HTTP/1.1 400 Bad Request", b"\x01\x10" + bytes(16), b"\x02\x05" + bytes(70)]
)
def test_what_no_server_sends(data):
    with pytest.raises(InvalidMessage):
        read_results(data)


def test_names_of_codes():
    assert (error_name(14), error_name(200)) == ("SLOW_CONSUMER", "code 200")


def test_what_a_longer_result_ends_with_is_no_other_one():
    plain = result(Outcome.ACCEPTED)
    data = bytes((plain[0], plain[1] + 1)) + plain[2:] + b"\x02"
    assert read_results(data) == Read(b"\x01", b"")

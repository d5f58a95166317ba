"""Error replies of Redis: what each means, and where a redirection points to."""

import pytest

from tickstorm.auction.redis_replies import (
    Address,
    Meaning,
    Redirection,
    Refused,
    read_redirection,
    read_time_ms,
)

ASKED = Address("here", 7000)

MEANINGS = {
    "NOSCRIPT No matching script. Please use EVAL.": Meaning.LOAD,
    "MOVED 3999 127.0.0.1:6381": Meaning.MOVED,
    "ASK 3999 127.0.0.1:6381": Meaning.ASK,
    "TRYAGAIN Multiple keys request during rehashing of slot": Meaning.MOVING,
    "LOADING Redis is loading the dataset in memory": Meaning.LATER,
    "OOM command not allowed when used memory > 'maxmemory'.": Meaning.LATER,
    "PASTDUE 1763788888123 this was to begin earlier": Meaning.PAST,
    "READONLY You can't write against a read only replica.": Meaning.ELSEWHERE,
    "NOAUTH Authentication required.": Meaning.ELSEWHERE,
    "ERR user_script:12: attempt to compare nil with number": Meaning.UNKNOWN,
    "WRONGTYPE Operation against a key holding the wrong kind of value": Meaning.UNKNOWN,
    "": Meaning.UNKNOWN,
}


REDIS_6 = "ERR Error running script (call to f_4f01): @user_script:1: "


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("@user_script: 1: -OOM command not allowed when used memory > 'maxmemory'.", "LATER"),
        ("@user_script: 1: -READONLY You can't write against a read only replica.", "ELSEWHERE"),
        ("ERR value is not an integer or out of range", "UNKNOWN"),
        ("@user_script: 1: The user executing the script can't run this command", "UNKNOWN"),
    ],
)
def test_what_an_error_within_a_script_means_before_redis_7(text, meaning):
    refused = Refused(REDIS_6 + text)
    assert refused.meaning is Meaning[meaning]
    if refused.meaning is not Meaning.UNKNOWN:
        assert str(refused) == text.partition("-")[2]


@pytest.mark.parametrize("text", MEANINGS)
def test_what_an_error_means(text):
    assert Refused(text).meaning is MEANINGS[text]
    assert str(Refused(text)) == text


def test_what_came_too_late_is_told_the_time():
    assert read_time_ms(Refused("PASTDUE 1763788888123 this was to begin earlier")) == 1763788888123
    for text in ("PASTDUE", "PASTDUE this was"):
        with pytest.raises(ValueError, match=r"."):
            read_time_ms(Refused(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("MOVED 3999 127.0.0.1:6381", Redirection(3999, Address("127.0.0.1", 6381))),
        ("ASK 0 ::1:6381", Redirection(0, Address("::1", 6381))),
        ("MOVED 16383 node.example:1", Redirection(16383, Address("node.example", 1))),
        ("MOVED 1 :6381", Redirection(1, Address("here", 6381))),
    ],
)
def test_where_a_redirection_points_to(text, expected):
    assert read_redirection(Refused(text), ASKED) == expected


@pytest.mark.parametrize("text", ["MOVED", "MOVED 1", "MOVED x a:1", "MOVED 1 a", "MOVED 1 a:b"])
def test_a_redirection_to_nowhere(text):
    with pytest.raises(ValueError, match=r"."):
        read_redirection(Refused(text), ASKED)

"""The log: one entry an event, whatever the event; levels; and no secrets."""

import io
import json
import subprocess
import sys
from enum import Enum
from typing import NamedTuple

import pytest
from twisted.internet.address import IPv4Address
from twisted.logger import (
    ILogObserver,
    InvalidLogLevelError,
    LegacyLogObserverWrapper,
    Logger,
    LogLevel,
    LogPublisher,
)
from twisted.logger._legacy import publishToNewObserver
from twisted.python.components import Componentized
from twisted.python.failure import Failure
from twisted.python.log import textFromEventDict
from zope.interface.verify import verifyObject

from tickstorm.log import Threshold, json_line, log_to, observer, text_line
from tickstorm.messages import Login

TIME = 1_700_000_000.1234
STAMP = "2023-11-14T22:13:20.123Z"


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Broken:
    def __repr__(self):
        raise ValueError("no picture of me")


class Endless(NamedTuple):
    password: str

    def __repr__(self):
        return "Endless(<hidden>)"


class Colour(Enum):
    RED = 1


def event(format="it happened", level=LogLevel.info, **fields):
    return {
        "log_time": TIME,
        "log_level": level,
        "log_namespace": "tickstorm.test",
        "log_format": format,
        **fields,
    }


def failure(error):
    try:
        raise error
    except type(error):
        return Failure()


def entry(event):
    line = json_line(event)
    assert line.isascii()
    assert "\n" not in line
    return json.loads(line)


def fields(**given):
    found = entry(event(**given))
    assert list(found)[:4] == ["time", "level", "logger", "message"]
    return dict(list(found.items())[4:])


def legacy(*message, **fields):
    """What an observer gets of twisted.python.log.msg."""
    events = []
    old = {"message": message, "time": TIME, "system": "-", "isError": 0, **fields}
    publishToNewObserver(events.append, old, textFromEventDict)
    return events[0]


# JSON.


def test_an_event_as_json():
    happened = event("{connection} of {peer} ended: {code}", connection=7, peer="::1", code="X")
    assert entry(happened) == {
        "time": STAMP,
        "level": "info",
        "logger": "tickstorm.test",
        "message": "7 of ::1 ended: X",
        "connection": 7,
        "peer": "::1",
        "code": "X",
    }


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (None, None),
        (True, True),
        (-1, -1),
        (2**63, 2**63),
        (2**64, "0x10000000000000000"),
        (1.5, 1.5),
        (float("nan"), "nan"),
        (float("-inf"), "-inf"),
        ("a\nb\u2028\ud800\x00", "a\nb\u2028\ud800\x00"),
        (b"\xff\n", r"b'\xff\n'"),
        (Colour.RED, "<Colour.RED: 1>"),
        ([1, (b"x", {"a": None})], [1, ["b'x'", {"a": None}]]),
        ({1: 2, (3,): 4, b"k": 5}, {"1": 2, "(3,)": 4, "b'k'": 5}),
        ([[[[[1]]]]], [[[["..."]]]]),
        (IPv4Address("TCP", "::1", 1), "IPv4Address(type='TCP', host='::1', port=1)"),
    ],
)
def test_a_field_is_written_as_it_is_or_as_python_shows_it(value, written):
    assert fields(field=value) == {"field": written}


def test_a_number_too_long_for_decimals_is_written():
    assert fields(field=10**6000) == {"field": hex(10**6000)}


def test_what_cannot_be_shown_is_named():
    assert "Broken" in fields(field=Broken())["field"]
    assert "Broken" in fields(format="{field}", field=Broken())["field"]


def test_what_contains_itself_ends():
    endless = []
    endless.append(endless)
    assert fields(field=endless) == {"field": [[[["..."]]]]}


def test_no_field_takes_the_place_of_ours():
    found = entry(event(time="never", level=9, logger="x", message="y", failure="z", why="kept"))
    assert found == {
        "time": STAMP,
        "level": "info",
        "logger": "tickstorm.test",
        "message": "it happened",
        "why": "kept",
    }


def test_a_failure_is_one_field():
    found = entry(event(level=LogLevel.critical, log_failure=failure(ValueError("bad\nnews"))))
    traceback = found.pop("failure").splitlines()
    assert traceback[0] == "Traceback (most recent call last):"
    assert traceback[-2:] == ["builtins.ValueError: bad", "news"]
    assert found == {
        "time": STAMP,
        "level": "critical",
        "logger": "tickstorm.test",
        "message": "it happened",
    }


@pytest.mark.parametrize(
    "broken", ["{missing}", "{field.missing}", "{", "{field!x}", "{0}", 7, b"\xff"]
)
def test_a_format_that_does_not_work_still_makes_an_entry(broken):
    found = entry(event(broken, field=1))
    assert found["message"]
    assert found["field"] == 1


@pytest.mark.parametrize("odd", [{}, {"log_time": "noon"}, {"log_time": 1e300}, {"log_time": None}])
def test_an_event_that_lacks_everything(odd):
    assert entry(odd) == {"time": None, "level": "info", "logger": "-", "message": ""}


def test_an_odd_level_counts_as_info():
    assert entry(event(level="loud"))["level"] == "info"
    assert entry(event(level=[]))["level"] == "info"


# Events of twisted.python.log.


def test_a_message_of_the_old_log():
    assert entry(legacy("Starting factory", connection=3)) == {
        "time": STAMP,
        "level": "info",
        "logger": "log_legacy",
        "message": "Starting factory",
        "connection": 3,
    }


def test_an_error_of_the_old_log():
    found = entry(legacy(failure=failure(KeyError("k")), why="it broke", isError=1))
    assert found.pop("failure").endswith("builtins.KeyError: 'k'")
    assert found == {
        "time": STAMP,
        "level": "critical",
        "logger": "log_legacy",
        "message": "it broke",
    }


def test_an_event_that_an_old_observer_has_seen():
    seen = event("{field} happened", field="it")
    LegacyLogObserverWrapper(lambda _: None)(seen)
    assert entry(seen) == {
        "time": STAMP,
        "level": "info",
        "logger": "tickstorm.test",
        "message": "it happened",
        "field": "it",
    }


# Secrets.


@pytest.mark.parametrize(
    "name",
    [
        "password",
        "PASSWORD",
        "AUTH_PASSWORD",
        "STREAM_PASS",
        "passwd",
        "passphrase",
        "token",
        "api_token",
        "client_secret",
        "credentials",
        "private_key",
    ],
)
@pytest.mark.parametrize("write", [json_line, text_line])
def test_what_is_named_like_a_secret_is_masked(name, write):
    happened = event(
        f"it is {{{name}}}, {{config[{name}]}}", **{name: "hunter2"}, config={name: "hunter2"}
    )
    line = write(happened)
    assert "it is ***, ***" in line
    assert "hunter2" not in line


def test_other_names_are_not():
    assert fields(passenger="a", passes=1, path="b") == {"passenger": "a", "passes": 1, "path": "b"}


@pytest.mark.parametrize("write", [json_line, text_line])
@pytest.mark.parametrize(
    "hidden",
    [
        [{"deep": ({"token": "hunter2"},)}],
        {b"password": "hunter2"},
        [[[[{"password": "hunter2"}]]]],
        Login("alice", "hunter2"),
        Endless("hunter2"),
    ],
)
def test_a_secret_inside_a_field_is_masked(write, hidden):
    assert "hunter2" not in write(event("{field}", field=hidden))
    assert "hunter2" not in write(event("{missing}", field=hidden))


def test_the_event_itself_is_left_as_it_was():
    happened = event(password="hunter2", config={"password": "hunter2"})
    json_line(happened)
    assert (happened["password"], happened["config"]) == ("hunter2", {"password": "hunter2"})


# Text.


def test_an_event_as_text():
    happened = event(
        "{code} of\n{peer}", LogLevel.warn, code="X\x1b[2J\u2028", peer="::1", connection=7
    )
    assert text_line(happened) == (
        rf"{STAMP} warn     tickstorm.test: X\x1b[2J\u2028 of\n::1 connection=7"
    )


def test_a_traceback_as_text_stands_below_and_indented():
    lines = text_line(event(log_failure=failure(ValueError("bad\n2023 info fake")))).split("\n")
    assert lines[0] == f"{STAMP} info     tickstorm.test: it happened"
    assert all(line.startswith("    ") for line in lines[1:])
    assert lines[-2:] == ["    builtins.ValueError: bad", "    2023 info fake"]


def test_an_event_without_a_time_as_text():
    assert text_line({"log_format": "hello"}) == "- info     -: hello"


@pytest.mark.parametrize(
    ("level", "word"),
    [
        ("info", "info    "),
        ("warn", "\x1b[33mwarn    \x1b[0m"),
        ("critical", "\x1b[31mcritical\x1b[0m"),
    ],
)
def test_a_terminal_gets_colours(level, word):
    stream = Terminal()
    observer(stream, "text", Threshold("info"))(event(level=LogLevel.levelWithName(level)))
    assert stream.getvalue() == f"{STAMP} {word} tickstorm.test: it happened\n"


def test_what_a_stream_cannot_encode_is_escaped():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "ascii")
    observer(stream, "text", Threshold("info"))(event("caf\xe9 \ud800"))
    assert raw.getvalue().decode() == rf"{STAMP} info     tickstorm.test: caf\xe9 \ud800" + "\n"


# The observer.


@pytest.mark.parametrize("format", ["json", "text"])
def test_every_event_becomes_one_entry(format):
    stream = io.StringIO()
    write = observer(stream, format, Threshold("debug"))
    assert verifyObject(ILogObserver, write)
    for odd in (event("a\nb"), {}, event(field="\n" * 9), event("{"), event(field=Broken())):
        write(odd)
    assert len(stream.getvalue().splitlines()) == 5


class Unhashable(str):
    """A name of a field that breaks whoever sorts by it."""

    def startswith(self, *_):
        raise ValueError("not today")

    def __str__(self):
        return self


@pytest.mark.parametrize("format", ["json", "text"])
def test_an_event_that_cannot_be_written_leaves_a_trace(format):
    stream = io.StringIO()
    observer(stream, format, Threshold("info"))({**event(), Unhashable("x"): 1})
    assert "an event could not be written: " in stream.getvalue()
    assert "not today" in stream.getvalue()


@pytest.mark.parametrize(
    ("least", "written"),
    [
        ("debug", ["debug", "info", "warn", "error", "critical", "odd"]),
        ("info", ["info", "warn", "error", "critical", "odd"]),
        ("warn", ["warn", "error", "critical"]),
        ("error", ["error", "critical"]),
        ("critical", ["critical"]),
    ],
)
def test_levels_below_are_left_out(least, written):
    stream = io.StringIO()
    write = observer(stream, "json", Threshold(least))
    for level in LogLevel.iterconstants():
        write(event(level.name, level))
    write(event("odd", "loud"))
    assert [json.loads(line)["message"] for line in stream.getvalue().splitlines()] == written


def test_an_unknown_level_is_refused():
    with pytest.raises(InvalidLogLevelError):
        observer(io.StringIO(), "json", Threshold("loud"))


def test_a_logger_of_twisted_writes_through_it():
    stream = io.StringIO()
    log = Logger(
        "tickstorm.factory", observer=LogPublisher(observer(stream, "json", Threshold("info")))
    )
    log.warn("connection {connection} ended", connection=4)
    log.debug("unseen")
    found = json.loads(stream.getvalue())
    assert (found["logger"], found["message"]) == ("tickstorm.factory", "connection 4 ended")
    assert found["connection"] == 4


def test_twistd_finds_the_observer_on_the_application():
    application, written = Componentized(), observer(io.StringIO(), "json", Threshold("info"))
    log_to(application, written)
    assert application.getComponent(ILogObserver) is written


TWISTD = """
import sys
from twisted.application.app import AppLogger
from twisted.application.service import Application
from twisted.python import log
from tickstorm.log import Threshold, log_to, observer
application = Application("tickstorm")
log_to(application, observer(sys.stdout, "json", Threshold("info")))
logger = AppLogger({})
logger.start(application)
print("printed\\nlines")
log.msg("old", password="hunter2")
try:
    1 / 0
except ZeroDivisionError:
    log.err(None, "broken")
logger.stop()
"""


@pytest.mark.real
def test_what_twistd_logs_is_one_object_a_line():
    done = subprocess.run([sys.executable, "-c", TWISTD], capture_output=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert b"hunter2" not in done.stdout + done.stderr
    messages = [each["message"] for each in found]
    assert messages[0].startswith("twistd ")
    assert messages[2:] == ["printed", "lines", "old", "broken", "Server Shut Down."]
    assert found[5]["failure"].endswith("builtins.ZeroDivisionError: division by zero")
    assert {each["level"] for each in found} == {"info", "critical"}

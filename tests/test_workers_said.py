"""A worker's log: what it says there is said by the parent, whatever is in it, and no secret is."""

import json
from contextlib import contextmanager

import pytest
from twisted.logger import (
    Logger,
    LogLevel,
    LogPublisher,
    globalLogPublisher,
)
from twisted.python.failure import Failure
from twisted.python.log import LogPublisher as LegacyPublisher

from tickstorm.log import SAID_FORMAT, Threshold, json_line, text_line
from tickstorm.workers.link import LinkDecoder, Said, control
from tickstorm.workers.said import said_observer, say


def said_by(event, level="debug"):
    """What a worker's observer makes of an event."""
    said = []
    said_observer(said.append, Threshold(level))(event)
    return said


def emitted(level, format, **fields):
    """An event as a worker's code emits it."""
    events = []
    logger = Logger("tickstorm.somewhere", observer=events.append)
    logger.emit(level, format, **fields)
    (event,) = events
    return event


@contextmanager
def heard():
    """The events that the parent's log gets."""
    events = []
    globalLogPublisher.addObserver(events.append)
    try:
        yield events
    finally:
        globalLogPublisher.removeObserver(events.append)


def passed(event):
    """The parent's event of a worker's, after it has crossed the link."""
    (said,) = said_by(event)
    (arrived,) = LinkDecoder().receive(control(said))
    with heard() as events:
        say(arrived, 3)
    (theirs,) = events
    return theirs


def written(event):
    """The parent's line of a worker's event."""
    line = json.loads(json_line(passed(event)))
    del line["time"]
    return line


def test_it_is_said_with_its_level_and_place_and_worker():
    event = emitted(LogLevel.warn, "{count} of {what}", count=3, what="them")
    assert said_by(event) == [
        Said(
            "warn",
            "tickstorm.somewhere",
            "3 of them",
            {"count": 3, "what": "them", SAID_FORMAT: "{count} of {what}"},
        )
    ]
    assert written(event) == {
        "level": "warn",
        "logger": "tickstorm.somewhere",
        "message": "3 of them",
        "count": 3,
        "what": "them",
        "text": "3 of them",
        "worker": 3,
    }


def test_as_text_only_what_it_did_not_show_stands_behind_it():
    event = emitted(
        LogLevel.warn, "{code} of {peer!r}", code="SLOW", peer="::1", connection=7, empty=""
    )
    of_one_process = text_line(event).partition(" ")[2]
    assert of_one_process == "warn     tickstorm.somewhere: SLOW of '::1' connection=7 empty="
    assert sorted(text_line(passed(event)).split()[1:]) == sorted(
        [*of_one_process.split(), "worker=3"]
    )


@pytest.mark.parametrize("level", ["debug", "info", "warn", "error", "critical"])
def test_only_what_the_level_asks_for_is_said(level):
    said = []
    observer = said_observer(said.append, Threshold(level))
    levels = list(LogLevel.iterconstants())
    for each in levels:
        observer(emitted(each, "text"))
    least = levels.index(LogLevel.levelWithName(level))
    assert [each.level for each in said] == [each.name for each in levels[least:]]


def test_only_plain_values_cross():
    event = emitted(
        LogLevel.info,
        "text",
        text_="a",
        whole=1,
        part=0.5,
        truth=True,
        none=None,
        bytes_=b"no",
        sequence=[1],
        object_=object(),
    )
    (said,) = said_by(event)
    del said.fields[SAID_FORMAT]
    assert said.fields == {"text_": "a", "whole": 1, "part": 0.5, "truth": True, "none": None}


@pytest.mark.parametrize("name", ["text", "worker", "level", "format"])
def test_a_field_that_is_named_like_ours_cannot_stand_for_it(name):
    event = emitted(LogLevel.info, "the text")
    event[name] = "x"
    theirs = passed(event)
    assert (theirs["text"], theirs["worker"]) == ("the text", 3)
    assert theirs["log_level"] is LogLevel.info
    assert theirs["log_format"] == "{text}"


def test_nor_one_that_is_named_like_the_log_s_own():
    event = emitted(LogLevel.info, "the text")
    event["log_mine"] = "x"
    event["log_system"] = "y"
    theirs = passed(event)
    assert "log_mine" not in theirs
    assert theirs["log_namespace"] == "tickstorm.somewhere"


def test_a_text_with_braces_is_no_format():
    theirs = passed(emitted(LogLevel.info, "{what}", what="{worker} {nothing}"))
    assert json.loads(json_line(theirs))["message"] == "{worker} {nothing}"


def test_a_failure_is_said_with_its_traceback():
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        event = emitted(LogLevel.critical, "it failed", log_failure=Failure())
    (said,) = said_by(event)
    assert said.text == "it failed"
    traceback = said.fields.pop("traceback")
    assert "ZeroDivisionError: division by zero" in traceback
    assert "test_workers_said.py" in traceback
    assert said.fields == {SAID_FORMAT: "it failed"}
    assert written(event)["traceback"] == traceback


def test_a_traceback_shows_no_variables():
    password = "hunter-2"
    try:
        _ = 1 / (len(password) - 8)
    except ZeroDivisionError:
        event = emitted(LogLevel.critical, "it failed", log_failure=Failure())
    assert "hunter-2" not in repr(said_by(event))


def test_a_message_of_the_older_log_is_said_too():
    said = []
    legacy = LegacyPublisher(
        observerPublisher=(publisher := LogPublisher()), publishPublisher=publisher
    )
    publisher.addObserver(said_observer(said.append, Threshold("info")))
    legacy.msg("some", "words", system="somebody")
    (one,) = said
    assert (one.level, one.text) == ("info", "some words")
    with heard() as events:
        say(one, 3)
    assert json.loads(json_line(events[0]))["message"] == "some words"


def test_what_cannot_be_formatted_is_said_all_the_same():
    (said,) = said_by(emitted(LogLevel.info, "{missing}"))
    assert "missing" in said.text


@pytest.mark.parametrize("missing", ["log_level", "log_namespace"])
def test_an_event_without_a_level_or_a_place_is_no_error(missing):
    event = emitted(LogLevel.info, "text")
    del event[missing]
    (said,) = said_by(event)
    assert (said.level, said.text) == ("info", "text")


# Secrets.


def test_a_secret_in_a_field_is_masked_by_the_parent_s_log():
    line = written(emitted(LogLevel.info, "somebody came", password="hunter-2"))
    assert line["password"] == "***"

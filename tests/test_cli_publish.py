"""`tickstorm publish`: what it reads, what it is told, and what it says."""

import io
import os

import pytest
from click.testing import CliRunner
from rich.console import Console
from test_cli_publishing import lines
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactor, MemoryReactorClock
from twisted.python.failure import Failure

from tickstorm.cli import main
from tickstorm.client import Admitted, Disconnected, Totals
from tickstorm.commands.file_reader import FileReader
from tickstorm.commands.publish import (
    Input,
    Request,
    _arguments,
    _input,
    _opened,
    _publishing,
    _tell,
    _told,
)
from tickstorm.commands.publish_progress import showing, summary
from tickstorm.commands.publishing import NotPublished
from tickstorm.commands.stream_options import DEFAULT_ADDRESS
from tickstorm.commands.tick_input import TickInput

# The reader.


def test_a_reader_reads_once_a_call():
    reactor, taken = MemoryReactor(), []
    descriptor, other = os.pipe()
    reader = FileReader(reactor, descriptor, taken.append, taken.append)
    reader.resume()
    assert reactor.readers == {reader}
    os.write(other, b"abc")
    reader.doRead()
    assert (taken, reactor.readers) == ([b"abc"], set())
    os.close(other)
    reader.resume()
    reader.doRead()
    reader.connectionLost(Failure(Exception()))
    assert taken == [b"abc", b"", b""]
    os.close(descriptor)


def test_a_reader_tells_what_went_wrong():
    taken = []
    descriptor = os.open("/", os.O_RDONLY)
    FileReader(MemoryReactor(), descriptor, taken.append, taken.append).doRead()
    os.close(descriptor)
    assert [type(error) for error in taken] == [IsADirectoryError]


# The command.


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ((), (DEFAULT_ADDRESS, "-")),
        (("-",), (DEFAULT_ADDRESS, "-")),
        (("day.csv",), (DEFAULT_ADDRESS, "day.csv")),
        (("host:8080",), ("host:8080", "-")),
        (("host:8080", "day.csv"), ("host:8080", "day.csv")),
    ],
)
def test_one_argument_alone_is_what_it_looks_like(arguments, found):
    assert _arguments(arguments) == found


def test_a_file_with_a_colon_in_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:1").touch()
    assert _arguments(("a:1",)) == (DEFAULT_ADDRESS, "a:1")


LOGIN = {"STREAM_USER": "u", "STREAM_PASS": "p"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("a", "b", "c"), 2, "Got unexpected extra argument (c)"),
        (("/nonexistent.csv",), 1, "Error: /nonexistent.csv: No such file or directory"),
        (("/tmp",), 1, "Error: /tmp: it is a directory"),
        (("x.csv", "--format", "xml"), 2, "'xml' is not one of 'csv', 'json'."),
    ],
)
def test_mistakes_are_one_line(arguments, code, words):
    done = CliRunner().invoke(main, ["publish", *arguments], env=LOGIN)
    assert (done.exit_code, done.stdout) == (code, "")
    assert words in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("127.0.0.1", "Unknown endpoint type: '127.0.0.1'"),
        ("foo:bar", "Unknown endpoint type: 'foo'"),
        ("localhost:", "Unknown endpoint type: 'localhost'"),
        ("localhost:99999", "port '99999' is not 1 to 65535"),
    ],
)
def test_an_address_that_is_none_is_one_line(tmp_path, address, why):
    file = tmp_path / "day.csv"
    file.write_bytes(lines(1))
    done = CliRunner().invoke(main, ["publish", address, str(file)], env=LOGIN)
    assert (done.exit_code, done.stdout, done.stderr) == (
        1,
        "",
        f"tickstorm: address {address!r}: {why}\n",
    )


def test_the_summary():
    assert summary(Totals(1_500_000, 1501, 1), 12.0) == (
        "1,500,000 ticks, 1,501 requests, 12.0 s, 125,000 ticks/s, 1 repeated"
    )
    assert summary(Totals(), 0.0) == "0 ticks, 0 requests, 0.0 s, 0 ticks/s, 0 repeated"


def test_progress_is_for_terminals():
    for is_terminal, shown in ((False, False), (True, True)):
        output = io.StringIO()
        console = Console(file=output, force_terminal=is_terminal, width=80)
        with showing(console, 100) as show:
            show(50, Totals(7))
        assert ("7 ticks" in output.getvalue()) is shown


# What is told.


def told(raises=None, code=0):
    """The exit code of a run, and what was said of it."""
    said = []

    def run():
        if raises is not None:
            raise raises
        return code

    return _told(run, lambda: Totals(1_007, 2, 0), said.append), said


@pytest.mark.parametrize("code", [0, 130])
def test_a_run_that_ends_well_says_nothing_of_itself(code):
    assert told(code=code) == (code, [])


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            NotPublished("in, line 3: NOT_PERMITTED: no"),
            "tickstorm: in, line 3: NOT_PERMITTED: no; 1,007 ticks published before",
        ),
        (OSError(28, "no space"), "tickstorm: [Errno 28] no space; 1,007 ticks published before"),
    ],
)
def test_an_error_is_one_line_that_says_how_far_it_came(error, line):
    assert told(raises=error) == (1, [line])


def test_a_bug_is_no_line():
    with pytest.raises(ZeroDivisionError):
        told(raises=ZeroDivisionError())


@pytest.mark.parametrize(
    ("event", "said"),
    [
        (Disconnected(OSError("gone"), 1.5), ["tickstorm: disconnected, again in 1.5 s: gone"]),
        (Disconnected(OSError("gone"), None), []),
        (Admitted("epoch-1", 15.0, 20.0), []),
    ],
)
def test_a_connection_that_is_made_again_is_told(event, said):
    lines_said = []
    _tell(event, lines_said.append)
    assert lines_said == said


def test_a_file_has_a_size_and_is_closed_behind_its_end(tmp_path):
    file = tmp_path / "day.csv"
    file.write_bytes(b"12345")
    with _opened(str(file)) as given:
        assert given == Input(str(file), given.descriptor, 5)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(given.descriptor)


def test_a_pipe_has_no_size():
    ours, theirs = os.pipe()
    assert _input("standard input", ours) == Input("standard input", ours, None)
    os.close(ours)
    os.close(theirs)


def test_who_interrupts_what_is_under_way_is_told_of_the_wait(tmp_path):
    file, reactor, said = tmp_path / "day.csv", MemoryReactorClock(), []
    file.write_bytes(lines(1))
    with _opened(str(file)) as given:
        publishing = _publishing(
            reactor,
            Request("127.0.0.1:8080", "u", "p"),
            given,
            TickInput(given.name, None),
            show=lambda *_: None,
            say=said.append,
        )
        Deferred.fromCoroutine(publishing.run())
        (reader,) = reactor.readers
        reader.doRead()
        publishing.stop()
    assert said == [
        "tickstorm: waiting at most 5 s for the answers to what is under way; "
        "Ctrl-C ends it at once"
    ]
    reactor.advance(10)

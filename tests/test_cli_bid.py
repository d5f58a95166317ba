"""`tickstorm bid`: one bid, bids by line, bids that are typed; in memory, over the real server."""

import io
import os
import pty
import termios
from decimal import Decimal

import pytest
from bidders import Scene
from bidding import Server
from click.testing import CliRunner
from conversation import USER
from scripted import result
from twisted.internet.defer import Deferred

from tickstorm.auction.interfaces import AnswerLost, StoreUnavailable
from tickstorm.cli import main
from tickstorm.client.auction import Disconnected, Entered
from tickstorm.commands.bid import Login, _login, _note, _tell
from tickstorm.commands.bid_asking import Asking, BidLines, OneBid, Told
from tickstorm.commands.bid_board import BidBoard
from tickstorm.commands.bid_prompt import BidPrompt, Screen, keys_at_once, terminal_columns
from tickstorm.commands.input_lines import MAX_LINE, InputLines
from tickstorm.errors import InvalidAuth, InvalidSubscription, SourceError


def asking(scene, *, auction=1, user=7, timeout=10.0):
    return Asking(scene.bidder, scene.server.reactor, auction, user, timeout)


def asked(scene, amount, **options):
    """What is said of a bid, as soon as it is known."""
    return Deferred.fromCoroutine(asking(scene, **options).tell(Decimal(amount)))


@pytest.fixture(name="scenes", autouse=True)
def end_scenes():
    """Have what still runs behind a test come to its end."""
    Scene.made.clear()
    yield
    for scene in Scene.made:
        scene.end()


# What is said of a bid.


def test_one_that_leads_and_one_that_does_not():
    scene = Scene()
    calls = [asked(scene, 5), asked(scene, 4)]
    scene.connect()
    assert [result(call) for call in calls] == [
        Told("you lead with 5.00", 0),
        Told("too low: at least 5.01", 1),
    ]


def test_of_a_closed_auction_it_is_said_how_it_has_ended():
    scene = Scene()
    scene.bid(5, user=8)
    scene.connect()
    scene.store.close(1)
    call = asked(scene, 6)
    scene.go_on()
    assert result(call) == Told("closed: sold to user 8 for 5.00", 1)


def test_how_it_has_ended_is_not_waited_for_without_end():
    scene = Scene()
    scene.store.close(1)
    call = asked(scene, 6)
    road = scene.connect_only()
    road.up()
    road.down()
    road.cut()
    for _ in range(10):
        scene.server.advance(1.0)
        if scene.dials():
            scene.endpoint.refuse()
    assert result(call) == Told("closed", 1)


def test_one_that_had_no_effect_in_its_time():
    scene = Scene(Server(slow=True))
    call = asked(scene, 5, timeout=0.1)
    scene.connect()
    scene.store.fail(StoreUnavailable("away"))
    scene.go_on()
    assert result(call) == Told("not possible now, and without effect: try again in 0.5 s", 2)


def test_one_that_may_count_is_not_waited_for_without_end():
    scene = Scene(Server(slow=True))
    call = Deferred.fromCoroutine(asking(scene, timeout=1.0).tell(Decimal(5), 77))
    scene.connect()
    scene.store.fail(AnswerLost("away", 60_000))
    scene.go_on(1.5)
    assert not call.called
    scene.go_on(5.0)
    line = "the bidder was closed before all was answered; whether bid 77 counts is not known"
    assert result(call) == Told(line, 2)


# One bid.


def one(scene, amount=5, bid_id=0):
    said = []
    running = OneBid(asking(scene), Decimal(amount), bid_id, said.append)
    scene.runs.append(running)
    return running, said, Deferred.fromCoroutine(running.run())


def test_one_bid():
    scene = Scene()
    running, said, done = one(scene)
    scene.connect()
    assert (said, running.code, done.called) == (["you lead with 5.00"], 0, True)
    assert scene.server.left_behind() == {}


def test_one_bid_that_is_asked_for_again():
    scene = Scene()
    scene.bid(5, bid_id=77)
    running, said, _ = one(scene, amount=6, bid_id=77)
    scene.connect()
    assert (said, running.code) == (["you lead with 5.00"], 0)


def test_one_bid_that_is_stopped_before_it_is_sent():
    scene = Scene()
    running, said, done = one(scene)
    running.stop()
    assert (said, running.code, done.called) == (
        ["the bidder was closed; the bid had no effect"],
        2,
        True,
    )


def test_one_bid_with_a_wrong_password():
    scene = Scene(Server(with_login=True), username=USER, password="wrong")
    _, said, done = one(scene)
    scene.connect()
    assert (said, type(result(done))) == ([], InvalidAuth)


# By line.


class Pipe:
    """A reader that is told what it reads."""

    def __init__(self):
        self.wanted = False

    def __call__(self, take, failed):
        self._take, self._failed = take, failed
        return self

    def resume(self):
        self.wanted = True

    def stop(self):
        self.wanted = False

    def give(self, data):
        assert self.wanted
        self.wanted = False
        self._take(data)

    def fail(self, error):
        self._failed(error)


@pytest.fixture(name="pipe")
def make_pipe():
    return Pipe()


def lines(scene, pipe):
    said = []
    running = BidLines(asking(scene, timeout=0.1), InputLines(pipe), said.append)
    scene.runs.append(running)
    return running, said, Deferred.fromCoroutine(running.run())


def test_each_line_is_bid_when_the_one_before_is_answered(pipe):
    scene = Scene()
    running, said, done = lines(scene, pipe)
    pipe.give(b"5\n\n 4 \r\n6")
    assert (said, pipe.wanted) == ([], False)
    scene.connect()
    scene.go_on()
    assert (said, pipe.wanted) == (["you lead with 5.00", "too low: at least 5.01"], True)
    pipe.give(b".5")
    pipe.give(b"")
    scene.go_on()
    assert said[2:] == ["you lead with 6.50"]
    assert (running.code, result(done)) == (0, None)


def test_a_line_that_is_no_amount_is_the_end(pipe):
    scene = Scene()
    _, said, done = lines(scene, pipe)
    pipe.give(b"5\n\x1bx\n6\n")
    scene.connect()
    scene.go_on()
    error = result(done)
    assert (said, type(error)) == (["you lead with 5.00"], SourceError)
    assert str(error).startswith("standard input, line 2: '\\x1bx' is not an amount")


def test_behind_one_that_is_not_decided_nothing_is_bid(pipe):
    scene = Scene(Server(slow=True))
    running, said, done = lines(scene, pipe)
    pipe.give(b"5\n6\n")
    scene.connect()
    scene.store.fail(StoreUnavailable("away"))
    scene.go_on()
    assert (len(said), running.code, done.called, scene.store.sizes) == (1, 2, True, [])


def test_an_empty_input_bids_nothing(pipe):
    scene = Scene()
    running, said, done = lines(scene, pipe)
    pipe.give(b"")
    assert (said, running.code, done.called, scene.dials()) == ([], 2, True, False)


def test_who_stops_reads_no_more(pipe):
    scene = Scene()
    _, said, done = lines(scene, pipe)
    pipe.give(b"5\n6\n")
    scene.connect()
    running, said, done = lines(Scene(scene.server), pipe)
    running.stop()
    assert (said, result(done), pipe.wanted) == ([], None, False)


def test_an_input_that_cannot_be_read(pipe):
    _, _, done = lines(Scene(), pipe)
    pipe.fail(OSError(5, "Input/output error"))
    assert str(result(done)) == "standard input: Input/output error"


def test_a_line_that_does_not_end(pipe):
    _, _, done = lines(Scene(), pipe)
    pipe.give(b"1" * (MAX_LINE + 1))
    assert str(result(done)) == "a line of the input is over 256 bytes"


# On a terminal.


class Terminal:
    """A prompt, what is typed, and what the terminal shows."""

    def __init__(self, scene, *, auction=1, columns=80):
        self.scene = scene
        self.keys = Pipe()
        self._shown = io.StringIO()
        self.board = BidBoard(auction, 7)
        self.prompt = BidPrompt(
            asking(scene, auction=auction),
            self.board,
            Screen(self._shown, lambda: columns),
            scheduler=scene.server.reactor,
            wall_ms=scene.server.clock.wall_ms,
            read=self.keys,
        )
        scene.runs.append(self.prompt)
        self.done = Deferred.fromCoroutine(self.prompt.run())

    def type(self, keys):
        self.keys.give(keys)
        self.scene.go_on()

    @property
    def lines(self):
        """What has scrolled up, and the line below."""
        *lines, last = [
            line.rpartition("\r\x1b[2K")[2] for line in self._shown.getvalue().split("\n")
        ]
        return lines, last


@pytest.fixture(name="terminal")
def make_terminal():
    terminal = Terminal(Scene())
    terminal.scene.connect()
    return terminal


def test_how_the_auction_stands_is_shown(terminal):
    assert terminal.lines == ([], "connecting, auction 1: no bid yet > ")


def test_what_is_typed_is_shown_and_bid(terminal):
    terminal.board.note(Entered(""))
    terminal.type(b"12.5")
    assert terminal.lines == ([], "auction 1: no bid yet > 12.5")
    terminal.type(b"0\n")
    assert terminal.lines == (
        ["bid 12.50", "you lead with 12.50"],
        "auction 1: 12.50 by you, next from 12.51, 1:00:00 left > ",
    )


def test_the_least_that_would_lead(terminal):
    terminal.scene.bid(20, user=8)
    terminal.scene.go_on()
    terminal.type(b"+\n")
    terminal.type(b"+\n")
    assert terminal.lines[0] == [
        "bid 20.01",
        "you lead with 20.01",
        "bid 20.02",
        "you lead with 20.02",
    ]


def test_the_least_is_learned_by_the_first_try():
    server = Server()
    server.open(2, start=500, increment=50)
    terminal = Terminal(Scene(server), auction=2)
    terminal.scene.connect()
    for _ in range(3):
        terminal.type(b"+\n")
    assert terminal.lines[0] == [
        "bid 0.01",
        "too low: at least 5.00",
        "bid 5.00",
        "you lead with 5.00",
        "bid 5.50",
        "you lead with 5.50",
    ]


def test_the_time_that_is_left_is_shown_again(terminal):
    terminal.type(b"5\n")
    for _ in range(61):
        terminal.scene.go_on(1.0)
    assert terminal.lines[1].endswith("58:59 left > ")


def test_another_leader_is_shown_at_once(terminal):
    rival = Scene(terminal.scene.server)
    rival.bid(5, user=8)
    rival.connect()
    terminal.scene.go_on()
    assert terminal.lines[1] == "connecting, auction 1: 5.00 by user 8 > "


def test_what_is_no_amount_is_not_bid(terminal):
    terminal.type(b"lots\n")
    terminal.type(b"\n")
    assert terminal.lines[0] == ["lots: type an amount such as 12.50, + or q"]
    assert terminal.scene.store.record(1, 0, 9).result == []


@pytest.mark.parametrize("keys", [b"q\n", b"\x04", b""])
def test_who_leaves_has_left(terminal, keys):
    terminal.type(keys)
    assert (result(terminal.done), terminal.lines[1], terminal.keys.wanted) == (None, "", False)
    assert terminal.scene.server.left_behind() == {}


def test_nothing_that_is_typed_behind_a_q_is_bid(terminal):
    terminal.type(b"q\n5\n")
    assert terminal.lines == ([], "")
    assert terminal.scene.store.record(1, 0, 9).result == []


def test_the_end_of_the_auction_is_the_end(terminal):
    terminal.type(b"5\n")
    terminal.scene.store.close(1)
    terminal.scene.go_on(1.0)
    assert terminal.lines[0][-1] == "closed: sold to you for 5.00"
    assert result(terminal.done) is None


def test_a_bid_that_may_count_is_waited_for_by_who_leaves():
    terminal = Terminal(Scene(Server(slow=True)))
    terminal.scene.connect()
    terminal.type(b"5\nq\n")
    assert not terminal.done.called
    terminal.scene.store.answer()
    terminal.scene.go_on()
    assert terminal.done.called
    assert terminal.lines[0] == ["bid 5.00", "you lead with 5.00"]


def test_a_bid_without_an_answer_is_told_to_who_leaves():
    terminal = Terminal(Scene(Server(slow=True)))
    terminal.scene.connect()
    terminal.type(b"5\nq\n")
    terminal.scene.go_on(5.0)
    terminal.scene.go_on(2.0)
    assert terminal.lines[0][-1].endswith(" counts is not known")
    assert terminal.done.called


def test_an_auction_that_is_not_there():
    terminal = Terminal(Scene(), auction=9)
    terminal.scene.connect()
    assert type(result(terminal.done)) is InvalidSubscription


def test_a_terminal_that_cannot_be_read(terminal):
    terminal.keys.fail(OSError(5, "gone"))
    terminal.scene.go_on()
    assert type(result(terminal.done)) is OSError


def test_who_is_stopped_leaves(terminal):
    terminal.prompt.stop()
    terminal.scene.go_on()
    assert result(terminal.done) is None


def test_a_narrow_terminal_shows_what_has_room():
    terminal = Terminal(Scene(), columns=30)
    terminal.scene.connect()
    terminal.board.note(Entered(""))
    terminal.type(b"12345.5")
    assert terminal.lines[1] == " > 12345.5"
    terminal.type(b"\x15")
    assert terminal.lines[1] == "auction 1: no bid yet > "


def test_a_terminal_is_as_it_was():
    ours, theirs = pty.openpty()
    before = termios.tcgetattr(theirs)
    with keys_at_once(theirs):
        assert not termios.tcgetattr(theirs)[3] & (termios.ECHO | termios.ICANON)
    assert termios.tcgetattr(theirs) == before
    assert terminal_columns(theirs) == 80
    os.close(ours)
    os.close(theirs)


# The command.

LOGIN = {"STREAM_USER": "u", "STREAM_PASS": "p"}


def run(*arguments, **options):
    done = CliRunner().invoke(main, ["bid", *arguments], **{"env": LOGIN, **options})
    return done.exit_code, done.stdout, done.stderr.splitlines()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "Missing argument 'ADDRESS'"),
        (("a:1", "x", "7"), "'x' is not a valid integer"),
        (("a:1", "1", "-7"), "No such option"),
        (("a:1", "1", "7", "0"), "'0' is too little"),
        (("a:1", "1", "7", "1.234"), "'1.234' is not an amount of 0"),
        (("a:1", "1", "7", "--bid-id", "5"), "--bid-id is of one bid: give its AMOUNT, too."),
        (("a:1", "1", "7", "5", "--timeout", "0"), "--timeout"),
    ],
)
def test_mistakes_are_told(arguments, words):
    code, output, errors = run(*arguments)
    assert (code, output) == (2, "")
    assert words in errors[-1]


def test_a_login_is_asked_for():
    code, _, errors = run("a:1", "1", "7", "5", env=dict.fromkeys(LOGIN))
    assert (code, errors[-1]) == (2, "Error: No user: give --user or set STREAM_USER.")


@pytest.mark.parametrize(
    ("address", "options", "why"),
    [
        ("127.0.0.1", (), "address '127.0.0.1': Unknown endpoint type: '127.0.0.1'"),
        ("a:1", ("--user", "a:b"), "there is a colon in the name"),
        ("a:1", ("--token", "a:b"), "there is a colon in the token"),
    ],
)
def test_what_cannot_be_tried_is_one_line(address, options, why):
    assert run(address, "1", "7", "5", *options) == (2, "", [f"tickstorm: {why}"])


@pytest.mark.parametrize(
    ("given", "login"),
    [
        (("u", "p", None, False), Login("u", "p")),
        (("u", "p", "t", False), Login(token="t")),
        (("u", "p", "t", True), Login()),
    ],
)
def test_the_login(given, login):
    user, password, token, none = given
    assert _login(user, password, token, none=none) == login


@pytest.mark.parametrize(
    ("event", "told"),
    [
        (Disconnected(OSError("gone\x1b"), 1.5), "disconnected, again in 1.5 s: gone\\x1b"),
        (Disconnected(OSError("gone"), None), None),
        (Entered("u"), None),
    ],
)
def test_a_connection_that_is_made_again_is_told(event, told, capsys):
    _tell(event)
    assert capsys.readouterr().err == ("" if told is None else f"tickstorm: {told}\n")


@pytest.mark.parametrize(
    ("event", "told", "line"),
    [
        (
            Disconnected(OSError("gone"), 1.5),
            "disconnected, again in 1.5 s: gone\n",
            "disconnected",
        ),
        (Disconnected(OSError("gone"), None), "", "disconnected"),
        (Entered("u"), "", "auction 1"),
    ],
)
def test_on_a_terminal_it_is_told_above_the_line(event, told, line):
    board, output = BidBoard(1, 7), io.StringIO()
    _note(board, Screen(output, lambda: 80), event)
    assert output.getvalue().removeprefix("\r\x1b[2K") == told
    assert board.line(0, 80).startswith(line)

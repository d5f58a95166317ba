"""`tickstorm record`: rows that `replay:` reads back, in a file that is whole after each flush."""

import gzip
import io
import os

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.cli import main
from tickstorm.client import Batch, Disconnected, Gap, ReceivedTick, Subscribed
from tickstorm.commands.record import Notes, Recording
from tickstorm.commands.recorder import MAX_HELD_BYTES, Recorder
from tickstorm.commands.recording_text import HEADER, Rows
from tickstorm.errors import InvalidAuth
from tickstorm.sources.recording import read_ticks
from tickstorm.sources.recording_file import read_recording
from tickstorm.ticks import MAX_PRICE, MAX_VOLUME, MIN_PRICE, Tick

NOW = 1_700_000_000_123_456_789


def tick(time_ns=NOW, symbol="AAPL", price=189.5, volume=10.0, *sides):
    return ReceivedTick(symbol, time_ns // 1_000_000, time_ns, price, volume, *sides)


def batch(*ticks, is_snapshot=False):
    return Batch(ticks, NOW // 1_000_000, 1, is_snapshot, NOW, NOW + 5)


def replayed(text):
    return list(read_ticks(text.encode().splitlines(), "recording"))


# Rows.


def test_rows_in_full():
    rows = Rows()
    assert list(rows.of(batch(tick(), tick(NOW + 1, "B", 0.0001, 0.0, 0.1, 1e6)))) == [
        "2023-11-14T22:13:20.123456789Z,AAPL,189.5,10,,\n",
        "2023-11-14T22:13:20.123456790Z,B,0.0001,0,0.1,1000000\n",
    ]
    assert (rows.written, rows.moved, rows.refused) == (2, 0, 0)


def test_a_batch_is_put_in_order_and_a_time_before_the_last_is_moved_to_it():
    rows = Rows()
    made = [*rows.of(batch(tick(NOW + 9), tick(NOW + 7))), *rows.of(batch(tick(NOW + 8)))]
    assert [found.timestamp_ns for found in replayed(HEADER + "".join(made))] == [
        NOW + 7,
        NOW + 9,
        NOW + 9,
    ]
    assert (rows.written, rows.moved) == (3, 1)


def test_a_tick_without_a_time_has_that_of_its_receipt():
    (row,) = Rows().of(batch(tick(0)))
    assert replayed(HEADER + row)[0].timestamp_ns == NOW + 5


@pytest.mark.parametrize(
    "bad", [tick(price=float("nan")), tick(symbol="a,b"), tick(volume=-1.0), tick(-5)]
)
def test_what_no_recording_can_hold_is_left_out(bad):
    rows = Rows()
    assert list(rows.of(batch(bad))) == []
    assert (rows.written, rows.refused) == (0, 1)


def test_a_snapshot_has_no_rows():
    assert list(Rows().of(batch(tick(), is_snapshot=True))) == []


def test_no_more_rows_than_wanted():
    rows = Rows()
    assert len(list(rows.of(batch(tick(), tick(), tick()), 2))) == 2
    assert rows.written == 2


prices = st.floats(MIN_PRICE, MAX_PRICE)
unknown = st.just(0.0)


@given(
    st.lists(
        st.builds(
            tick,
            st.integers(1, 2**63 - 1),
            st.from_regex(r"[A-Z0-9._-]{1,16}", fullmatch=True),
            prices,
            st.floats(0, MAX_VOLUME),
            prices | unknown,
            prices | unknown,
        ),
        min_size=1,
    )
)
def test_whatever_the_server_may_send_reads_back_as_it_was(ticks):
    text = HEADER + "".join(Rows().of(batch(*ticks)))
    assert replayed(text) == [
        Tick(t.symbol, t.price, t.volume, t.timestamp_ns, t.bid, t.ask)
        for t in sorted(ticks, key=lambda t: t.timestamp_ns)
    ]


# The file.


class Cut(io.BytesIO):
    """A file whose bytes are still there when it is closed."""

    def close(self):
        self.left = self.getvalue()
        super().close()


@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_is_whole_after_each_flush(tmp_path, compressed):
    path = tmp_path / "file"
    rows, made, wanted = Rows(), [], []
    recorder = Recorder(lambda: path.open("wb"), compressed=compressed)
    for at in range(3):
        (row,) = rows.of(batch(tick(NOW + at)))
        recorder.add(row)
        recorder.flush()
        wanted.append(Tick("AAPL", 189.5, 10.0, NOW + at))
        made.append(list(read_recording(path, "file")) == wanted)
    assert made == [True] * 3
    assert recorder.bytes_written == path.stat().st_size
    assert (path.read_bytes()[:2] == b"\x1f\x8b") is compressed
    recorder.close()


def test_nothing_new_is_nothing_written():
    file = Cut()
    recorder = Recorder(lambda: file, compressed=True)
    recorder.flush()
    size = recorder.bytes_written
    recorder.flush()
    recorder.close()
    assert (recorder.bytes_written, gzip.decompress(file.left)) == (size, HEADER.encode())


def test_rows_do_not_pile_up():
    file = io.BytesIO()
    recorder = Recorder(lambda: file, compressed=False)
    row = "x" * 1000 + "\n"
    for _ in range(2 * MAX_HELD_BYTES // len(row)):
        recorder.add(row)
    assert len(file.getvalue()) > MAX_HELD_BYTES


# The command's sink.


def recording(count=None, live=False):
    file, told = Cut(), io.StringIO()
    times = iter(range(100))
    sink = Recording(
        Recorder(lambda: file, compressed=False), Notes(told, live), count, lambda: next(times)
    )
    sink.event(Subscribed("e", 1, 15.0, 20.0))
    told.seek(told.truncate(0))
    return sink, file, told


def test_a_recording_from_beginning_to_end():
    sink, file, told = recording(count=3)
    assert sink.batch(batch(tick(), tick(symbol="B"))) is True
    sink.refresh()
    sink.event(Gap(3, 4))
    assert sink.batch(batch(tick(NOW - 1), tick(price=-1.0), tick(), tick())) is False
    sink.event(Disconnected(InvalidAuth("no"), None))
    sink.close()
    assert len(replayed(file.left.decode())) == 3
    assert told.getvalue().splitlines() == [
        "tickstorm: lost 2 batches: 3 to 4",
        f"tickstorm: recorded 3 ticks, 2 symbols, {len(file.left)} bytes, 2 s, 2 batches lost",
        "tickstorm: the times of 1 went back, and were set to that of the tick before",
    ]


def test_what_was_left_out_is_told():
    sink, _, told = recording()
    sink.batch(batch(tick(price=-1.0)))
    sink.close()
    assert told.getvalue().splitlines()[-1] == (
        "tickstorm: 1 left out, outside the limits of the protocol"
    )


def test_on_a_terminal_progress_is_written_over():
    sink, _, told = recording(live=True)
    sink.refresh()
    sink.event(Gap(3, 3))
    assert told.getvalue() == (
        "\r\x1b[Krecording: 0 ticks, 0 symbols, 33 bytes, 1 s, 0 batches lost"
        "\r\x1b[Ktickstorm: lost 1 batch: 3\n"
    )


def test_nothing_is_made_before_the_subscription(tmp_path):
    path, told = tmp_path / "day.csv", io.StringIO()
    recorder = Recorder(lambda: path.open("xb"), compressed=False)
    sink = Recording(recorder, Notes(told, live=True), None, lambda: 0.0)
    sink.refresh()
    assert not path.exists()
    sink.close()
    assert not path.exists()
    assert told.getvalue() == "\r\x1b[Ktickstorm: recorded nothing\n"


def test_a_file_that_cannot_be_made_at_the_end_says_why():
    def refuse():
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left on device"):
        Recorder(refuse, compressed=False).close()


def test_a_subscription_that_brought_nothing_is_a_recording_of_nothing():
    sink, file, _ = recording()
    sink.close()
    assert file.left == HEADER.encode()


# The command.


def invoked(*arguments):
    login = {"STREAM_USER": "u", "STREAM_PASS": "p"}
    done = CliRunner().invoke(main, ["record", "nowhere", *map(str, arguments)], env=login)
    assert (done.exit_code, done.stdout) == (1, "")
    return done.stderr.splitlines()


def test_a_file_that_cannot_be_made_is_refused_before_anything_is_asked(tmp_path):
    file = tmp_path / "file"
    file.write_text("precious")
    away = tmp_path / "away" / "day.csv"
    assert [
        invoked(file),
        invoked(tmp_path, "--overwrite"),
        invoked(away),
        invoked(file / "day.csv"),
    ] == [
        [f"Error: {file} is there already: see --overwrite"],
        [f"Error: {tmp_path}: Is a directory"],
        [f"Error: {away}: No such file or directory"],
        [f"Error: {file / 'day.csv'}: Not a directory"],
    ]


def test_a_name_that_leads_nowhere_is_taken_too(tmp_path):
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nothing")
    assert invoked(link) == [f"Error: {link} is there already: see --overwrite"]


def test_standard_output_is_no_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").touch()
    assert invoked("-")[0] == "tickstorm: recorded nothing"


@pytest.mark.skipif(os.geteuid() == 0, reason="everything is open to root")
@pytest.mark.parametrize("overwrite", [(), ("--overwrite",)])
def test_what_may_not_be_written_is_refused(tmp_path, overwrite):
    closed = tmp_path / "closed"
    closed.mkdir()
    file = closed / "day.csv"
    if overwrite:
        file.touch(mode=0o400)
    closed.chmod(0o500)
    assert invoked(file, *overwrite) == [f"Error: {file}: Permission denied"]
    closed.chmod(0o000)
    assert invoked(file, *overwrite) == [f"Error: {file}: Permission denied"]
    closed.chmod(0o700)


def test_who_was_never_let_in_has_made_no_file_and_replaced_none(tmp_path):
    new, old = tmp_path / "new", tmp_path / "old"
    old.write_text("precious")
    told = [
        "tickstorm: recorded nothing",
        "tickstorm: address 'nowhere': Unknown endpoint type: 'nowhere'",
    ]
    assert [invoked(new), invoked(old, "--overwrite")] == [told, told]
    assert (new.exists(), old.read_text()) == (False, "precious")

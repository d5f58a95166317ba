"""The parts of the benchmarks that only calculate: ratios, verdicts, tables, and what is exact."""

import json
import signal
from contextlib import ExitStack, contextmanager
from datetime import date
from statistics import median

import pytest
from conversation import SECOND, Server, heartbeat

from benchmarks import auction, brokers, latency, memory, operators_page, soak
from benchmarks.__main__ import ROWS
from benchmarks.__main__ import main as suite
from benchmarks.brokers import brokers_table
from benchmarks.figures import Asked, Bound, Figure, Ratio, Unusable, Verdict
from benchmarks.flood import Flood, flood_ticks, from_line, to_line
from benchmarks.operators_page import values
from benchmarks.page import anchor, page
from benchmarks.plain import batch
from benchmarks.processes import Sample, interpolated, parse_cpu_s, parse_pss_bytes
from benchmarks.publishers import MQTT, NATS, REDIS, message, publication
from benchmarks.rows import row_parser, size_of
from benchmarks.runs import Rounds, Run, compared, in_turn
from benchmarks.servers import batch_bytes, limit, listeners, tickstorm
from benchmarks.signals import ENDING, ending_in_order
from benchmarks.storm import (
    Counting,
    Load,
    Outcome,
    Weather,
    begins_quietly,
    command,
    edge,
    environment,
    fault,
    miscount,
    missent,
    parse_outcome,
    unread,
    wait_until_start,
)
from benchmarks.table import Section, counted, figures_table, markdown, number, own_table
from benchmarks.yardsticks import Tools, compiled
from tickstorm.bench.bid_report import BidReport, BidsAsked
from tickstorm.bench.outcome import MachineUse, ServerUse
from tickstorm.bench.outcome import Outcome as Put
from tickstorm.bench.tally import Tally
from tickstorm.frames import MAX_PAYLOAD_BYTES, OVERHEAD_BYTES, FrameType, encode_frame
from tickstorm.sources.walk import makeSource

RATIO = Asked(Bound(1.30, of_ratio=True), Bound(1.10, of_ratio=True))
FINE = Outcome(1000, 0, 0, 0, 0, 2.0, 12_000, 12_000, 10_000, 1.0, 2.0, 3.0, 20.0)
ALIGNED = Load(1000, 10, ramp=500)
SPREAD = Load(1000, 10, Counting.SPREAD)


# Figures.


def test_a_ratio_is_taken_in_each_pair():
    figure = Figure("CPU", "µs", ours=(6.0, 12.0, 9.0), yardstick=(5.0, 8.0, 9.0))
    assert figure.middle == 9.0
    assert figure.ratio == Ratio(1.2, 1.0, 1.5)
    assert str(figure.ratio) == "1.20 (1.00 to 1.50)"


def test_without_a_yardstick_there_is_no_ratio():
    assert Figure("memory", "MB", (3.0,)).ratio is None


def test_nothing_is_a_multiple_of_nothing():
    assert Figure("memory", "MB", (3.0, 3.0), (1.0, 0.0)).ratio is None


def test_pairs_must_be_pairs():
    with pytest.raises(ValueError, match="shorter"):
        _ = Figure("CPU", "µs", (1.0, 2.0), (1.0,)).ratio


@pytest.mark.parametrize(
    ("asked", "value", "ratio", "verdict"),
    [
        (RATIO, 7.0, 1.10, Verdict.AIM_MET),
        (RATIO, 7.0, 1.11, Verdict.LEAST_MET),
        (RATIO, 7.0, 1.31, Verdict.NOT_MET),
        (RATIO, 7.0, None, Verdict.NOT_MET),
        (Asked(Bound(5.0, at_least=True), Bound(20.0, at_least=True)), 20.0, None, Verdict.AIM_MET),
        (Asked(Bound(5.0, at_least=True), Bound(20.0, at_least=True)), 5.0, 9.0, Verdict.LEAST_MET),
        (Asked(Bound(5.0, at_least=True), Bound(20.0, at_least=True)), 4.9, 9.0, Verdict.NOT_MET),
        (Asked(Bound(1.0), Bound(1.0, of_ratio=True)), 0.9, 1.01, Verdict.LEAST_MET),
        (Asked(Bound(1.0)), 1.0, None, Verdict.MET),
        (Asked(aim=Bound(5.0)), 5.1, None, Verdict.AIM_NOT_MET),
        (Asked(aim=Bound(5.0)), 5.0, None, Verdict.AIM_MET),
        (Asked(), 5.0, 1.0, Verdict.NOT_ASKED),
    ],
)
def test_verdicts(asked, value, ratio, verdict):
    assert asked.verdict(value, ratio) is verdict


@pytest.mark.parametrize(
    ("bound", "text"),
    [
        (Bound(1.3, of_ratio=True), "≤ 1.30 x"),
        (Bound(400, "MB"), "≤ 400 MB"),
        (Bound(5000, "a second", at_least=True), "≥ 5,000 a second"),
        (Bound(0.5), "≤ 0.5"),
    ],
)
def test_bounds_as_text(bound, text):
    assert str(bound) == text


# Tables and the page.


def test_a_table_of_figures():
    figures = [
        Figure("CPU", "µs", (1234.5, 1234.5), (1000.0, 1000.0), RATIO),
        Figure("memory", "MB", (99.6,), asked=Asked(aim=Bound(250, "MB")), digits=0),
    ]
    assert figures_table(figures, "limit.c") == markdown(
        [
            "",
            "limit.c",
            "Tickstorm",
            "ratio: median (lowest to highest)",
            "asked",
            "aim",
            "reached",
        ],
        [
            [
                "CPU, µs",
                "1,000.00",
                "1,234.50",
                "1.23 (1.23 to 1.23)",
                "≤ 1.30 x",
                "≤ 1.10 x",
                "met, the aim is not",
            ],
            ["memory, MB", "-", "100", "-", "", "≤ 250 MB", "aim met"],
        ],
    )


def test_reduced_sizes_are_held_against_nothing():
    figures = [Figure("CPU", "µs", (2.0,), (1.0,), RATIO)]
    assert figures_table(figures, "limit.c", judged=False) == (
        "| | limit.c | Tickstorm | ratio: median (lowest to highest) |\n"
        "|---|---|---|---|\n"
        "| CPU, µs | 1.00 | 2.00 | 2.00 (2.00 to 2.00) |"
    )


def test_numbers():
    assert (number([1, 3, 1_234_567], 1), number([0.06, 0.04], 2), number([], 0)) == (
        "3.0",
        "0.05",
        "-",
    )


def run(cpu_us=1.0, connection_bytes=0.0):
    return Run(cpu_us, 1.0, 2.0, 3.0, 4.0, 5.0, 250.4, connection_bytes, 100.0)


def test_figures_of_pairs_of_runs():
    pairs = [(run(2.0), run(3.0)), (run(4.0), run(8.0))]
    assert compared("CPU", "µs", pairs, "cpu_us", asked=RATIO) == Figure(
        "CPU", "µs", [3.0, 8.0], [2.0, 4.0], RATIO
    )
    whole, each = memory.memory_figures([(run(), run(connection_bytes=2000.0))])
    assert (whole.ours, whole.verdict, each.ours) == ([250.4], Verdict.LEAST_MET, [2000.0])


def test_a_table_of_brokers():
    rounds = [(run(5.0), run(10.0)), (run(6.0), run(9.0)), (run(7.0, 2000.0), run(7.0, 9.0))]
    assert brokers_table(["Tickstorm", "Redis"], rounds).splitlines()[2:] == [
        "| Tickstorm | 6.00 | 1 | 1.0 | 3.0 | 0 |",
        "| Redis | 9.00 | 1.50 (1.00 to 2.00) | 1.0 | 3.0 | 0 |",
    ]


def test_only_brokers_that_are_here_are_spoken_of():
    redis, nats, mosquitto = brokers.BROKERS
    assert brokers.limited_by([redis, mosquitto]) == (
        f"Profiles (perf): {redis.limited_by} {mosquitto.limited_by}"
    )
    assert "NATS" in nats.limited_by
    assert brokers.limited_by([]) == "None of the brokers is installed."


def test_one_is_not_many():
    assert [counted(n, "pair") for n in (1, 3, 1000)] == ["1 pair", "3 pairs", "1,000 pairs"]


def test_the_page_links_its_sections():
    section = Section("Fan-out: 10,000 of them", "About.", "| |", "Limits.", "python -m x")
    text = page(date(2026, 1, 2), "one core", [section])
    assert anchor(section.title) == "fan-out-10000-of-them"
    assert "- [Fan-out: 10,000 of them](#fan-out-10000-of-them)\n" in text
    assert "Measured on 2026-01-02: one core, loopback" in text
    assert (
        "## Fan-out: 10,000 of them\n\nAbout.\n\n| |\n\nLimits.\n\nTo repeat it: `python -m x`.\n"
    ) in text


def test_what_else_ran_is_said_under_the_machine():
    sections = [
        Section("A", "About.", "| |", "Limits.", "python -m x", busy)
        for busy in ((0.1, 0.2), (1.4, 0.3, 0.0))
    ]
    said = (
        "As 2 rounds of 5 began, something else kept the machine busy, with up to 1.4 cores: their "
        "figures tell less.\n\n- [A](#a)\n"
    )
    assert said in page(date(2026, 1, 2), "one core", sections)
    assert "something else" not in page(date(2026, 1, 2), "one core", sections[:1])


# Rounds.


def test_every_other_round_begins_with_the_last(capsys):
    order = []

    def measure(name):
        order.append(name)
        return name + str(len(order))

    busy = iter([0.1, 1.5, 0.0])
    rounds = in_turn([lambda: measure("a"), lambda: measure("b")], 3, lambda: next(busy))
    assert rounds == Rounds([("a1", "b2"), ("a4", "b3"), ("a5", "b6")], [0.1, 1.5, 0.0])
    assert capsys.readouterr().out.splitlines() == [
        "  round 1 of 3",
        "  round 2 of 3: 1.5 cores are busy with something else",
        "  round 3 of 3",
    ]


# Rows.


def test_rows_are_named_for_their_modules():
    assert [row.measure.__module__ for row in ROWS] == [f"benchmarks.{row.name}" for row in ROWS]
    assert all(row.full.pairs >= 3 for row in ROWS)


def test_a_size_can_be_changed_in_parts():
    parsing = row_parser("A row.")
    row = ROWS[0]
    assert size_of(row, parsing.parse_args([])) == row.full
    assert size_of(row, parsing.parse_args(["--quick", "--pairs", "7"])) == (
        row.quick._replace(pairs=7)
    )


@pytest.mark.parametrize("option", ["--connections", "--seconds", "--pairs", "--workers"])
@pytest.mark.parametrize("number", ["0", "-1", "1.5", "many"])
def test_sizes_are_at_least_one(option, number, capsys):
    with pytest.raises(SystemExit):
        row_parser("A row.").parse_args([f"{option}={number}"])
    assert f"not a whole number of at least 1: '{number}'" in capsys.readouterr().err


def test_reduced_sizes_make_no_page(tmp_path, capsys):
    file = tmp_path / "page.md"
    with pytest.raises(SystemExit):
        suite(["--quick", "--write", str(file)])
    assert "reduced sizes make no page" in capsys.readouterr().err
    assert not file.exists()


def test_the_programs_that_are_missing_are_named(tmp_path):
    said = r"limit\.c is not there: .*--tools DIR .*TOOLS=DIR"
    with pytest.raises(Unusable, match=said), compiled(tmp_path):
        pass


# Being ended.


@contextmanager
def disposed(how):
    """Whoever runs the tests may have other dispositions: a reactor its own, nohup none."""
    before = {each: signal.signal(each, how) for each in ENDING}
    yield
    for each, handler in before.items():
        signal.signal(each, handler)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_leaves_the_block_as_an_error_does(number, code):
    with disposed(signal.SIG_DFL):
        with pytest.raises(SystemExit) as left, ending_in_order():
            signal.raise_signal(number)
        assert (left.value.code, signal.getsignal(number)) == (code, signal.SIG_DFL)


@pytest.mark.parametrize("number", ENDING)
def test_a_signal_that_is_ignored_stays_so(number):
    with disposed(signal.SIG_IGN), ending_in_order():
        signal.raise_signal(number)
        assert signal.getsignal(number) is signal.SIG_IGN


def test_the_way_out_is_not_cut_short_by_another_signal():
    done = []
    servers = ExitStack()
    servers.callback(done.append, "ended")
    servers.callback(signal.raise_signal, signal.SIGHUP)
    with disposed(signal.SIG_DFL), pytest.raises(SystemExit) as left, ending_in_order(), servers:
        signal.raise_signal(signal.SIGTERM)
    assert (left.value.code, done) == (143, ["ended"])


def test_control_c_is_an_exit_code_and_no_traceback():
    with pytest.raises(SystemExit) as left, ending_in_order():
        raise KeyboardInterrupt
    assert left.value.code == 130


def test_what_nohup_ignores_stays_ignored():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ending_in_order():
            signal.raise_signal(signal.SIGHUP)
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


# What is exact.


def test_nothing_lost():
    assert (fault(ALIGNED, FINE), miscount(ALIGNED, FINE)) == (None, None)


@pytest.mark.parametrize("field", ["closed", "refused", "errors", "badcrc"])
def test_a_run_that_lost_something_is_refused(field):
    outcome = FINE._replace(**{field: 1})
    assert fault(ALIGNED, outcome) == f"the load generator saw {field} 1 times"


def test_everybody_must_be_subscribed():
    said = "999 of 1,000 connections were subscribed"
    assert fault(ALIGNED, FINE._replace(subscribed=999)) == said
    gave_up = FINE._replace(connect_s=-1.0)
    assert fault(ALIGNED, gave_up) == "1,000 of 1,000 connections were subscribed"


@pytest.mark.parametrize("timed", [9_999, 10_001])
def test_aligned_batches_are_counted_to_the_last(timed):
    said = f"{timed:,} batches came instead of 10,000"
    assert miscount(ALIGNED, FINE._replace(timed=timed)) == said


@pytest.mark.parametrize(
    ("max_ms", "timed", "exact"),
    [
        (20.0, 10_070, True),
        (20.0, 9_930, True),
        (20.0, 9_929, False),
        (20.0, 10_071, False),
        (2000.0, 9_800, True),
        (2000.0, 9_799, False),
    ],
)
def test_spread_batches_may_be_under_way_at_the_ends(max_ms, timed, exact):
    outcome = FINE._replace(max_ms=max_ms, timed=timed)
    assert (miscount(SPREAD, outcome) is None) is exact


def test_what_is_not_counted_cannot_be_wrong():
    load = ALIGNED._replace(counting=Counting.NOT)
    assert miscount(load, FINE._replace(timed=0)) is None
    assert (edge(load, FINE), edge(ALIGNED, FINE), edge(SPREAD, FINE)) == (0, 0, 70)


@pytest.mark.parametrize(
    ("load", "ended", "gone", "most"),
    [
        (ALIGNED, 7.70, 7.95, 0),
        (ALIGNED, 7.70, 8.10, 1000),
        (ALIGNED, 7.20, 7.40, 1000),
        (ALIGNED, 7.20, 9.10, 3000),
        (SPREAD, 7.70, 7.71, 1000),
        (SPREAD, 7.70, 8.60, 2000),
    ],
)
def test_what_may_have_been_sent_to_those_who_had_gone(load, ended, gone, most):
    assert unread(load, ended, gone) == most


@pytest.mark.parametrize(
    ("sent", "gone", "fine"),
    [
        (12_000, 7.9, True),
        (12_001, 7.9, False),
        (11_999, 7.9, False),
        (13_000, 8.1, True),
        (13_001, 8.1, False),
    ],
)
def test_what_came_is_what_was_sent(sent, gone, fine):
    weather = Weather(0.0, 5.7, 7.7, FINE)
    said = None if fine else f"12,000 batches came of {sent:,} that were sent"
    assert missent(ALIGNED, weather, sent, gone) == said


def test_the_last_connection_comes_when_a_second_is_out():
    # 2 s of connecting, to end 0.7 s into a second
    assert wait_until_start(ALIGNED, 100.5) == pytest.approx(0.2)
    assert wait_until_start(ALIGNED, 100.8) == pytest.approx(0.9)
    assert wait_until_start(SPREAD, 100.8) == 0
    assert wait_until_start(ALIGNED._replace(ramp=0), 100.8) == 0


@pytest.mark.parametrize(
    ("load", "steady", "quiet"),
    [
        (ALIGNED, 7.7, True),
        (ALIGNED, 7.49, False),
        (ALIGNED, 7.98, False),
        (SPREAD, 7.0, True),
    ],
)
def test_when_the_steady_time_may_begin(load, steady, quiet):
    assert begins_quietly(load, steady) is quiet


def test_the_load_generator_as_a_command():
    tools = Tools("limit", "storm")
    load = Load(48_000, 10, ramp=0)
    assert command(tools, 8080, load) == ["storm", "ts", "8080", "48000", "10", "3", "0", "1"]
    assert Load(19_000, 1).processes == 1
    assert "CRC" in environment(load)
    assert "CRC" not in environment(load._replace(check=False))


def test_what_the_load_generator_says():
    line = json.dumps({**FINE._asdict(), "proto": "ts", "pongs": 3})
    assert parse_outcome(line) == FINE
    with pytest.raises(KeyError):
        parse_outcome('{"proto": "ts"}')


# The kernel's tables.


def test_a_process_whose_name_has_brackets():
    text = f"42 (a) b (c)) S 7 {' '.join('0' * 9)} 150 50 0 0"
    assert parse_cpu_s(text, 100) == 2.0


def test_memory_is_pss():
    text = "00400000-7fff ---p 00000000 00:00 0 [rollup]\nRss: 900 kB\nPss: 12 kB\nPss_Anon: 8 kB\n"
    assert parse_pss_bytes(text) == 12_288
    with pytest.raises(ValueError, match="no Pss"):
        parse_pss_bytes("Rss: 900 kB\n")


@pytest.mark.parametrize(("when", "value"), [(0.0, 5.0), (1.0, 5.0), (1.5, 6.0), (9.0, 7.0)])
def test_values_between_samples(when, value):
    assert interpolated([Sample(1.0, 5.0), Sample(2.0, 7.0)], when) == value


def test_who_listens():
    table = [
        "  sl  local_address rem_address   st",
        "   0: 0100007F:1F90 00000000:0000 0A",
        "   1: 0100007F:1F90 00000000:0000 0A",
        "   2: 0100007F:1F91 00000000:0000 0A",
        "   3: 0100007F:1F90 0100007F:8000 01",
    ]
    assert [listeners(table, port) for port in (8080, 8081, 8082)] == [2, 1, 0]


# The batches that are compared.


def test_the_yardsticks_batch_is_of_the_size_of_a_real_one():
    server = Server()
    arguments = command_of(tickstorm("aligned"), "--source").removeprefix("walk:")
    makeSource(arguments, server.hub.publish, server.clock).startService()
    client = server.subscribed(SECOND)
    sizes = []
    for _ in range(50):
        server.advance(1, step=0.1)
        sizes.append(len(client.transport.value()))
        client.send(heartbeat())
        client.transport.clear()
    assert median(sizes[1:]) == batch_bytes()
    yardstick = limit(Tools("limit", "storm"), "aligned")
    assert len(opaque_batch(int(yardstick.command[3]))) == batch_bytes()


def command_of(server, option):
    return server.command[server.command.index(option) + 1]


def opaque_batch(tick_bytes):
    """A batch as limit.c makes it: one tick that nobody can read, and publish_time_ns."""
    length = bytes([tick_bytes]) if tick_bytes < 128 else bytes([tick_bytes % 128 | 128, 1])
    payload = b"\x0a" + length + b"x" * tick_bytes + b"\x31" + bytes(8)
    return encode_frame(FrameType.DATA_BATCH, payload)


# Publishers.


def test_messages_as_brokers_take_them():
    payload = message(1_795_263_532_221_927_600)
    assert (len(payload), payload[:20]) == (116, b"T=1795263532221927xx")
    redis = b"*3\r\n$7\r\nPUBLISH\r\n$1\r\nt\r\n$116\r\n" + payload + b"\r\n"
    assert publication(REDIS, payload) == redis
    assert publication(NATS, payload) == b"PUB t 116\r\n" + payload + b"\r\n"
    assert publication(MQTT, payload) == b"\x30\x77\x00\x01t" + payload
    assert publication(MQTT, payload * 2) == b"\x30\xeb\x01\x00\x01t" + payload * 2
    assert MQTT.hello == b"\x10\x0f\x00\x04MQTT\x04\x02\x00\x00\x00\x03pub"


# The flood, latency and the soak.


def test_a_flood_is_one_frame_a_batch():
    frame = batch(flood_ticks(), 1)
    assert 60_000 < len(frame) <= MAX_PAYLOAD_BYTES + OVERHEAD_BYTES
    assert len({tick.symbol for tick in flood_ticks()}) == 1000


def test_a_flood_is_told_in_a_line():
    told = Flood(7, 1.5, 2.5)
    assert from_line(to_line(told)) == told


@pytest.mark.parametrize(("part", "value"), [(0.0, 1), (0.5, 3), (0.99, 4), (1.0, 4)])
def test_percentiles(part, value):
    assert latency.percentile([4, 1, 3, 2], part) == value


METRICS = """# HELP tickstorm_loop_lag_seconds How late.
tickstorm_loop_lag_seconds{worker="0"} 0.002
tickstorm_loop_lag_seconds{worker="1"} 3e-05
tickstorm_loop_lag_seconds_other 9.0
tickstorm_last_sweep_age_seconds 0.5
"""


def test_the_values_of_a_metric_whatever_its_labels():
    assert list(values(METRICS, soak.LOOP_LAG)) == [0.002, 3e-05]
    assert list(values(METRICS, soak.SWEEP_AGE)) == [0.5]
    assert list(values(METRICS, "tickstorm_symbols")) == []


def numbers(connected, sent):
    return f"tickstorm_active_connections {connected}\ntickstorm_messages_sent_total {sent}\n"


def test_what_was_sent_is_read_when_everybody_has_gone():
    pages = iter([numbers(5.0, 100.0), numbers(1.0, 107.0), numbers(0.0, 109.0)])
    waited = []
    read = operators_page.sent(tickstorm("aligned"), lambda _: next(pages), waited.append)
    assert (read.batches, waited) == (109, [operators_page.POLL_SECONDS] * 2)


def test_clients_that_never_go_make_a_run_of_no_use():
    waited = []
    with pytest.raises(Unusable, match="has connections 30 s after its clients have gone"):
        operators_page.sent(tickstorm("aligned"), lambda _: numbers(1, 7), waited.append)
    assert sum(waited) == pytest.approx(operators_page.GONE_SECONDS)


def test_a_page_that_does_not_answer_makes_a_run_of_no_use():
    def refuse(_):
        raise ConnectionRefusedError("nobody listens")

    with pytest.raises(Unusable, match="page of Tickstorm does not answer: nobody listens"):
        operators_page.sent(tickstorm("aligned"), refuse)


def test_drift_is_between_the_first_and_the_last_fifth():
    assert soak.drift_percent([100, 100, 50, 60, 70, 80, 90, 100, 110, 110]) == pytest.approx(10)
    with pytest.raises(ValueError, match="4 values"):
        soak.drift_percent([1, 2, 3, 4])


@pytest.mark.parametrize("minutes", ["0", "0.9", "nan", "inf"])
def test_a_soak_that_can_show_no_drift_does_not_begin(minutes, capsys):
    with pytest.raises(SystemExit):
        soak.main(["--minutes", minutes])
    assert f"less than 1 would show no drift: {minutes}" in capsys.readouterr().err
    assert soak.minutes("1") == 1.0


def test_the_report_of_a_soak():
    samples = [soak.Sample(100.0 + at, 0.5, 0.001 * at) for at in range(5)]
    assert soak.report(SPREAD, samples, FINE._replace(timed=9_990)).splitlines() == [
        "1,000 connections, 10 s, 5 samples",
        "memory: 100.0 MB at first, 104.0 MB at last, drift +4.00 % from the first to the last "
        "fifth",
        "oldest sweep: 0.50 s, latest 4.0 ms late",
        "latency: median 1.00 ms, 99th percentile 3.00 ms, longest 20.0 ms",
        "batches: 9,990 of 10,000, +10 lost or under way at the ends",
    ]


# Auctions.


def bids(per_s=1.0, share=100.0):
    return auction.Bids(per_s, 2.5, share, 4.0, 1.5)


def test_figures_of_auctions():
    rounds = [[bids(90_000.0), bids(50_000.0), bids(), bids(share=99.9)], [bids(110_000.0)] * 4]
    found = auction.figures(auction.KINDS, rounds)
    assert [(figure.name, figure.verdict) for figure in found[:5]] == [
        ("confirmed: 16 outstanding each, in memory", Verdict.LEAST_MET),
        ("confirmed: 16 outstanding each, Redis", Verdict.LEAST_MET),
        ("confirmed: one outstanding each, Redis", Verdict.AIM_MET),
        ("99th percentile: 10,836 bids a second, Redis", Verdict.AIM_MET),
        ("began in the same instant, and got a RESULT", Verdict.NOT_MET),
    ]
    assert (found[0].ours, found[4].ours) == ([90_000.0, 110_000.0], [99.9, 100.0])
    assert [figure.name.partition(":")[0] for figure in found[5:]] == (
        ["CPU of the server for a bid"] * 4 + ["CPU of Redis for a bid"] * 3
    )


def test_figures_without_redis():
    found = auction.figures(auction.KINDS[:1], [[bids(90_000.0)]])
    assert [figure.name for figure in found] == [
        "confirmed: 16 outstanding each, in memory",
        "began in the same instant, and got a RESULT",
        "CPU of the server for a bid: 16 outstanding each, in memory",
    ]


def bid_report(**fields):
    tally = Tally(
        **{"subscribed": 9, "outcomes": {1: 100}, "latencies": {2000: 100}, "handshakes": {1: 9}}
        | fields
    )
    server = ServerUse((7,), 0, 2.0, None)
    outcome = Put((tally,), (), 10.0, 0, MachineUse(1.0, 10.0), server, interrupted=False)
    return BidReport(BidsAsked("here", 1, 1, None, False, 10, 1, local=True, cores=2), outcome)


def test_what_came_of_bids():
    assert auction.came_of(bid_report(), 1.0) == auction.Bids(10.0, 2.0, 90.0, 20_000.0, 10_000.0)
    # Who was refused is in the share, and at a rate it counts when a bid was due.
    report = bid_report(refusals={"Connection refused": 1}, corrected={1500: 100})
    assert auction.came_of(report, 0.0) == auction.Bids(10.0, 1.5, 90.0, 20_000.0, 0.0)


@pytest.mark.parametrize(
    "fields",
    [
        {"unconfirmed": 1},
        {"closed": 1},
        {"outcomes": {1: 100, 10: 1}},
        {"outcomes": {}},
        {"latencies": {}},
    ],
)
def test_bids_that_were_lost_make_no_figure(fields):
    with pytest.raises(Unusable):
        auction.came_of(bid_report(**fields), 1.0)


def test_a_server_of_auctions_is_ready_when_it_takes_bids():
    server = auction.auctions(TICKSTORM_REDIS="redis://127.0.0.1:1")
    assert command_of(server, "--auction") == f"tcp:{server.port}:interface=127.0.0.1"
    assert server.environment["TICKSTORM_REDIS"] == "redis://127.0.0.1:1"
    assert server.environment["TICKSTORM_AUCTION_AUTH"] == "off"


def test_a_table_of_figures_by_themselves():
    figures = [
        Figure("bids", "a second", (90_000.0, 110_000.0, 100_000.0), (), auction.ALL, 0),
        Figure("CPU", "µs", (4.25,), digits=1),
    ]
    assert own_table(figures) == markdown(
        ["", "median", "lowest to highest", "asked", "aim", "reached"],
        [
            ["bids, a second", "100,000", "90,000 to 110,000", "≥ 100 %", "≥ 100 %", "aim met"],
            ["CPU, µs", "4.2", "4.2 to 4.2", "", "", ""],
        ],
    )
    assert own_table(figures, judged=False).splitlines()[0] == "| | median | lowest to highest |"

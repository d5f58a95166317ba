"""watching: lines elsewhere, bars on a terminal."""

import io

from rich.console import Console

from tickstorm.bench.jobs import Progress
from tickstorm.bench.watching import watching


def test_lines_every_five_seconds_and_when_all_are_there():
    now = [0.0]
    console = Console(file=io.StringIO())
    with watching(console, 2000, 10.0, lambda: now[0]) as watcher:
        watcher.connecting(Progress(100, 0, ready=False))
        now[0] = 5.0
        watcher.connecting(Progress(1000, 0, ready=False))
        now[0] = 6.0
        watcher.connecting(Progress(1990, 10, ready=True))
        watcher.measuring(0.5)
        now[0] = 11.0
        watcher.measuring(5.5)
    assert console.file.getvalue() == (
        "tickstorm: 1,000 of 2,000 subscribed\n"
        "tickstorm: 1,990 of 2,000 subscribed, 10 refused\n"
        "tickstorm: measured 6 of 10 s\n"
    )


def test_bars_on_a_terminal():
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with watching(console, 2000, 10.0, lambda: 0.0) as watcher:
        watcher.connecting(Progress(1500, 500, ready=True))
        watcher.measuring(10.0)
    shown = console.file.getvalue()
    assert "connecting" in shown
    assert "2000/2000" in shown.replace(" ", "").replace("\x1b[32m", "").replace("\x1b[0m", "")

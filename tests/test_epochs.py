"""One word for each stream's run of numbers."""

import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.epochs import MAX_RUN, Epochs
from tickstorm.hub import Hub
from tickstorm.stream import StreamKey
from tickstorm.subscriptions import MAX_EPOCH

MANY = frozenset({"AAPL", "EURUSD", "GBP*", "GOOG", "IBM", "MSFT", "USD*", "XAU"})

names = st.text("ABC*.", min_size=1, max_size=3).filter(lambda name: name != "*")
"""As a subscription has them: an asterisk alone is all, and None there."""
keys = st.builds(
    StreamKey,
    st.none() | st.frozensets(names, max_size=4),
    st.integers(0, 3),
    st.sampled_from([0, 500, 1_000, 60_000]),
)


@pytest.mark.parametrize(
    ("slots", "key", "epoch"),
    [
        (1, StreamKey(None, 0, 1_000), "run.a0c113ee"),
        (1, StreamKey(None), "run.fcd37e5f"),
        (1, StreamKey(MANY), "run.a46c146e"),
        (4, StreamKey(None, 0, 1_000), "run-0.a0c113ee"),
        (4, StreamKey(MANY, 3, 1_000), "run-3.7ec33065"),
    ],
)
def test_an_epoch_in_whole(slots, key, epoch):
    assert Epochs("run", slots).of(key) == epoch


@given(keys, keys)
def test_streams_share_an_epoch_if_they_are_one(key, other):
    epochs = Epochs("run", 4)
    assert (epochs.of(key) == epochs.of(other)) == (key == other)


@given(keys, st.sampled_from(["run", "", "a.b", "a-1", "1-a."]))
def test_the_slot_is_found_again_and_that_of_no_other_run(key, run):
    epoch = Epochs(run, 4).of(key)
    assert Epochs(run, 4).slot_named(epoch) == key.slot
    assert Epochs("another", 4).slot_named(epoch) is None


@pytest.mark.parametrize("epoch", ["", ".", "run", "run.", "run-1", "run-4.a", "run-01.a", "run.a"])
def test_what_names_no_slot(epoch):
    assert Epochs("run", 4).slot_named(epoch) is None


@pytest.mark.parametrize("seed", ["1", "2"])
def test_every_process_says_the_same(seed):
    program = (
        "from tickstorm.epochs import Epochs\n"
        "from tickstorm.stream import StreamKey\n"
        f"print(Epochs('run').of(StreamKey(frozenset({sorted(MANY)}))))"
    )
    said = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert said.stdout == f"{Epochs('run').of(StreamKey(MANY))}\n"


def test_the_longest_can_be_sent_back():
    longest = Epochs("r" * MAX_RUN, 1000).of(StreamKey(None, 999, 1_000))
    assert len(longest) == MAX_EPOCH
    assert Hub("r" * MAX_RUN, lambda: 1).epoch == "r" * MAX_RUN
    with pytest.raises(ValueError, match=f"the epoch is over {MAX_RUN} characters"):
        Hub("r" * (MAX_RUN + 1), lambda: 1)

"""The limit of open files: what it leaves room for, and how it is raised."""

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tickstorm.open_files import RESERVE, limit, processes_for, raise_limit, room


@pytest.fixture(name="soft")
def set_soft():
    """Sets this process's soft limit until the end of the test."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield lambda number: resource.setrlimit(resource.RLIMIT_NOFILE, (number, before[1]))
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_the_limit_is_the_soft_one(soft):
    soft(300)
    assert limit() == 300


def test_it_is_raised_to_the_hard_one(soft):
    soft(300)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    assert raise_limit() == limit()
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)


def test_raising_it_again_changes_nothing(soft):
    soft(300)
    assert raise_limit() == raise_limit()


@pytest.mark.parametrize(
    ("files", "connections"),
    [(RESERVE + 1000, 1000), (RESERVE + 1, 1), (RESERVE, 1), (RESERVE - 1, 1), (0, 1)],
)
def test_some_files_are_no_connection_s_and_there_is_room_for_one_at_least(files, connections):
    assert room(files) == connections


@pytest.mark.parametrize(
    ("connections", "processes"), [(0, 0), (1, 1), (1000, 1), (1001, 2), (2000, 2), (100_000, 100)]
)
def test_as_many_processes_as_have_room_for_all(connections, processes):
    assert processes_for(connections, RESERVE + 1000) == processes


@given(st.integers(1, 10**7), st.integers(0, 2**30))
def test_they_have_room_and_one_less_has_not(connections, files):
    processes = processes_for(connections, files)
    assert (processes - 1) * room(files) < connections <= processes * room(files)

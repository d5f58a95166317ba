"""The handover: descriptors cross a socket, whole packets or none, and none is left open."""

import os
import resource
import socket
from contextlib import contextmanager

import pytest

from tickstorm.workers.handover import MAX_BATCH, Handed, hand_over, pair, take_over


@pytest.fixture(name="ends")
def make_ends():
    """Where connections are handed over, and where they are taken."""
    giver, taker = pair()
    with giver, taker:
        yield giver, taker


@pytest.fixture(name="connect")
def make_connect():
    """Makes connections: each as its client's end and its server's."""
    made = []

    def connect(count=1):
        pairs = [socket.socketpair() for _ in range(count)]
        made.extend(end for ends in pairs for end in ends)
        return pairs

    yield connect
    for end in made:
        end.close()


def hand(giver, servers, port=0, first_id=1):
    return hand_over(
        giver, Handed(port, socket.AF_UNIX, first_id, [each.fileno() for each in servers])
    )


def fill(giver, server):
    """Hand one connection over until no more are taken; how often that was."""
    times = 0
    while hand(giver, [server], first_id=times):
        times += 1
    return times


def close(handed):
    for descriptor in handed.descriptors:
        os.close(descriptor)


@pytest.mark.parametrize("count", [1, 2, MAX_BATCH])
def test_the_sockets_that_arrive_are_those_that_were_handed_over(ends, connect, count):
    giver, taker = ends
    clients, servers = zip(*connect(count), strict=True)
    assert hand(giver, servers)
    taken = [socket.socket(fileno=each) for each in take_over(taker).descriptors]
    for number, (client, server) in enumerate(zip(clients, taken, strict=True)):
        server.sendall(b"%d" % number)
        server.close()
        assert client.recv(9) == b"%d" % number


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
@pytest.mark.parametrize("first_id", [1, 2**64 - 1])
def test_so_does_what_is_said_of_them(ends, connect, family, first_id):
    giver, taker = ends
    ((_, server),) = connect()
    assert hand_over(giver, Handed(65535, family, first_id, [server.fileno()]))
    handed = take_over(taker)
    assert handed == Handed(65535, family, first_id, handed.descriptors)
    assert len(handed.descriptors) == 1
    close(handed)


def test_the_giver_s_own_stay_open(ends, connect):
    giver, taker = ends
    ((client, server),) = connect()
    assert hand(giver, [server])
    close(take_over(taker))
    server.sendall(b"still")
    assert client.recv(9) == b"still"


def test_packets_arrive_one_by_one_in_their_order(ends, connect):
    giver, taker = ends
    ((_, server),) = connect()
    for number in range(3):
        assert hand(giver, [server] * (number + 1), number, number * 10)
    for number in range(3):
        handed = take_over(taker)
        assert (handed.port, handed.first_id) == (number, number * 10)
        assert len(handed.descriptors) == number + 1
        close(handed)
    assert take_over(taker) is None


def test_nothing_is_there(ends):
    assert take_over(ends[1]) is None


def test_a_way_that_is_full_takes_none_until_there_is_room(ends, connect):
    giver, taker = ends
    ((_, server),) = connect()
    times = fill(giver, server)
    assert times > 0
    assert not hand(giver, [server])
    ids = []
    for _ in range(times):
        handed = take_over(taker)
        ids.append(handed.first_id)
        close(handed)
    assert ids == list(range(times))
    assert take_over(taker) is None
    assert hand(giver, [server])
    close(take_over(taker))


def test_nobody_is_there_to_take(ends, connect):
    giver, taker = ends
    ((_, server),) = connect()
    taker.close()
    with pytest.raises(OSError, match="Broken pipe"):
        hand(giver, [server])


def test_nobody_hands_over_any_more_but_what_was_is_there(ends, connect):
    giver, taker = ends
    ((_, server),) = connect()
    assert hand(giver, [server])
    giver.close()
    close(take_over(taker))
    with pytest.raises(EOFError):
        take_over(taker)


def test_what_nobody_takes_is_closed_with_the_way(ends, connect):
    giver, taker = ends
    ((client, server),) = connect()
    assert hand(giver, [server])
    server.close()
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(1)
    taker.close()
    assert client.recv(1) == b""


@contextmanager
def room_for(descriptors):
    """The process may open so many files more."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened = [os.open(os.devnull, os.O_RDONLY) for _ in range(64)]  # they fill the gaps
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(opened) + 1, limits[1]))
    try:
        for _ in range(descriptors):
            os.close(opened.pop())
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        for each in opened:
            os.close(each)


@pytest.mark.parametrize("room", [0, 1, 3])
def test_what_there_is_no_room_for_is_known(ends, connect, room):
    giver, taker = ends
    ((_, server),) = connect()
    assert hand(giver, [server] * 4, first_id=7)
    with room_for(room):
        handed = take_over(taker)
        close(handed)
    assert handed == Handed(0, socket.AF_UNIX, 7, handed.descriptors, dropped=4 - room)
    assert len(handed.descriptors) == room

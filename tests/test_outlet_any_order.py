"""Outlet in any order of events: what a peer gets are whole frames, each kind in its order."""

from hypothesis import given
from hypothesis import strategies as st
from outlets import Direct

from tickstorm.outlet import Outlet
from tickstorm.overload import BacklogLimits

HEAD = 5
KINDS = {"deliver": (b"D", Outlet.deliver), "answer": (b"A", Outlet.answer)}
UNBOUNDED = BacklogLimits(max_frames=10**6, max_bytes=10**9)

scripts = st.lists(
    st.one_of(
        st.tuples(st.just("deliver"), st.integers(1, 40_000)),
        st.tuples(st.just("answer"), st.integers(1, 500)),
        st.tuples(st.just("room"), st.integers(0, 50_000)),
    ),
    max_size=60,
)


def whole_frames(taken, frames):
    """Cut what was taken into (kind, index) of the frames that it is made of; the last may be cut.

    A frame begins with its kind and its index among the frames of that kind.
    """
    found = []
    while len(taken) >= HEAD:
        kind, index = taken[:1], int.from_bytes(taken[1:HEAD])
        body = frames[kind][index]
        assert body.startswith(taken[: len(body)]), "a frame was cut or changed"
        found.append((kind, index))
        taken = taken[len(body) :]
    return found


def play(direct, script):
    """Do what the script says, and return the frames that were given to the outlet, by kind."""
    frames = {b"D": [], b"A": []}
    for what, size in script:
        if what == "room":
            direct.wire.take(size)
            continue
        kind, write = KINDS[what]
        frames[kind].append((kind + len(frames[kind]).to_bytes(4)).ljust(size + HEAD, kind))
        write(direct.outlet, frames[kind][-1])
    return frames


def of_kind(found, kind):
    return [index for each, index in found if each == kind]


@given(scripts, st.integers(0, 50_000), st.booleans())
def test_a_peer_gets_whole_frames_each_kind_in_order(script, room, drains):
    direct = Direct(room, UNBOUNDED)
    frames = play(direct, script)
    if drains:
        direct.drain()
    found = whole_frames(direct.taken, frames)
    for kind, sent in frames.items():
        indices = of_kind(found, kind)
        assert indices == list(range(len(sent) if drains else len(indices)))
    assert direct.outlet.own_bytes == sum(map(len, frames[b"A"]))
    assert direct.peer.lost == []


@given(scripts, st.integers(0, 50_000), st.booleans())
def test_a_peer_that_is_closed_on_gets_whole_frames_and_the_last_words(script, room, flush):
    direct = Direct(room, UNBOUNDED)
    frames = play(direct, script)
    frames[b"Z"] = [b"Z\0\0\0\0 the end"]
    direct.outlet.close(frames[b"Z"][0], flush=flush)
    direct.drain()
    found = whole_frames(direct.taken, frames)
    assert found[-1] == (b"Z", 0)
    assert direct.outlet.own_bytes + sum(map(len, frames[b"D"])) == len(direct.taken)
    assert of_kind(found, b"A") == list(range(len(frames[b"A"])))
    delivered = of_kind(found, b"D")
    assert delivered == list(range(len(frames[b"D"] if flush else delivered)))
    assert direct.peer.lost == ["ConnectionDone"]

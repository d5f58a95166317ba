"""load: the loop of a process, with a kernel that says what a test wants it to."""

import select
from itertools import count

from tickstorm._pb import tickstorm_pb2 as pb
from tickstorm.bench.jobs import Begin, Job, Place, Progress, Stop
from tickstorm.bench.latencies import rounded
from tickstorm.bench.load import Load
from tickstorm.bench.login import Requests
from tickstorm.frames import FrameDecoder, FrameType, encode_frame
from tickstorm.messages import ack_frame
from tickstorm.records import batch_frame

CONTROL = 3
ORDER = [(CONTROL, select.EPOLLIN | select.EPOLLRDNORM)]
READABLE = [(10, select.EPOLLIN)]
S = 10**9
FOREVER = Begin(0, 2**62)


class Kernel:
    """What epoll says, poll by poll; at the end of that, that somebody says stop."""

    def __init__(self, *answers):
        self._answers = list(answers)
        self.polls = 0

    def register(self, *_):
        pass

    modify = register

    def poll(self, _seconds, _events):
        self.polls += 1
        return self._answers.pop(0) if self._answers else ORDER


class Control:
    """Brings orders in turn, then Stop, and keeps what it is told."""

    def __init__(self, *orders):
        self._orders = list(orders)
        self.told = []

    def fileno(self):
        return CONTROL

    def recv(self):
        return self._orders.pop(0) if self._orders else Stop()

    def send(self, told):
        self.told.append(told)


class Wire:
    """Connections from 10 on; each brings what it is given, and then its end."""

    def __init__(self, *arriving):
        self._arriving = list(arriving)
        self._next = 10
        self.sent = {}

    def open(self, _place, _source):
        self._next += 1
        self.sent[self._next - 1] = []
        return self._next - 1

    def read(self, _connection, _size):
        return self._arriving.pop(0) if self._arriving else b""

    def write(self, connection, data):
        self.sent[connection].append(data)
        return len(data)

    def close(self, connection):
        pass


PLACE, REQUESTS = Place(2, ("127.0.0.1", 1)), Requests(b"auth", b"subscribe")
JOB = Job(PLACE, None, REQUESTS, 10**9, 0, 1, (), float("inf"), None)
HASTY = JOB._replace(heartbeat=0.5)
ACKS = ack_frame(FrameType.AUTH, "", 1), ack_frame(FrameType.SUBSCRIBE, "", 1)


def run(kernel, control, wire, job=JOB):
    """A load whose clocks go on by a tenth of a second each time that they are looked at."""
    wall, monotonic = count(S, S // 10), count(0.0, 0.5)
    load = Load(job, control, wire, kernel, 20, wall_ns=wall.__next__, monotonic=monotonic.__next__)
    return load.run()


def test_one_whose_connections_are_all_lost_says_so_and_goes_on():
    kernel = Kernel([], READABLE, READABLE, ORDER, READABLE, *[[]] * 9)
    control = Control(FOREVER)
    tally = run(kernel, control, Wire(*ACKS))
    assert (tally.subscribed, tally.closed) == (1, 1)
    assert kernel.polls == 5 + 9 + 1
    assert control.told == [
        Progress(1, 0, ready=True),
        Progress(1, 0, ready=True, deserted=True),
    ]


def test_the_time_ends_it():
    kernel = Kernel([], READABLE, READABLE, ORDER, *[[]] * 99)
    run(kernel, Control(Begin(0, 3 * S)), Wire(*ACKS))
    assert 5 < kernel.polls < 30


def pong(sequence):
    answer = pb.HeartbeatResponse(server_timestamp_ms=1, sequence=sequence)
    return encode_frame(FrameType.PONG, answer.SerializeToString())


class Slow:
    """A kernel whose answers take their time: pairs of nanoseconds and what is answered then."""

    def __init__(self, *answers):
        self.now_ns = S
        self._answers = list(answers)

    def register(self, *_):
        pass

    modify = register

    def poll(self, _seconds, _events):
        wait_ns, answer = self._answers.pop(0) if self._answers else (0, ORDER)
        self.now_ns += wait_ns
        return answer


def test_a_process_that_is_held_up_while_it_waits_has_read_late():
    login = [(0, []), (0, READABLE), (0, READABLE), (0, ORDER)]
    held_up = [(10**6, []), (400 * 10**6, []), (0, READABLE)]
    kernel, wire = Slow(*login, *held_up), Wire(*ACKS, pong(1))
    clock, monotonic = (lambda: kernel.now_ns), count(0.0, 0.5)
    load = Load(
        JOB, Control(FOREVER), wire, kernel, 20, wall_ns=clock, monotonic=monotonic.__next__
    )
    assert load.run().lags == {rounded(400_000): 1, 0: 1}  # the last one is the order to stop


def test_heartbeats_without_an_answer_are_counted():
    wire = Wire(*ACKS)
    tally = run(Kernel([], READABLE, READABLE, *[[]] * 20), Control(), wire, HASTY)
    heartbeats = len(wire.sent[10]) - 2  # AUTH and SUBSCRIBE came first
    assert heartbeats > 5
    # Those of the last second may still be answered.
    assert heartbeats > tally.unanswered > 0
    assert sum(tally.round_trips.values()) == tally.unanswered


def test_heartbeats_have_the_time_of_the_server():
    wire = Wire(*ACKS)
    ahead = 3600 * S
    run(Kernel([], READABLE, READABLE, [], []), Control(), wire, HASTY._replace(ahead_ns=ahead))
    decoder = FrameDecoder(1000)
    decoder.feed(wire.sent[10][-1])
    heartbeat = pb.HeartbeatRequest.FromString(decoder.next_frame().payload)
    assert heartbeat.timestamp_ms == (heartbeat.sequence + ahead) // 10**6


def test_a_pong_without_a_number_is_that_of_the_oldest_heartbeat():
    kernel = Kernel([], READABLE, READABLE, [], [], READABLE)
    tally = run(kernel, Control(), Wire(*ACKS, pong(0)), HASTY)
    assert sum(tally.round_trips.values()) - tally.unanswered == 1
    assert max(tally.round_trips) < 5_000_000  # and no time since the Unix epoch


def test_a_server_whose_clock_is_ahead_is_heard_by_the_clock_here():
    ahead = 3600 * S
    due_ns = 2 * S + ahead
    batch = batch_frame(
        [b"\x0a\x00"], timestamp_ms=due_ns // 10**6, sequence=1, publish_time_ns=due_ns
    )
    kernel = Kernel([], READABLE, READABLE, ORDER, READABLE)
    control = Control(Begin(0, 60 * S))
    tally = run(kernel, control, Wire(*ACKS, batch), JOB._replace(ahead_ns=ahead))
    assert (tally.batches, tally.early) == (1, 0)
    assert max(tally.latencies) < 3_000_000

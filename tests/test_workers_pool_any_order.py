"""The pool, whatever happens to its workers and nursery in any order: it comes to rest again."""

from collections import Counter

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from places import is_closed
from pools import Pool, still_alive
from relaying import wants

from tickstorm.workers.handover import PortKind
from tickstorm.workers.hiring import LONGEST_WAIT
from tickstorm.workers.link import AtAddress, AtAddresses, Join, Leaving, Load, Placed


class AnyOrder(RuleBasedStateMachine):
    """Workers are born, die, leave and hang, the nursery too, while clients come."""

    @initialize(workers=st.integers(1, 4))
    def begin(self, workers):
        self.pool = Pool(*[100] * workers)
        self.clients = []
        self.begun = []
        self.leaving = []
        self.addresses = {}
        self.known = {}

    @property
    def living(self):
        return [hired for hired in self.pool.hired if not hired.lost]

    @property
    def serving(self):
        return [hired for hired in self.living if hired in self.begun]

    # What may happen.

    @precondition(lambda self: len(self.living) > len(self.serving))
    @rule(data=st.data())
    def one_begins(self, data):
        waiting = [hired for hired in self.living if hired not in self.begun]
        self.begin_one(data.draw(st.sampled_from(waiting)))

    @precondition(lambda self: self.living)
    @rule(data=st.data())
    def one_dies(self, data):
        self.die(data.draw(st.sampled_from(self.living)))

    @precondition(lambda self: self.serving)
    @rule(data=st.data())
    def one_leaves(self, data):
        hired = data.draw(st.sampled_from(self.serving))
        hired.say(Leaving())
        self.leaving.append(hired)

    @precondition(lambda self: self.serving)
    @rule(data=st.data())
    def one_takes_nothing_any_more(self, data):
        hired = data.draw(st.sampled_from(self.serving))
        hired.take()
        hired.close()

    @precondition(lambda self: self.serving)
    @rule(data=st.data())
    def one_joins(self, data):
        data.draw(st.sampled_from(self.serving)).say(Join(1, wants(), 0))

    @precondition(lambda self: self.serving)
    @rule(data=st.data(), key=st.sampled_from("ab"))
    def one_lets_somebody_in(self, data, key):
        hired = data.draw(st.sampled_from(self.serving))
        self.addresses[hired][key] += 1
        hired.say(AtAddress(key, 1))

    @rule()
    def the_nursery_dies(self):
        if self.pool.nursery.there:
            self.pool.nursery.die()

    @rule(count=st.integers(1, 5))
    def clients_come(self, count):
        self.clients += self.pool.connect(count)

    @rule(seconds=st.sampled_from([0.05, 0.5, 1.0, 9.0, 40.0]), reporting=st.booleans())
    def time_passes(self, seconds, reporting):
        self.pass_time(seconds, self.serving if reporting else [])

    # What that comes to.

    @invariant()
    def nobody_is_asked_for_where_there_is_somebody(self):
        if self.ready:
            numbers = [hired.spec.number for hired in self.living]
            assert len(set(numbers)) == len(numbers)

    @invariant()
    def it_knows_who_serves(self):
        if self.ready:
            up = [each.number for each in self.pool.pool.workers() if each.up]
            assert up == sorted(hired.spec.number for hired in self.serving)

    @invariant()
    def streams_have_the_living_alone(self):
        if self.ready:
            self.listen()
            streams = list(self.pool.hub.streams[0])
            outlets = {outlet for stream in streams for outlet in stream.subscribers}
            assert outlets == {
                hired.far.link.outlet for hired in self.living if self.known[hired]["joined"]
            }

    @invariant()
    def each_knows_how_many_the_others_have(self):
        if self.ready:
            self.listen()
            for hired in self.living:
                others = (self.addresses[other] for other in self.living if other is not hired)
                assert +self.known[hired]["elsewhere"] == sum(others, Counter())

    def teardown(self):
        if not self.ready:
            return
        try:
            # Whoever leaves or cannot be handed anything is replaced, after two waits at most.
            for _ in range(int(3 * LONGEST_WAIT)):
                for hired in self.living:
                    self.begin_one(hired)
                    if hired.closed or hired in self.leaving:
                        self.die(hired)
                self.pass_time(1.0, self.serving)
            self.come_to_rest()
        finally:
            self.pool.close()

    def come_to_rest(self):
        assert len(self.serving) == len(self.pool.pool.workers())
        for _ in range(10):
            self.pool.reactor.pass_time(0.1, step=0.02)
            for hired in self.serving:
                hired.take()
                hired.say(Load(len(hired.ids), 0))
        assert all(map(is_closed, self.clients)), "somebody was left waiting"
        taken = sorted(id for hired in self.pool.hired for id in hired.ids)
        assert taken == list(range(1, len(self.clients) + 1))

    # How.

    @property
    def ready(self):
        return hasattr(self, "pool")

    def begin_one(self, hired):
        if hired not in self.begun:
            self.listen()
            self.begun.append(hired.begin())

    def die(self, hired):
        hired.take()  # which is lost with it
        hired.die()
        self.addresses.pop(hired, None)

    def pass_time(self, seconds, reporting):
        step = min(seconds, 1.0)
        for _ in range(round(seconds / step)):
            self.listen()
            still_alive(self.pool, step, *(each for each in reporting if not each.lost), step=step)
            self.pool.reactor.turn()
            for hired in self.living:
                if hired.given_up:
                    self.die(hired)

    def listen(self):
        """Take what the workers were told."""
        for hired in self.living:
            if hired not in self.known:
                elsewhere = hired.spec.elsewhere.get(PortKind.SUBSCRIBERS, {})
                self.known[hired] = {"elsewhere": Counter(elsewhere), "joined": False}
                self.addresses[hired] = Counter()
            known = self.known[hired]
            for message in hired.heard():
                if isinstance(message, AtAddress):
                    known["elsewhere"][message.address] += message.change
                elif isinstance(message, AtAddresses):
                    known["elsewhere"].update(message.changes)
                elif isinstance(message, Placed):
                    known["joined"] = True


AnyOrder.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestAnyOrder = AnyOrder.TestCase

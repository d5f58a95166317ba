"""Redis with Sentinel, and as a Cluster: fail-overs and moves while bids flow."""

import auction_store_suite as suite
import pytest
import pytest_twisted
from redis_bidding import LOST, REFUSED, Flow, Follower, ask, check_truth, open_terms, opened, until
from redis_servers import HOST, cluster, fleet
from twisted.internet import reactor
from twisted.internet.task import deferLater

from tickstorm.auction.breaker import BreakerState
from tickstorm.auction.life import Phase
from tickstorm.auction.redis_packing import keys_of
from tickstorm.auction.redis_places import slot_of
from tickstorm.auction.rule import Bid, Outcome

pytestmark = pytest.mark.real


@pytest.fixture(name="cluster", scope="module")
def run_cluster():
    with cluster() as nodes:
        yield nodes


def auction_in(node, taken=()):
    """An id whose slot is with the node of this number."""
    share = 16384 // 3 + 1
    ids = (id for id in range(1000, 10_000) if id not in taken)
    return next(id for id in ids if slot_of(keys_of(id).auction) // share == node)


async def heard_from_all(store):
    """Come back when nothing is under way any more that was told before."""
    follower = Follower()
    store.follow(follower)
    ids = {auction_in(node) for node in range(3)}
    for id in ids:
        await store.create(open_terms(store), id)
        await store.close(id)
    await until(lambda: ids <= follower.newest.keys(), "all nodes are heard")
    await until(
        lambda: all(follower.newest[id].phase(store.now_ms()) is Phase.CLOSED for id in ids),
        "the last of each is heard",
    )


@pytest_twisted.ensureDeferred
async def test_sentinel_takes_another_master():
    with fleet() as servers:
        async with opened(servers.url) as store:
            auction = await store.create(open_terms(store))
            flow = Flow(store, auction.id)
            await flow.accepted()
            servers.master.kill()
            await flow.failed()
            await flow.accepted()
            await flow.end()
            # What the replica had not heard of yet is lost, and only that.
            entries = await store.record(auction.id, 0, 10**6)
            assert [entry.sequence for entry in entries] == list(range(1, len(entries) + 1))
            led = {entry.bid_id for entry in entries}
            assert not led & {bid.bid_id for bid in flow.ends(REFUSED)}
            after = await store.read(auction.id)
            assert after.standing.price == entries[-1].cents == flow.told[-1].bid.cents


@pytest_twisted.ensureDeferred
async def test_a_master_that_has_become_a_replica_is_left():
    with fleet() as servers:
        async with opened(servers.url) as store:
            auction = await store.create(open_terms(store))
            flow = Flow(store, auction.id)
            await flow.accepted()
            failover = ("SENTINEL", "FAILOVER", servers.name)
            await until(lambda: servers.sentinel.say(*failover) == b"+OK\r\n", "a fail-over")
            await flow.failed(1)
            await flow.accepted()
            await flow.end()
            assert b"role:master" in servers.replica.say("INFO", "replication")
            entries = await store.record(auction.id, 0, 10**6)
            assert entries[-1].cents == flow.told[-1].bid.cents


@pytest.mark.parametrize("case", suite.CASES, ids=lambda case: case.__name__)
@pytest_twisted.ensureDeferred
async def test_what_every_store_promises(case, cluster):
    for node in cluster.masters:
        node.say("FLUSHALL")
    async with opened(cluster.url) as store, opened(cluster.url) as other:
        for each in (store, other):
            await heard_from_all(each)
            for node in cluster.masters:
                node.say("FLUSHALL")

        async def until_then(at_ms):
            while store.now_ms() < at_ms:
                await deferLater(reactor, 0.001)

        await case(suite.Place([store, other], until_then, lambda: deferLater(reactor, 0.1)))


@pytest_twisted.ensureDeferred
async def test_a_slot_moves_to_another_node_while_bids_flow(cluster):
    async with opened(cluster.url) as store:
        id = auction_in(1)
        auction = await store.create(open_terms(store), id)
        flow = Flow(store, id)
        await flow.accepted()
        slot, (_, source, target) = slot_of(keys_of(id).auction), cluster.masters
        target.say("CLUSTER", "SETSLOT", slot, "IMPORTING", cluster.id_of(source))
        source.say("CLUSTER", "SETSLOT", slot, "MIGRATING", cluster.id_of(target))
        await flow.failed()  # as some keys of an auction are there, and some are not yet
        assert store.state is BreakerState.CLOSED  # but others are served
        keys = [key for key in keys_of(id) if b":1" in source.say("EXISTS", key)]
        migrate = ("MIGRATE", HOST, target.port, "", 0, 1000, "KEYS", *keys)
        assert source.say(*migrate) == b"+OK\r\n"
        for node in (target, source):
            node.say("CLUSTER", "SETSLOT", slot, "NODE", cluster.id_of(target))
        await flow.accepted()
        await flow.end()
        assert not flow.ends(LOST)
        await check_truth(flow, store, auction.id)


@pytest_twisted.ensureDeferred
async def test_a_node_is_stopped_and_the_others_go_on(cluster):
    async with opened(cluster.url) as store:
        away, there = auction_in(2), auction_in(1, {auction_in(1)})
        for id in (away, there):
            await store.create(open_terms(store), id)
        flows = [Flow(store, id) for id in (away, there)]
        for flow in flows:
            await flow.accepted()
        cluster.masters[2].stop()
        await flows[0].failed()
        await flows[1].accepted()
        cluster.masters[2].go_on()
        for flow in flows:
            await flow.accepted()
            await flow.end()
        await check_truth(flows[0], store, away)
        await check_truth(flows[1], store, there)
        await until(lambda: store.state is BreakerState.CLOSED, "all is well")


@pytest_twisted.ensureDeferred
async def test_a_replica_takes_over():
    with cluster() as nodes:
        async with opened(nodes.url) as store:
            id = auction_in(0)
            await store.create(open_terms(store), id)
            flow = Flow(store, id)
            await flow.accepted()
            nodes.masters[0].kill()
            await flow.failed()
            await flow.accepted()
            await flow.end()
            entries = await store.record(id, 0, 10**6)
            assert not {entry.bid_id for entry in entries} & {
                bid.bid_id for bid in flow.ends(REFUSED)
            }
            assert (await ask(store, Bid(id, 7, 10**9))).outcome is Outcome.ACCEPTED
            await until(lambda: store.state is BreakerState.CLOSED, "all is well")

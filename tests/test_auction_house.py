"""The house: auctions as a part of a whole server, and what its settings make of them."""

import json
from dataclasses import fields, replace
from ipaddress import ip_network

import pytest
from bidding import HOUR, LOGIN, NOW_MS, Bidder, bid, read, watch
from conversation import PASSWORD, START, USER, Client, auth, subscribe
from signing import PRIVATE_PEM, PUBLIC_PEM, SECRET, SIGNING, signed
from test_service import PAGE, PORT, Reactor, ask, reasons, serve, started
from twisted.internet.testing import StringTransport
from twisted.logger import formatEvent, globalLogPublisher

from tickstorm.admission import AdmissionLimits
from tickstorm.auction.breaker import BreakerState
from tickstorm.auction.dispatcher import DispatchLimits
from tickstorm.auction.house import AuctionHouse
from tickstorm.auction.pacing import PaceLimits
from tickstorm.auction.permits import read_bid_right
from tickstorm.auction.rule import Terms
from tickstorm.auction.session import SessionLimits
from tickstorm.auction.stores import make_store
from tickstorm.auction.wire import auth_frame
from tickstorm.clock import simulated_clock
from tickstorm.errors import ConfigError
from tickstorm.overload import BacklogLimits
from tickstorm.reloading import HOLDS
from tickstorm.settings import Settings
from tickstorm.transports import SocketOptions

BIDS = 8081
OPEN = Terms(NOW_MS, NOW_MS + HOUR)
SETTINGS = {"auction": (f"tcp:{BIDS}:interface=127.0.0.1",)}


class House:
    """A service with auctions in memory, and what the tests of bidders ask of a server."""

    def __init__(self, **settings):
        self.reactor = Reactor()
        self.service = started(serve(self.reactor, **{**SETTINGS, **settings}))
        self.store = self.service.auctions.store
        self.store.create(OPEN, 1)

    @property
    def factory(self):
        return self.service.auctions.factory

    def turn(self, count=2):
        for _ in range(count):
            self.reactor.advance(0)

    def bidder(self):
        return Bidder(self)


def test_without_a_port_there_are_no_auctions():
    service = serve()
    assert service.auctions is None
    assert started(service).auction_ports == []


def test_bidders_have_a_port_of_their_own():
    house = House(auction_auth=False)
    assert house.reactor.listening == [PAGE, PORT, BIDS]
    assert house.reactor.factory(BIDS) is house.factory
    assert house.bidder().ask(bid(100)) == [("ACCEPTED", 100)]


def test_bidders_log_in_as_subscribers_do():
    rights = tuple(map(read_bid_right, (f"{USER}:7", f"{USER}:9")))
    bidder = House(auction_users=rights).bidder()
    assert bidder.ask(LOGIN, bid(1, user=7), bid(2, user=8), bid(3, user=9)) == [
        "AUTH alice",
        ("ACCEPTED", 1),
        ("NOT_PERMITTED", 2),
        ("ACCEPTED", 3),
    ]


def test_who_fails_to_log_in_fails_for_both():
    house = House(max_login_failures=1)
    client = Client(house.service.factory)
    client.send(auth(password="wrong"))
    client.read()
    assert house.bidder().ask(LOGIN) == ["RATE_LIMITED"]


def test_a_leader_is_a_tick():
    house = House(auction_auth=False)
    client = Client(house.service.factory)
    client.send(auth(), subscribe())
    client.read()
    house.bidder().ask(bid(1250), bid(1300))
    house.reactor.advance(0.01)
    (batch,) = client.read()
    (tick,) = batch.ticks
    assert (tick.symbol, tick.price, tick.volume) == ("AUCTION.1", 13.0, 2.0)
    assert dict(tick.metadata) == {"bidder": "7", "sequence": "2"}


def test_at_the_end_bidders_are_seen_off_too():
    house = House(auction_auth=False)
    bidder, client = house.bidder(), Client(house.service.factory)
    bidder.ask(watch())
    stopped = house.service.stopService()
    assert house.reactor.listening == [PAGE]
    house.reactor.pump([0.05] * 200)
    assert bidder.read() == ["SHUTTING_DOWN"]
    client.vanish()
    assert not stopped.called
    bidder.vanish()
    house.turn()
    assert stopped.called
    assert house.reactor.listening == []
    assert house.reactor.getDelayedCalls() == []


def test_an_end_can_be_hastened():
    house = House(auction_auth=False, drain_timeout=100.0)
    bidder = house.bidder()
    house.service.stopService()
    house.service.hasten()
    assert bidder.closed


def test_a_port_that_is_taken_stops_all():
    reactor = Reactor(BIDS)
    with pytest.raises(Exception, match="Address already in use"):
        started(serve(reactor, **SETTINGS))
    assert reactor.listening == []


@pytest.mark.parametrize(
    ("port", "off", "warned"),
    [("tcp:8081", True, True), ("tcp:8081", False, False), (SETTINGS["auction"][0], True, False)],
)
def test_bids_of_anybody_from_anywhere_are_warned_of(port, off, warned):
    found = []
    globalLogPublisher.addObserver(found.append)
    house = House(auction=(port,), auction_auth=not off)
    for call, arguments, keywords in house.reactor.whenRunningHooks:
        call(*arguments, **keywords)
    globalLogPublisher.removeObserver(found.append)
    text = "whoever can reach tcp:8081 may bid for anybody: auction_auth is off"
    assert (text in map(formatEvent, found)) is warned


# Operators.


def test_operators_have_a_page_of_them():
    house = House(auction_auth=False)
    assert ask(house.reactor, "/auctions/show?id=1")[0] == 200
    assert ask(started_without_auctions(), "/auctions")[0] == 404


def started_without_auctions():
    reactor = Reactor()
    started(serve(reactor))
    return reactor


def test_their_numbers_are_in_the_metrics():
    house = House(auction_auth=False)
    house.bidder().ask(bid(1), bid(1), watch())
    _, body = ask(house.reactor, "/metrics")
    lines = [line for line in body.splitlines() if line.startswith("tickstorm_auction_")]
    numbers = dict(line.rsplit(" ", 1) for line in lines)
    assert {
        name: numbers[name]
        for name in (
            'tickstorm_auction_bids_total{outcome="ACCEPTED"}',
            'tickstorm_auction_bids_total{outcome="EQUAL"}',
            'tickstorm_auction_bids_total{outcome="UNAVAILABLE"}',
            "tickstorm_auction_connections",
            "tickstorm_auction_watchers",
            "tickstorm_auction_in_flight",
            "tickstorm_auction_store_state",
            "tickstorm_auction_decision_seconds_count",
            "tickstorm_auction_batch_bids_sum",
        )
    } == {
        'tickstorm_auction_bids_total{outcome="ACCEPTED"}': "1.0",
        'tickstorm_auction_bids_total{outcome="EQUAL"}': "1.0",
        'tickstorm_auction_bids_total{outcome="UNAVAILABLE"}': "0.0",
        "tickstorm_auction_connections": "1.0",
        "tickstorm_auction_watchers": "1.0",
        "tickstorm_auction_in_flight": "0.0",
        "tickstorm_auction_store_state": "0.0",
        "tickstorm_auction_decision_seconds_count": "2.0",
        "tickstorm_auction_batch_bids_sum": "2.0",
    }


def test_a_store_that_is_away_is_told_and_no_reason_to_go_elsewhere():
    house = House()
    before = reasons(house.reactor)
    house.store.state = BreakerState.OPEN
    health = json.loads(ask(house.reactor, "/health")[1])
    assert health["status"] == "degraded"
    assert health["reasons"] == [*before, "the store of the auctions is away"]
    assert reasons(house.reactor) == before
    assert "tickstorm_auction_store_state 2.0" in ask(house.reactor, "/metrics")[1].splitlines()


# What is set.

OF_THE_HOUSE = {
    "auction_auth": False,
    "auction_users": (read_bid_right("alice:*"),),
    "auction_rate_per_user": 3,
    "auction_rate_per_address": 4,
    "auction_pipeline": 5,
    "auction_in_flight": 6,
    "auction_batch": 7,
    "auction_watched": 8,
    "auction_max": 9,
    "auction_bid_memory": 10.0,
    "auth_timeout": 11.0,
    "write_deadline": 12.0,
    "max_backlog_bytes": 2_000_000,
    "max_connections": 13,
    "max_login_failures": 14,
    "block": (ip_network("10.1.0.0/16"),),
    "tcp_keepalive": False,
    "log_level": "debug",
}
OF_TOKENS = {"auction_token_key", "auction_token_audience"}


def settings_of(**settings):
    return Settings(username=USER, password=PASSWORD, **settings)


def made(**settings):
    reactor = Reactor()
    settings, clock = settings_of(**settings), simulated_clock(reactor)
    store = make_store(settings, reactor, clock)
    return AuctionHouse(store, settings, lambda _: None, None, clock)


def held(house):
    """What a house is held to that can change."""
    factory = house.factory
    return (
        factory.with_login,
        factory.desk.permits,
        factory.session_limits,
        factory.congestion.backlogs.limits,
        factory.congestion.backlogs.budget.max_bytes,
        factory.socket_options,
        factory.door._limits,
        factory.login_failures._limits,
        factory.register.verbose,
        factory.dispatcher._pacing._users._rate.per_second,
        factory.dispatcher._pacing._addresses._rate.per_second,
    )


def test_every_setting_of_the_auctions_is_tested_here():
    auctions = {field.name for field in fields(Settings) if field.name.startswith("auction")}
    assert auctions - {"auction"} - OF_TOKENS <= OF_THE_HOUSE.keys()
    assert all(getattr(Settings(), name) != value for name, value in OF_THE_HOUSE.items())


def test_every_setting_reaches_the_house():
    house = made(**OF_THE_HOUSE)
    admission = AdmissionLimits(13, block=(ip_network("10.1.0.0/16"),), max_login_failures=14)
    assert held(house) == (
        False,
        {"alice": None},
        SessionLimits(11.0, 5, 8),
        BacklogLimits(write_deadline=12.0),
        2_000_000,
        SocketOptions(keepalive=False),
        admission,
        admission,
        True,
        3,
        4,
    )
    dispatcher = house.factory.dispatcher
    assert (dispatcher._limit, dispatcher._batches._limit) == DispatchLimits(6, 7)
    limits = house.store._book._limits
    assert (limits.auctions, limits.bid_ids.keep_ms) == (9, 10_000)


def test_what_can_change_does():
    house = made()
    house.reload(settings_of(**OF_THE_HOUSE), None)
    assert held(house) == held(made(**OF_THE_HOUSE))


def test_the_defaults_are_those_of_the_parts():
    house = made()
    assert held(house)[:4] == (True, {}, SessionLimits(), BacklogLimits())
    assert house.factory.dispatcher._pacing._users._rate.per_second == PaceLimits().per_user


def test_a_reload_of_the_server_reaches_who_bids():
    house = House(auction_auth=False, auction_rate_per_user=1)
    bidder = house.bidder()
    bidder.ask(bid(1))
    assert bidder.ask(bid(2)) == [("RATE_LIMITED", 2)]
    settings = house.service.settings
    changed = Settings(
        **{
            field.name: getattr(settings, field.name)
            for field in fields(Settings)
            if field.name not in ("origins", "auction_rate_per_user", "auction_max")
        },
        auction_rate_per_user=0,
        auction_max=1,
    )
    change = house.service.reload(changed)
    assert (change.taken, change.left) == (("auction_rate_per_user",), ("auction_max",))
    assert bidder.ask(bid(3)) == [("ACCEPTED", 3)]
    assert HOLDS["auction_rate_per_user"].value == "at once"


def test_subscribers_and_bidders_share_the_open_files():
    alone, both = serve(max_connections=10**7), serve(max_connections=10**7, **SETTINGS)
    (of_all,), (of_half,) = alone._staff.shares, both._staff.shares
    assert of_half < of_all * 0.6
    assert both.auctions.factory.door._limits.max_connections == of_half


def test_bytes_of_a_client_of_the_first_version_are_answered_with_frames():
    house = House(auction_auth=False)
    transport = StringTransport()
    connection = house.factory.buildProtocol(None)
    connection.makeConnection(transport)
    connection.dataReceived(bytes.fromhex("0110 00000001 00000007 4059000000000000"))
    house.turn()
    assert read(transport.value()) == [("ACCEPTED", 10_000)]


# Tokens.


def with_key(path, contents, **settings):
    path.write_bytes(contents)
    return House(auction_token_key=str(path), **settings)


def login(key, aud=None, user=7):
    claims = {"user_id": user, "exp": START + 60, **({"aud": aud} if aud else {})}
    return auth_frame(signed(claims, key))


def test_bidders_log_in_with_tokens_too(tmp_path):
    house = with_key(tmp_path / "key", SECRET, auction_token_audience="here")
    assert house.bidder().ask(login(SECRET, "here"), bid(1)) == ["AUTH 7", ("ACCEPTED", 1)]
    assert house.bidder().ask(login(SECRET, "there")) == ["INVALID_AUTH"]
    assert house.bidder().ask(LOGIN) == ["AUTH alice"]


def test_without_logins_a_key_changes_nothing(tmp_path):
    house = with_key(tmp_path / "key", SECRET, auction_auth=False)
    assert house.bidder().ask(bid(1)) == [("ACCEPTED", 1)]


def test_a_wrong_key_stops_all(tmp_path):
    (tmp_path / "key").write_bytes(PRIVATE_PEM)
    with pytest.raises(ConfigError, match=r"^auction_token_key: .* has a private key: "):
        House(auction_token_key=str(tmp_path / "key"))


def test_a_reload_takes_what_the_file_has_now(tmp_path):
    found = []
    house = with_key(tmp_path / "key", SECRET)
    before = house.bidder()
    before.ask(login(SECRET))
    (tmp_path / "key").write_bytes(PUBLIC_PEM)
    globalLogPublisher.addObserver(found.append)
    change = house.service.reload()
    globalLogPublisher.removeObserver(found.append)
    assert (change.taken, change.left) == ((), ())
    assert formatEvent(found[0]) == "the key of tokens is read anew"
    assert house.bidder().ask(login(SECRET)) == ["INVALID_AUTH"]
    assert house.bidder().ask(login(SIGNING)) == ["AUTH 7"]
    assert before.ask(bid(1)) == [("ACCEPTED", 1)]


def test_a_reload_takes_another_key_and_another_audience(tmp_path):
    house = with_key(tmp_path / "key", SECRET)
    (tmp_path / "other").write_bytes(PUBLIC_PEM)
    others = {"auction_token_key": str(tmp_path / "other"), "auction_token_audience": "here"}
    change = house.service.reload(replace(house.service.settings, **others))
    assert change.taken == ("auction_token_key", "auction_token_audience")
    assert house.bidder().ask(login(SIGNING)) == ["INVALID_AUTH"]
    assert house.bidder().ask(login(SIGNING, "here")) == ["AUTH 7"]
    without = replace(house.service.settings, auction_token_key="", auction_token_audience="")
    house.service.reload(without)
    assert house.bidder().ask(login(SIGNING, "here")) == ["INVALID_AUTH"]


def test_a_reload_with_a_wrong_key_leaves_all_as_it_was(tmp_path):
    house = with_key(tmp_path / "key", SECRET)
    settings = house.service.settings
    (tmp_path / "key").write_bytes(b"open sesame")
    with pytest.raises(ConfigError, match=r"has a secret of 11 bytes, and 32 are needed$"):
        house.service.reload(replace(settings, auction_rate_per_user=1))
    assert house.service.settings is settings
    assert house.factory.dispatcher._pacing._users._rate.per_second == 1000
    assert house.bidder().ask(login(SECRET), bid(1)) == ["AUTH 7", ("ACCEPTED", 1)]

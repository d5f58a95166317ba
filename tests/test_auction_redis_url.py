"""The URL of Redis: what it may say, and that no password is ever shown."""

import pytest

from tickstorm.auction.redis_replies import Address
from tickstorm.auction.redis_url import Kind, Login, RedisURL, TLSFiles, parse_redis_url
from tickstorm.errors import ConfigError

A, B = Address("a", 6379), Address("b", 6379)
SENTINELS = (Address("a", 26379), Address("b", 7))

READ = {
    "redis://a": RedisURL(Kind.ONE, (A,)),
    "redis://a/": RedisURL(Kind.ONE, (A,)),
    "redis://127.0.0.1:7/3": RedisURL(Kind.ONE, (Address("127.0.0.1", 7),), database=3),
    "redis://[::1]:7": RedisURL(Kind.ONE, (Address("::1", 7),)),
    "redis://[::1]": RedisURL(Kind.ONE, (Address("::1", 6379),)),
    "redis://:p%40ss@a": RedisURL(Kind.ONE, (A,), Login("", "p@ss")),
    "redis://bid:p:w@a/0": RedisURL(Kind.ONE, (A,), Login("bid", "p:w")),
    "rediss://a": RedisURL(Kind.ONE, (A,), tls=TLSFiles()),
    "rediss://a?ca=/x/ca.pem&cert=c.pem&key=k%20.pem": RedisURL(
        Kind.ONE, (A,), tls=TLSFiles("/x/ca.pem", "c.pem", "k .pem")
    ),
    "redis+sentinel://a,b:7/house": RedisURL(Kind.SENTINEL, SENTINELS, master="house"),
    "rediss+sentinel://:pw@a,b:7/my%20house/2": RedisURL(
        Kind.SENTINEL, SENTINELS, Login("", "pw"), 2, "my house", TLSFiles()
    ),
    "redis+cluster://a,b": RedisURL(Kind.CLUSTER, (A, B)),
    "redis+cluster://a,b/0": RedisURL(Kind.CLUSTER, (A, B)),
}
REFUSED = {
    "": "none of",
    "a": "none of",
    "http://a": "none of",
    "redis://": "none of",
    "redis+other://a": "none of",
    "redis://secret@a": "no password",
    "redis://secret:@a": "no password",
    "redis://a:0": "not HOST or HOST:PORT",
    "redis://a:65536": "not HOST or HOST:PORT",
    "redis://a:b": "not HOST or HOST:PORT",
    "redis://a,b": "more than one host",
    "redis://a/x": "'x' is not the number",
    "redis://a/99999999999": "is not the number",
    "redis://a/0/1": "one part too many",
    "redis+sentinel://a": "does not name the master",
    "redis+sentinel://a/house/0/1": "one part too many",
    "redis+cluster://a/1": "no database but 0",
    "redis://a?ca=x": "rediss:// would use them",
    "rediss://a?pw=secret": "not one of",
    "rediss://a?ca=": "not one of",
    "rediss://a?ca=x&ca=y": "not one of",
}


@pytest.mark.parametrize("text", READ)
def test_what_it_may_say(text):
    assert parse_redis_url(text) == READ[text]


@pytest.mark.parametrize("text", REFUSED)
def test_what_it_may_not_say(text):
    with pytest.raises(ConfigError, match=REFUSED[text]) as caught:
        parse_redis_url(text)
    assert "secret" not in str(caught.value)


def test_a_password_is_not_shown():
    url = parse_redis_url("redis://bid:secret@a")
    assert "secret" not in repr(url)
    assert "secret" not in str(url)
    assert "bid" in repr(url)

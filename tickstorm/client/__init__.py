"""The client: watches a Tickstorm server from a Twisted or an asyncio application, or feeds it.

    client = asyncio_client("localhost:8080", username="demo", password="secret")
    async for batch in client:
        print(batch.ticks)

It logs in, subscribes, sends heartbeats, checks every checksum and every sequence number, and when
a connection is lost it goes on behind the last batch on the next one. `twisted_client` is the same
on a reactor, where the loop runs in a coroutine (`Deferred.fromCoroutine`). Importing this imports
neither framework.

    async with asyncio_publisher("localhost:8080", username="desk", password="secret") as publisher:
        await publisher.publish([Tick("ACME", 101.25, 5.0)])

`asyncio_publisher` and `twisted_publisher` are for who has ticks to give.
"""

from tickstorm.client.backoff import BackoffLimits
from tickstorm.client.batch import Batch, ReceivedTick
from tickstorm.client.client import Client, ClientLimits
from tickstorm.client.dialogue import SessionLimits
from tickstorm.client.events import (
    Admitted,
    Authenticated,
    Disconnected,
    Event,
    Gap,
    Garbled,
    GoAway,
    Held,
    PublisherEvent,
    Repeated,
    Restarted,
    ServerError,
    Silent,
    Subscribed,
)
from tickstorm.client.publication import Published
from tickstorm.client.publisher import Publisher, PublisherLimits
from tickstorm.client.publishing import asyncio_publisher, twisted_publisher
from tickstorm.client.subscribing import asyncio_client, twisted_client
from tickstorm.client.window import Totals
from tickstorm.subscriptions import Mode, Overload, Position
from tickstorm.ticks import Tick

__all__ = [
    "Admitted",
    "Authenticated",
    "BackoffLimits",
    "Batch",
    "Client",
    "ClientLimits",
    "Disconnected",
    "Event",
    "Gap",
    "Garbled",
    "GoAway",
    "Held",
    "Mode",
    "Overload",
    "Position",
    "Published",
    "Publisher",
    "PublisherEvent",
    "PublisherLimits",
    "ReceivedTick",
    "Repeated",
    "Restarted",
    "ServerError",
    "SessionLimits",
    "Silent",
    "Subscribed",
    "Tick",
    "Totals",
    "asyncio_client",
    "asyncio_publisher",
    "twisted_client",
    "twisted_publisher",
]

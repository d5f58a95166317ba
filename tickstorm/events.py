"""What the frames of a client mean: past facts, for its connection to act on. Pure.

Each is acted on before the next frame is read.
"""

from typing import NamedTuple

from tickstorm.errors import ProtocolError
from tickstorm.messages import Login, PublishRequest
from tickstorm.subscriptions import Subscription


class LoginRequested(NamedTuple):
    """The client sent its AUTH. Nothing is read until `accept_login` or `answer`."""

    login: Login


class SubscriptionRequested(NamedTuple):
    """The client sent a valid SUBSCRIBE.

    Nothing is read until `accept_subscription` or `answer`.
    """

    subscription: Subscription


class PublicationRequested(NamedTuple):
    """The client, which may publish, sent a valid PUBLISH, to be answered by `answer_publication`.

    The conversation goes on meanwhile.
    """

    request: PublishRequest


class Unsubscribed(NamedTuple):
    """The client gave its subscription up, and that is answered: it gets no batch any more."""


class Refused(NamedTuple):
    """A request was answered with an error; the conversation goes on."""

    error: ProtocolError


class Failed(NamedTuple):
    """The conversation is over: send what there is to send, then close."""

    error: ProtocolError


Event = (
    LoginRequested | SubscriptionRequested | PublicationRequested | Unsubscribed | Refused | Failed
)

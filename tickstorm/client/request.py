"""What a client asks a server for, as its application says it."""

from collections.abc import Iterable
from typing import NamedTuple

import tickstorm
from tickstorm.messages import Login
from tickstorm.sequences import SEQUENCE_MODULUS
from tickstorm.subscriptions import (
    MAX_EPOCH,
    MAX_INTERVAL_MS,
    MAX_SYMBOLS,
    MIN_INTERVAL_MS,
    Mode,
    Overload,
    Position,
    Subscription,
)
from tickstorm.symbols import SymbolSet
from tickstorm.ticks import MAX_WHOLE

MIN_INTERVAL, MAX_INTERVAL = MIN_INTERVAL_MS / 1000, MAX_INTERVAL_MS / 1000
"""Seconds that a bar may be of."""


class Request(NamedTuple):
    """What a client asks a server for, on each connection again.

    Attributes:
        login: who to be.
        subscription: what to get.
        resumes: whether a connection goes on where the one before ended.
    """

    login: Login
    subscription: Subscription
    resumes: bool = True


def make_login(username: str, password: str, client_id: str) -> Login:
    """Return a login by this version of the client."""
    return Login(username, password, client_id, tickstorm.__version__)


def make_request(
    username: str,
    password: str,
    mode: Mode = Mode.SECOND,
    symbols: Iterable[str] | None = None,
    *,
    interval: float | None = None,
    snapshot: bool = False,
    overload: Overload | None = None,
    start_time_ms: int = 0,
    resume: bool = True,
    resume_from: Position | None = None,
    client_id: str = "",
) -> Request:
    """Return a request; the arguments are those of `asyncio_client` and `twisted_client`.

    Any pair of an epoch and a sequence will do as `resume_from`.

    Raises:
        TypeError: `symbols` is one string, or another argument is not what it has to be.
        ValueError: an argument is outside its limits, or two exclude each other.
    """
    if overload is not None and not isinstance(overload, Overload):
        raise TypeError(f"overload is {overload!r}: give an Overload, such as Overload.CONFLATE")
    if start_time_ms and resume_from is not None:
        raise ValueError("start_time_ms and resume_from are two beginnings: give one")
    _check_whole("start_time_ms", start_time_ms)
    if not 0 <= start_time_ms <= MAX_WHOLE:
        raise ValueError(f"start_time_ms {start_time_ms} is not 0 to 2^63 - 1")
    return Request(
        make_login(username, password, client_id),
        make_subscription(mode, symbols, interval)._replace(
            snapshot=snapshot,
            start_time_ms=start_time_ms,
            overload=overload,
            resume=None if resume_from is None else _position(resume_from),
        ),
        resume,
    )


def make_subscription(
    mode: Mode, symbols: Iterable[str] | None, interval: float | None
) -> Subscription:
    """Return a subscription to what is to come; the arguments are those of `Client.change`.

    Raises:
        TypeError: `symbols` is one string, or `mode` is no Mode.
        ValueError: `symbols` is empty or too many, or one of them is no symbol; or the interval is
            none, or goes with TICK, or is missing.
    """
    if not isinstance(mode, Mode):
        raise TypeError(f"mode is {mode!r}: give a Mode, such as Mode.TICK")
    if mode is Mode.INTERVAL and interval is None:
        raise ValueError("interval is missing: INTERVAL leaves it to that")
    return Subscription(
        mode, _wanted(symbols), interval_ms=0 if interval is None else _milliseconds(interval, mode)
    )


def _wanted(symbols: Iterable[str] | None) -> frozenset[str] | None:
    if symbols is None:
        return None
    if isinstance(symbols, str):
        raise TypeError(f"symbols is the string {symbols!r}: give a list of symbols")
    wanted = frozenset(symbols)
    if not wanted:
        raise ValueError("symbols is empty: None asks for all")
    if len(wanted) > MAX_SYMBOLS:
        raise ValueError(f"symbols is {len(wanted)} of them, over {MAX_SYMBOLS}")
    try:
        return SymbolSet(wanted).patterns
    except ValueError as error:
        raise ValueError(
            f"symbols has {str(error)[:32]!r}, neither 1 to 16 of A-Z 0-9 . _ - nor a beginning "
            "with * behind it"
        ) from None


def _milliseconds(interval: float, mode: Mode) -> int:
    if mode is Mode.TICK:
        raise ValueError("interval is of bars, and TICK has none")
    if not MIN_INTERVAL <= interval <= MAX_INTERVAL:
        raise ValueError(f"interval {interval!r} is not {MIN_INTERVAL} to {MAX_INTERVAL:.0f} s")
    whole = round(interval * 1000)
    if abs(interval * 1000 - whole) > 1e-6:
        raise ValueError(f"interval {interval!r} is not in whole milliseconds")
    return whole


def _position(given: Position | tuple[str, int]) -> Position:
    try:
        epoch, sequence = given
    except (TypeError, ValueError):
        raise _no_position(given) from None
    if not isinstance(epoch, str):
        raise _no_position(given)
    _check_whole("the sequence of resume_from", sequence)
    if not 1 <= len(epoch) <= MAX_EPOCH:
        raise ValueError(f"resume_from has an epoch that is not 1 to {MAX_EPOCH} characters")
    if not 0 <= sequence < SEQUENCE_MODULUS:
        raise ValueError(f"resume_from has the sequence {sequence}, not 0 to 2^32 - 1")
    return Position(epoch, sequence)


def _no_position(given: object) -> TypeError:
    return TypeError(f"resume_from is {given!r}: give a Position, an epoch and a sequence")


def _check_whole(name: str, value: object) -> None:
    if not isinstance(value, int):
        raise TypeError(f"{name} is {value!r}: give a whole number")

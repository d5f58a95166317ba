"""Numbers, times and strangers' strings as people read them. Pure."""

from datetime import UTC, datetime, timedelta
from math import isfinite

NONE = "-"
"""What stands for a value that is not known."""
MIN_PLACES, MAX_PLACES = 2, 6
"""Decimal places of a price."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SCALES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
_PLAIN_BELOW = 1e4


def printable(text: str) -> str:
    """Return a string in which nothing commands a terminal: such characters are escaped."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def wall_time(time_ns: int, digits: int = 3) -> str:
    """Return nanoseconds since the Unix epoch as ISO 8601 in UTC.

    Args:
        time_ns: a time that no calendar has comes back as the number.
        digits: of the fraction of a second, 1 to 9.
    """
    seconds, fraction = divmod(time_ns, 1_000_000_000)
    try:
        whole = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return str(time_ns)
    return f"{whole:%Y-%m-%dT%H:%M:%S}.{f'{fraction:09d}'[:digits]}Z"


def places(price: float) -> int:
    """Return how many decimal places a price needs, MIN_PLACES to MAX_PLACES."""
    for digits in range(MIN_PLACES, MAX_PLACES):
        if round(price, digits) == price:
            return digits
    return MAX_PLACES if isfinite(price) else MIN_PLACES


def money(price: float, digits: int) -> str:
    """Return a price with so many decimal places; 0 is not known."""
    return f"{price:.{digits}f}" if price else NONE


def signed(difference: float, digits: int) -> str:
    """Return a difference with its sign; one that rounds to 0 has none."""
    text = f"{difference:+.{digits}f}"
    return text if text.strip("+-0.") else f"{0:.{digits}f}"


def amount(value: float) -> str:
    """Return a volume or a count in at most 8 characters."""
    if value >= _PLAIN_BELOW:
        for scale, suffix in _SCALES:
            if value >= scale * 0.999995:  # what would be rounded to 1000.00 of the next one
                return f"{value / scale:.2f}{suffix}"
    return f"{value:.2f}".rstrip("0").rstrip(".")


def age(seconds: float) -> str:
    """Return how long ago something was, in at most 4 characters until 1,000 days have passed."""
    seconds = max(seconds, 0.0)
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    if seconds < 99.5:
        return f"{seconds:.0f}s"
    if seconds < 99.5 * 60:
        return f"{seconds / 60:.0f}m"
    if seconds < 47.5 * 3600:
        return f"{seconds / 3600:.0f}h"
    return f"{seconds / 86400:.0f}d"


def milliseconds(value: float | None) -> str:
    """Return a latency in milliseconds with three significant digits; None is not known."""
    if value is None:
        return NONE
    size = abs(value)
    return f"{value:.{2 if size < 9.995 else 1 if size < 99.95 else 0}f}"


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a count and its noun: 1 batch, 2 batches."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def number(value: float) -> str:
    """Return a number that reads back as the same one; whole ones have no fraction."""
    return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)

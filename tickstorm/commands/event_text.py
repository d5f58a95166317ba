"""What happens to a subscription, a line each. Pure."""

from tickstorm.client.events import (
    Authenticated,
    Disconnected,
    Event,
    Gap,
    Repeated,
    Restarted,
    Subscribed,
)
from tickstorm.commands.text import counted, printable
from tickstorm.errors import ProtocolError


def event_line(event: Event) -> str:
    """Return an event as a line; empty for one that another event follows which says it all."""
    if isinstance(event, Authenticated):
        return "logged in"
    if isinstance(event, Subscribed):
        return _subscribed(event)
    if isinstance(event, Gap):
        return _gap(event)
    if isinstance(event, Restarted):
        return "the stream began anew: what was missed before cannot be counted"
    if isinstance(event, Repeated):
        return f"batch {event.sequence} came again and was dropped"
    if isinstance(event, Disconnected):
        again = "" if event.retry_in is None else f", again in {event.retry_in:.1f} s"
        return f"disconnected{again}: {error_line(event.error)}"
    return ""


def error_line(error: Exception) -> str:
    """Return an error as one line that names its code, or what it is."""
    text = printable(str(error).strip().replace("\n", " "))
    if not isinstance(error, ProtocolError):
        return text.rstrip(".") or type(error).__name__
    details = f" ({printable(error.details)})" if error.details else ""
    return f"{error.code.name}: {text}{details}"


def _subscribed(event: Subscribed) -> str:
    words = ["subscribed"]
    if event.epoch:
        words.append(f"epoch {printable(event.epoch)}")
    if event.next_sequence is not None:
        words.append(f"next batch {event.next_sequence}")
    if event.recovered is not None:
        words.append("recovered" if event.recovered else "not all recovered")
    return ", ".join(words)


def _gap(event: Gap) -> str:
    span = f"{event.first}" if event.batches == 1 else f"{event.first} to {event.last}"
    line = f"lost {counted(event.batches, 'batch', 'batches')}: {span}"
    if event.reason:
        line += f", {printable(event.reason)}"
    if event.ticks is not None:
        line += f" ({counted(event.ticks, 'tick')})"
    return line

"""Findings as text: a line for the frame, then one for each field. Pure."""

from collections.abc import Iterator, Mapping
from typing import Any

from tickstorm.commands.dissection import Finding
from tickstorm.commands.text import counted, printable, wall_time

_WIDEST_TYPE = len("DATA_BATCH")
_TIMES_NS = frozenset({"timestamp_ns", "publish_time_ns"})
_TIMES_MS = frozenset(
    {
        "timestamp_ms",
        "batch_timestamp_ms",
        "client_timestamp_ms",
        "server_timestamp_ms",
        "start_time_ms",
    }
)


def finding_lines(finding: Finding) -> Iterator[str]:
    """Yield a finding line by line."""
    yield _head(finding)
    width = max(map(len, finding.fields), default=0)
    for name, value in finding.fields.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            yield f"    {name}: {len(value)}"
            for item in value:
                yield f"      {_inline(item)}"
        else:
            yield f"    {name:<{width}}  {_shown(name, value)}"
    if finding.unknown_fields:
        numbers = ", ".join(map(str, finding.unknown_fields))
        yield f"    (and fields unknown to this version: {numbers})"


def finding_json(finding: Finding) -> dict[str, Any]:
    """Return a finding as an object for JSON; what there is nothing of is null."""
    return {
        "offset": finding.offset,
        "type": finding.type,
        "payload_bytes": finding.payload_bytes,
        "crc": finding.crc,
        "message": dict(finding.fields),
        "unknown_fields": list(finding.unknown_fields),
        "problem": finding.problem or None,
    }


def _head(finding: Finding) -> str:
    words = [f"{finding.offset:08x}"]
    if finding.type is None:
        words.append(f"{'no frame':<{_WIDEST_TYPE}}")
    else:
        words.append(f"{finding.type:<{_WIDEST_TYPE}}")
        words.append(counted(finding.payload_bytes or 0, "byte"))
    if finding.crc is not None:
        words.append(f"crc {finding.crc}")
    if finding.problem:
        words.append(printable(finding.problem))
    return "  ".join(words)


def _shown(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "  ".join(f"{printable(key)}={printable(text)}" for key, text in value.items())
    if isinstance(value, list):
        return ", ".join(printable(str(item)) for item in value)
    if name in _TIMES_MS and value:
        return f"{value}  {wall_time(value * 1_000_000)}"
    if name in _TIMES_NS and value:
        return f"{value}  {wall_time(value, 9)}"
    return printable(str(value))


def _inline(fields: Mapping[str, Any]) -> str:
    return "  ".join(f"{name} {_shown('', value)}" for name, value in fields.items())

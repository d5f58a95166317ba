"""`tickstorm decode`: bytes, hex text or a capture file to readable frames."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING

import click

if TYPE_CHECKING:
    from tickstorm.commands.dissection import Finding

MAX_INPUT_BYTES = 256 * 1024 * 1024

_MAGIC = b"\xf5\x7d"
_HEX_TEXT = re.compile(rb"(?:0[xX]|[0-9a-fA-F]|[\s:,])*")
_NO_DIGITS = re.compile(rb"0[xX]|[\s:,]")


def hex_bytes(text: bytes) -> bytes:
    """Return what hex digits say, with or without spaces, newlines, colons, commas and 0x.

    Raises:
        ValueError: something else is among them, or half a byte.
    """
    if not _HEX_TEXT.fullmatch(text):
        raise ValueError("not hex digits")
    digits = _NO_DIGITS.sub(b"", text)
    if len(digits) % 2:
        raise ValueError(f"{len(digits)} hex digits end with half a byte")
    return bytes.fromhex(digits.decode())


def _given(file: IO[bytes] | None, hex_text: str | None) -> bytes:
    if (file is None) == (hex_text is None):
        raise click.UsageError("Give either FILE (- for standard input) or --hex.")
    data = (hex_text or "").encode() if file is None else file.read(MAX_INPUT_BYTES + 1)
    if len(data) > MAX_INPUT_BYTES:
        raise click.ClickException(f"more than {MAX_INPUT_BYTES:,} bytes")
    if file is not None and not _HEX_TEXT.fullmatch(data):
        return data
    try:
        return hex_bytes(data)
    except ValueError as error:
        raise click.ClickException(str(error)) from None


class _Report:
    """Writes findings down, and knows whether all was right."""

    def __init__(self, as_json: bool) -> None:
        self.right = True
        self._as_json = as_json

    def frames(self, findings: Iterator[Finding], stream: str = "") -> None:
        from tickstorm.commands.frame_text import finding_json, finding_lines

        for finding in findings:
            self.right = self.right and not finding.problem
            if self._as_json:
                named = {"stream": stream} if stream else {}
                click.echo(json.dumps(named | finding_json(finding)))
            else:
                click.echo("\n".join(finding_lines(finding)))

    def title(self, text: str) -> None:
        if not self._as_json:
            click.echo(text)

    def problem(self, text: str) -> None:
        self.right = False
        click.echo(text, err=True)


def _decode_capture(
    data: bytes, find: Callable[[bytes], Iterator[Finding]], report: _Report
) -> None:
    from tickstorm.commands.captures import CaptureError, read_capture
    from tickstorm.commands.tcp_streams import tcp_streams
    from tickstorm.commands.text import counted

    try:
        capture = read_capture(data)
    except CaptureError as error:
        raise click.ClickException(f"the capture cannot be read: {error}") from None
    streams = tcp_streams(capture.packets)
    ours = [stream for stream in streams if stream.data.startswith(_MAGIC)]
    for stream in ours:
        title = " > ".join(stream.direction)
        report.title(f"{title}  {counted(len(stream.data), 'byte')}")
        report.frames(find(stream.data), title)
        if stream.held_bytes:
            lost = f"then packets are missing before {counted(stream.held_bytes, 'byte')} more"
            report.problem(f"{title}  {lost}")
    if len(streams) > len(ours):
        others = counted(len(streams) - len(ours), "other TCP stream")
        report.title(f"({others} left out: no frame at the beginning)")
    if not ours:
        report.problem("no TCP stream in the capture begins with a frame")
    if capture.problem:
        report.problem(f"the capture is not whole: {capture.problem}")


@click.command(short_help="Show the frames in a file or a capture.")
@click.argument("file", type=click.File("rb"), required=False)
@click.option("--hex", "hex_text", metavar="HEX", help="The bytes themselves, as hex digits.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a frame.")
@click.option("--show-secrets", is_flag=True, help="Do not hide passwords.")
@click.option(
    "--max-payload",
    type=click.IntRange(1, MAX_INPUT_BYTES),
    metavar="BYTES",
    default=65536,
    show_default=True,
    help="A frame with more payload than this is wrong.",
)
def decode(
    *,
    file: IO[bytes] | None,
    hex_text: str | None,
    as_json: bool,
    show_secrets: bool,
    max_payload: int,
) -> None:
    """Show the frames in FILE: raw bytes, hex text, or a pcap or pcapng capture.

    FILE may be - for standard input. Each frame is shown with its offset, its payload's length,
    whether its checksum is right, and the fields of its message. Where the bytes are no frame, it
    says so and why, and stops. The exit code is 1 if anything was wrong.
    """
    from functools import partial

    from tickstorm.commands.captures import is_capture
    from tickstorm.commands.dissection import dissect

    data = _given(file, hex_text)
    report = _Report(as_json)
    find = partial(dissect, max_payload_bytes=max_payload, secrets=show_secrets)
    if not data:
        report.problem("there is nothing to decode")
    elif is_capture(data):
        _decode_capture(data, find, report)
    else:
        report.frames(find(data))
    sys.exit(0 if report.right else 1)

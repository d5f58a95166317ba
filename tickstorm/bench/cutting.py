"""A stream of bytes cut into whole frames that are still bytes. Pure.

Only the lengths are read: what a frame is, and whether its checksum is right, need not be asked
again of bytes that are known.
"""

from tickstorm.errors import InvalidMessage, MessageTooLarge
from tickstorm.frames import HEADER_BYTES, MAGIC, OVERHEAD_BYTES

MAX_PAYLOAD_BYTES = 2**24
"""What is taken of a server: the most that one may be set to."""
_MAGIC = MAGIC.to_bytes(2, "big")


def cut_frames(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the whole frames that data begins with, and what is left of it.

    Raises:
        InvalidMessage: a frame does not begin as frames do.
        MessageTooLarge: a frame is longer than MAX_PAYLOAD_BYTES allows.
    """
    frames = []
    at, size = 0, len(data)
    while size - at >= HEADER_BYTES:
        end = at + _frame_bytes(data, at)
        if end > size:
            break
        frames.append(data[at:end])
        at = end
    return frames, data[at:]


def _frame_bytes(data: bytes, at: int) -> int:
    if data[at : at + 2] != _MAGIC:
        raise InvalidMessage(f"a frame begins with {data[at : at + 2].hex()}")
    length = int.from_bytes(data[at + 4 : at + HEADER_BYTES], "big")
    if length > MAX_PAYLOAD_BYTES:
        raise MessageTooLarge(f"a payload of {length} bytes")
    return length + OVERHEAD_BYTES

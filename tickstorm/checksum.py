"""CRC32C (Castagnoli), by the processor's own instruction where it has one.

`crc32c` is google-crc32c's, which is about as fast as memory; where that wheel has only its slow
fallback or is missing, crcmod's table-driven code takes its place. Both give the same sums, among
them the check value E3069283 for b"123456789" (RFC 3720, B.4, and the CRC catalogue).
"""

from collections.abc import Callable

import crcmod.predefined

portable_crc32c: Callable[[bytes], int] = crcmod.predefined.mkPredefinedCrcFun("crc-32c")


def _fastest() -> Callable[[bytes], int]:
    try:
        import google_crc32c
    except ImportError:
        return portable_crc32c
    if google_crc32c.implementation != "c":
        return portable_crc32c
    value: Callable[[bytes], int] = google_crc32c.value
    return value


crc32c: Callable[[bytes], int] = _fastest()

"""How patient a store in Redis is, and what it keeps. Pure."""

from typing import NamedTuple


class RedisLimits(NamedTuple):
    """What a store in Redis is held to.

    Attributes:
        timeout: seconds in which Redis has to answer.
        keep_ms: for at least so long, and less than twice that, the answer to a bid is remembered.
        record: so many entries, or a few more, are kept of the record of each auction; 0 for all.
        replicas: as many replicas have to have what was done before it is told; each answer takes
            one more round trip then.
    """

    timeout: float = 1.0
    keep_ms: int = 300_000
    record: int = 0
    replicas: int = 0

"""What every test shares: how hypothesis runs, and that no exception is lost in the log."""

import pytest
from hypothesis import settings
from twisted.logger import globalLogPublisher

settings.register_profile("tickstorm", deadline=None, max_examples=60)  # a deadline is a timed test
settings.load_profile("tickstorm")


@pytest.fixture(name="failures", autouse=True)
def keep_failures():
    """Fail a test that leaves an exception in the log: it reads and clears those it expects."""
    found = []

    def observe(event):
        if "log_failure" in event:
            found.append(event["log_failure"].value)

    globalLogPublisher.addObserver(observe)
    yield found
    globalLogPublisher.removeObserver(observe)
    assert found == []

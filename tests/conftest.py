"""What every test shares: how hypothesis runs."""

from hypothesis import settings

settings.register_profile("tickstorm", deadline=None, max_examples=60)  # a deadline is a timed test
settings.load_profile("tickstorm")

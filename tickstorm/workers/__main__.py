"""`python -m tickstorm.workers DESCRIPTOR`: see `tickstorm.workers.nursery`."""

from tickstorm.workers.nursery import main

main()

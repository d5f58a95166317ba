"""The load generator behind `tickstorm bench`: opens many subscriptions, and measures what arrives.

A plan shares the connections among processes, each of which is one epoll loop (`load`) over the
pure bookkeeping of `receipts`. What they counted comes back as a `Tally` each, and `report` makes
figures of the sum. Nothing here uses Twisted.
"""

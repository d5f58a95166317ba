"""The auction: bids come in over a wire of their own, each is decided once, each gets its RESULT.

The pure part says what a bid is (`wire`, `money`), whether it leads (`rule`, `life`) and in which
order a connection hears of it (`session`, `turns`); a store (`interfaces`) decides for everybody.
"""

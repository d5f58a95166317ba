"""Workers: child processes that serve subscribers and bidders, and the parent that feeds them.

The parent has the ports, the sources, the hub and the pages. It accepts every connection and hands
it to the worker that has the most room for its kind, and it sends each stream's batches to the
workers that have subscribers of it. `pool` is the parent's side, `process` a worker's; between them
are a link (`link`: messages, and batches that pass unchanged) and a socket on which connections are
handed over (`handover`). The `nursery` is a process that has everything loaded and does nothing but
fork workers, so that a new one is there at once and shares its memory with the others; `hiring`
asks it for them, and for another when one is gone.

Auctions in memory are the parent's: its `auctioneer` decides what a worker's `remote_store` asks,
and tells all of them who leads. Those in Redis each worker asks for itself. Either way the parent's
`pooled_house` publishes the leaders as ticks.
"""

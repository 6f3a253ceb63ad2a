"""Events a second through ``POST /api/v1/events``, in batches: the real control process over HTTP, beside what each step
costs alone.

    python -m benchmarks.ledger.events [EVENTS] [BATCH] [STORE_URL]

One process serves (aiohttp, uvloop, as the control process does), the client only sends bytes made before. CPU of the
serving process per event is printed beside the events a second of wall time; with PostgreSQL the server's own is not in it.
"""

"""The tables, once for both engines. Migrations make them; queries are built from them.

Times are microseconds (``_us``), ids of calls and hashes are raw bytes, units are JSON objects of whole numbers.
"""

import sqlalchemy as sa

REVISION = "0012"
"""The schema this code reads and writes: the newest file in ``migrations/versions``."""

metadata = sa.MetaData()

# SQLite's rowid must be declared INTEGER; PostgreSQL needs 64 bits.
Serial = sa.BigInteger().with_variant(sa.Integer, "sqlite")
Us = sa.BigInteger
Count = sa.BigInteger

LATENCY_COLUMNS = tuple(f"d{index}" for index in range(14))
"""One column a bucket of ``metering.rollup.LATENCY_BOUNDS_US``, so that an upsert can add them."""

tenants = sa.Table(
    "tenants",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("timezone", sa.Text, nullable=False),
    sa.Column("billing_cycle", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("status_reason", sa.Text, nullable=False, server_default=""),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("limits", sa.JSON, nullable=False),
    sa.Column("anchor", sa.Text, nullable=False, server_default=""),
    sa.Column("locale", sa.Text, nullable=False, server_default=""),
    sa.Column("date_format", sa.Text, nullable=False, server_default=""),
    sa.Column("created_us", Us, nullable=False),
)

keys = sa.Table(
    "keys",
    metadata,
    sa.Column("tenant", sa.Text, sa.ForeignKey("tenants.id"), primary_key=True),
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("created_us", Us, nullable=False),
    sa.Column("expires_us", Us),
    sa.Column("revoked_us", Us),
    sa.Column("revoke_reason", sa.Text, nullable=False, server_default=""),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("hint", sa.Text, nullable=False),
    sa.Column("addresses", sa.JSON, nullable=False, server_default="[]"),
    sa.Column("created_by", sa.Text, nullable=False, server_default=""),
    sa.Column("last_used_us", Us),
    sa.Index("keys_by_id", "id"),
)
# A credential opens one door only; a revoked one may be listed again elsewhere.
sa.Index(
    "keys_live_hash",
    keys.c.hash,
    unique=True,
    sqlite_where=keys.c.revoked_us.is_(None),
    postgresql_where=keys.c.revoked_us.is_(None),
)

changes = sa.Table(
    "changes",
    metadata,
    sa.Column("sequence", Serial, primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("id", sa.Text, nullable=False),
)

users = sa.Table(
    "users",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("email", sa.Text, nullable=False, unique=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("tenant", sa.Text, sa.ForeignKey("tenants.id"), index=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("password_hash", sa.Text, nullable=False),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("created_us", Us, nullable=False),
    sa.Column("verified_us", Us),
)

sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("user", sa.Text, sa.ForeignKey("users.id"), nullable=False, index=True),
    sa.Column("created_us", Us, nullable=False),
    sa.Column("idle_expires_us", Us, nullable=False),
    sa.Column("expires_us", Us, nullable=False),
    sa.Column("revoked_us", Us),
    sa.Column("address", sa.Text, nullable=False),
    # How often its refresh token was exchanged; an older one that comes again was stolen.
    sa.Column("refreshes", sa.Integer, nullable=False, server_default="0"),
)

links = sa.Table(
    "links",
    metadata,
    sa.Column("hash", sa.LargeBinary, primary_key=True),
    sa.Column("user", sa.Text, sa.ForeignKey("users.id"), nullable=False, index=True),
    sa.Column("purpose", sa.Text, nullable=False),
    sa.Column("created_us", Us, nullable=False),
    sa.Column("expires_us", Us, nullable=False),
    sa.Column("used_us", Us),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", Serial, primary_key=True, autoincrement=True),
    sa.Column("at_us", Us, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("action", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("tenant", sa.Text),
    sa.Column("detail", sa.JSON, nullable=False),
    sa.Index("audit_by_tenant", "tenant", "id"),
)

# One row each. Taking the row's lock first makes the sequences commit-ordered (SEMANTICS §29, §31).
heads = sa.Table(
    "heads",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("sequence", Count, nullable=False),
)

cursors = sa.Table(
    "cursors",
    metadata,
    sa.Column("incarnation", sa.Text, primary_key=True),
    sa.Column("number", Count, nullable=False, unique=True),
    sa.Column("sequence", Count, nullable=False),
    sa.Column("calls", Count, nullable=False),
    sa.Column("refusals", Count, nullable=False),
    sa.Column("quarantined", Count, nullable=False),
    sa.Column("sealed", Count, nullable=False, server_default="0"),
)

hosts = sa.Table(
    "hosts",
    metadata,
    sa.Column("host", sa.Text, primary_key=True),
    sa.Column("complete_until_us", Us, nullable=False),
    sa.Column("reported_us", Us, nullable=False),
)

# One entry that could not become a row, or a whole stretch ``sequence … last`` that the spool lost.
quarantine = sa.Table(
    "quarantine",
    metadata,
    sa.Column("incarnation", sa.Text, primary_key=True),
    sa.Column("sequence", Count, primary_key=True),
    sa.Column("last", Count, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("payload", sa.LargeBinary, nullable=False),
)

# Columns stand in the order of ``CallRecord``'s fields. ``source`` is the cursor's number: with ``sequence`` it names
# the frame in the spool that the row came from (SEMANTICS §30). ``quota_units`` NULL: the same as ``units``. ``at_us``
# is the row's own time, which rollups and invoices go by; ``decided_us`` is ``Decision.at`` where that differs:
# parts of long calls, whose quota units stay in its windows (SEMANTICS §5).
calls = sa.Table(
    "calls",
    metadata,
    sa.Column("posting", Serial, primary_key=True, autoincrement=False),
    sa.Column("source", Count, nullable=False),
    sa.Column("sequence", Count, nullable=False),
    sa.Column("id", sa.LargeBinary, nullable=False),
    sa.Column("part", sa.Integer, nullable=False),
    sa.Column("at_us", Us, nullable=False),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("route", sa.Text, nullable=False),
    sa.Column("upstream", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("method", sa.Text, nullable=False),
    sa.Column("path", sa.Text, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("upstream_status", sa.Integer, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("request_bytes", Count, nullable=False),
    sa.Column("response_bytes", Count, nullable=False),
    sa.Column("units", sa.Text, nullable=False),
    sa.Column("quota_units", sa.Text),
    sa.Column("counted", sa.Boolean, nullable=False),
    sa.Column("billable", sa.Boolean, nullable=False),
    sa.Column("not_billable", sa.Text, nullable=False),
    sa.Column("ttfb_us", Us, nullable=False),
    sa.Column("duration_us", Us, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("address", sa.Text, nullable=False),
    sa.Column("address_hash", sa.LargeBinary, nullable=False),
    sa.Column("request_id", sa.Text, nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("flags", sa.Integer, nullable=False),
    sa.Column("decided_us", Us),
    sa.UniqueConstraint("id", "part", name="calls_once"),
    sa.Index("calls_by_tenant", "tenant", "at_us"),
    sa.Index("calls_by_time", "at_us"),
)
# Checkpoint parts are few: counting distinct calls reads them from here (SEMANTICS §5).
sa.Index("calls_parts", calls.c.tenant, calls.c.id, sqlite_where=calls.c.part > 0, postgresql_where=calls.c.part > 0)
sa.Index(
    "calls_decided",
    calls.c.tenant,
    calls.c.decided_us,
    sqlite_where=calls.c.decided_us.is_not(None),
    postgresql_where=calls.c.decided_us.is_not(None),
)

# What is left of pruned calls (SEMANTICS §28): one row for all calls of a quarter hour that are alike in what is asked
# of them. It stands where the newest of them stood: ``posting`` is theirs, ``at_us`` and ``decided_us`` the quarter's
# start (or the instant within it at which a billing period began), so that whoever adds up rows adds up seals too.
# ``rows`` counts them, ``calls`` the final parts; ``ids`` is a SHA-256 over the ids and parts in order.
seals = sa.Table(
    "seals",
    metadata,
    sa.Column("posting", Serial, primary_key=True, autoincrement=False),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("at_us", Us, nullable=False),
    sa.Column("decided_us", Us),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("route", sa.Text, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("billable", sa.Boolean, nullable=False),
    sa.Column("counted", sa.Boolean, nullable=False),
    sa.Column("rows", Count, nullable=False),
    sa.Column("calls", Count, nullable=False),
    sa.Column("request_bytes", Count, nullable=False),
    sa.Column("response_bytes", Count, nullable=False),
    sa.Column("units", sa.Text, nullable=False),
    sa.Column("quota_units", sa.Text),
    *(sa.Column(name, Count, nullable=False) for name in LATENCY_COLUMNS),
    sa.Column("ids", sa.LargeBinary, nullable=False),
    sa.Column("sealed_us", Us, nullable=False),
    sa.Index("seals_by_tenant", "tenant", "at_us"),
    sa.Index("seals_by_time", "at_us"),
)
sa.Index(
    "seals_decided",
    seals.c.tenant,
    seals.c.decided_us,
    sqlite_where=seals.c.decided_us.is_not(None),
    postgresql_where=seals.c.decided_us.is_not(None),
)

# Calls of several parts whose final one is sealed: their other parts are no calls of their own (SEMANTICS §5).
sealed_calls = sa.Table(
    "sealed_calls", metadata, sa.Column("id", sa.LargeBinary, primary_key=True), sqlite_with_rowid=False
)

# Quarter hours in UTC (SEMANTICS §27), clustered so that one tenant's period is one range.
rollups = sa.Table(
    "rollups",
    metadata,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("quarter_us", Us, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("route", sa.Text, primary_key=True),
    sa.Column("status_class", sa.Integer, primary_key=True),
    sa.Column("calls", Count, nullable=False),
    sa.Column("billable", Count, nullable=False),
    sa.Column("request_bytes", Count, nullable=False),
    sa.Column("response_bytes", Count, nullable=False),
    *(sa.Column(name, Count, nullable=False) for name in LATENCY_COLUMNS),
    sa.Index("rollups_by_time", "quarter_us"),
    sqlite_with_rowid=False,
)

# ``units`` are those of billable records, ``quota_units`` those of counted ones.
rollup_units = sa.Table(
    "rollup_units",
    metadata,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("quarter_us", Us, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("route", sa.Text, primary_key=True),
    sa.Column("status_class", sa.Integer, primary_key=True),
    sa.Column("meter", sa.Text, primary_key=True),
    sa.Column("units", Count, nullable=False),
    sa.Column("quota_units", Count, nullable=False),
    sa.Index("rollup_units_by_time", "quarter_us"),
    sqlite_with_rowid=False,
)

# The same sums once more, coarser, so that a page over months reads few rows; ``kind`` is ``metering.rollup.BY_DAY``
# (``quarter_us`` is the day's start), ``BY_TENANT`` (key and route are empty) or ``BY_TENANT_DAY`` (both).
rollup_sums = sa.Table(
    "rollup_sums",
    metadata,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("kind", sa.Integer, primary_key=True),
    sa.Column("quarter_us", Us, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("route", sa.Text, primary_key=True),
    sa.Column("status_class", sa.Integer, primary_key=True),
    *(sa.Column(name, Count, nullable=False) for name in ("calls", "billable", "request_bytes", "response_bytes")),
    *(sa.Column(name, Count, nullable=False) for name in LATENCY_COLUMNS),
    sa.Index("rollup_sums_by_time", "kind", "quarter_us"),
    sqlite_with_rowid=False,
)

rollup_unit_sums = sa.Table(
    "rollup_unit_sums",
    metadata,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("kind", sa.Integer, primary_key=True),
    sa.Column("quarter_us", Us, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("route", sa.Text, primary_key=True),
    sa.Column("status_class", sa.Integer, primary_key=True),
    sa.Column("meter", sa.Text, primary_key=True),
    *(sa.Column(name, Count, nullable=False) for name in ("units", "quota_units")),
    sa.Index("rollup_unit_sums_by_time", "kind", "quarter_us"),
    sqlite_with_rowid=False,
)

refusals = sa.Table(
    "refusals",
    metadata,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("minute_us", Us, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("route", sa.Text, primary_key=True),
    sa.Column("code", sa.Text, primary_key=True),
    sa.Column("status", sa.Integer, primary_key=True),
    sa.Column("count", Count, nullable=False),
    sa.Index("refusals_by_time", "minute_us"),
    sqlite_with_rowid=False,
)

# Who of several processes does what only one should (``jobs.leader``).
leases = sa.Table(
    "leases",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("holder", sa.Text, nullable=False),
    sa.Column("until_us", Us, nullable=False),
)

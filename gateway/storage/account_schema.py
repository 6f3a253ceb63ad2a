"""The tables of accounts and of the REST API: personal tokens, invitations, kept answers, events from outside."""

import sqlalchemy as sa

from gateway.storage.schema import Count, Us, metadata

personal_tokens = sa.Table(
    "personal_tokens",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("user", sa.Text, sa.ForeignKey("users.id"), nullable=False, index=True),
    sa.Column("name", sa.Text, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("hint", sa.Text, nullable=False),
    sa.Column("scopes", sa.JSON, nullable=False),
    sa.Column("created_us", Us, nullable=False),
    sa.Column("expires_us", Us),
    sa.Column("revoked_us", Us),
    sa.Column("last_used_us", Us),
)

# ``tenant`` NULL: to the platform's own people or, with the role of an owner, to a new organisation.
invitations = sa.Table(
    "invitations",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("tenant", sa.Text, sa.ForeignKey("tenants.id"), index=True),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False, unique=True),
    sa.Column("invited_by", sa.Text, nullable=False),
    sa.Column("created_us", Us, nullable=False),
    sa.Column("expires_us", Us, nullable=False),
    sa.Column("accepted_us", Us),
    sa.Column("revoked_us", Us),
)

# One row for each Idempotency-Key of a principal. ``answer`` is sealed: it may hold a key that is shown once.
# ``status`` 0: the first request is still under way, or its process died.
kept_answers = sa.Table(
    "kept_answers",
    metadata,
    sa.Column("principal", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("request", sa.LargeBinary, nullable=False),
    sa.Column("status", sa.Integer, nullable=False),
    sa.Column("answer", sa.LargeBinary, nullable=False),
    sa.Column("created_us", Us, nullable=False),
    sa.Index("kept_answers_by_age", "created_us"),
)

# SEMANTICS §28: the identity of an event is kept for ever, its row may go.
event_identities = sa.Table(
    "event_identities",
    metadata,
    sa.Column("hash", sa.LargeBinary, primary_key=True),
    sqlite_with_rowid=False,
)

# ``posting`` is of the ledger's own sequence, so that watermarks hold for events too (SEMANTICS §29). ``value`` is what
# the meter adds up or takes the largest or newest of; ``distinct`` what it counts the different values of.
events = sa.Table(
    "events",
    metadata,
    sa.Column("posting", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("meter", sa.Text, nullable=False),
    sa.Column("at_us", Us, nullable=False),
    sa.Column("value", Count, nullable=False),
    sa.Column("distinct", sa.Text, nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("source", sa.Text, nullable=False),
    sa.Column("id", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("received_us", Us, nullable=False),
    sa.Index("events_by_meter", "tenant", "meter", "at_us", "posting"),
)

# What is left of pruned events: one row for those of a quarter hour that are alike, standing where the newest of them
# stood. It holds what each kind of meter makes of them; ``latest_us`` and ``latest_posting`` place the newest value.
event_seals = sa.Table(
    "event_seals",
    metadata,
    sa.Column("posting", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("meter", sa.Text, nullable=False),
    sa.Column("distinct", sa.Text, nullable=False),
    sa.Column("at_us", Us, nullable=False),
    sa.Column("events", Count, nullable=False),
    sa.Column("sum", Count, nullable=False),
    sa.Column("max", Count, nullable=False),
    sa.Column("latest", Count, nullable=False),
    sa.Column("latest_us", Us, nullable=False),
    sa.Column("latest_posting", Count, nullable=False),
    sa.Column("ids", sa.LargeBinary, nullable=False),
    sa.Column("sealed_us", Us, nullable=False),
    sa.Index("event_seals_by_meter", "tenant", "meter", "at_us", "posting"),
)

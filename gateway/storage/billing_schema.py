"""The tables of billing: subscriptions, invoices and what is paid on them. Amounts are exact decimal texts.

Every row names its tenant, but for the catalog and the series of numbers, which are the platform's.
"""

import sqlalchemy as sa

from gateway.storage.schema import Count, Us, metadata

# What a plan cost since when: one row each time its content changed (SEMANTICS §17). ``key`` is the plan's name, or
# ``plan@tenant`` where a tenant has prices of its own.
plan_versions = sa.Table(
    "plan_versions",
    metadata,
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("ordinal", sa.Integer, primary_key=True),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False, index=True),
    sa.Column("document", sa.JSON, nullable=False),
    sa.Column("seen_us", Us, nullable=False),
)

# Plans made through the API, as the configuration would write them: one row a version, the last one holds.
plans = sa.Table(
    "plans",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("ordinal", sa.Integer, primary_key=True),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("document", sa.JSON, nullable=False),
    sa.Column("at_us", Us, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
)

# ``revision`` counts up with every change: the compare-and-set of all writers. ``next_us``: when the job looks again.
subscriptions = sa.Table(
    "subscriptions",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("tenant", sa.Text, sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("cycle", sa.Text, nullable=False),
    sa.Column("quantity", sa.Integer, nullable=False),
    sa.Column("anchor", sa.Text, nullable=False),
    sa.Column("timezone", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("start_us", Us, nullable=False),
    sa.Column("trial_end_us", Us),
    sa.Column("cancel_at_us", Us),
    sa.Column("canceled_us", Us),
    sa.Column("billed_until_us", Us),
    sa.Column("pinned", sa.Boolean, nullable=False),
    sa.Column("change", sa.JSON(none_as_null=True)),
    sa.Column("created_us", Us, nullable=False),
    sa.Column("next_us", Us, nullable=False, index=True),
    sa.Column("revision", Count, nullable=False),
)
# One tenant has one living subscription.
sa.Index(
    "subscriptions_living",
    subscriptions.c.tenant,
    unique=True,
    sqlite_where=subscriptions.c.state != "canceled",
    postgresql_where=subscriptions.c.state != "canceled",
)

# By which prices a subscription was served since when; never changed, only continued.
subscription_phases = sa.Table(
    "subscription_phases",
    metadata,
    sa.Column("subscription", sa.Text, sa.ForeignKey("subscriptions.id"), primary_key=True),
    sa.Column("start_us", Us, primary_key=True),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("version", sa.Text, nullable=False),
    sa.Column("cycle", sa.Text, nullable=False),
    sa.Column("quantity", sa.Integer, nullable=False),
)

# ``document`` is all that decided the invoice: what was rated, by which rules, with which credits.
invoices = sa.Table(
    "invoices",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("tenant", sa.Text, sa.ForeignKey("tenants.id"), nullable=False),
    sa.Column("subscription", sa.Text, sa.ForeignKey("subscriptions.id"), nullable=False, index=True),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("series", sa.Text),
    sa.Column("sequence", Count),
    sa.Column("number", sa.Text, unique=True),
    sa.Column("start_us", Us, nullable=False),
    sa.Column("end_us", Us, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("subtotal", sa.Text, nullable=False),
    sa.Column("credited", sa.Text, nullable=False),
    sa.Column("tax", sa.Text, nullable=False),
    sa.Column("total", sa.Text, nullable=False),
    sa.Column("paid", sa.Text, nullable=False),
    sa.Column("watermark", Count, nullable=False),
    sa.Column("document", sa.JSON, nullable=False),
    sa.Column("created_us", Us, nullable=False),
    sa.Column("finalize_us", Us, nullable=False),
    sa.Column("finalized_us", Us),
    sa.Column("due_us", Us),
    sa.Column("closed_us", Us),
    sa.Column("replaces", sa.Text),
    sa.Column("replaced_by", sa.Text),
    sa.Column("revision", Count, nullable=False),
    sa.UniqueConstraint("series", "sequence", name="invoices_numbered_once"),
    sa.Index("invoices_by_tenant", "tenant", "id"),
    sa.Index("invoices_by_state", "state", "due_us"),
    sa.Index("invoices_listed_by_state", "state", "id"),
)
state_among_few = invoices.c.state.concat("")
"""The state where a subscription is given: SQLite would read everybody's drafts by the index of states."""
# SEMANTICS §36: a period is billed once. A void invoice makes room for the one that replaces it.
sa.Index(
    "invoices_once",
    invoices.c.subscription,
    invoices.c.start_us,
    invoices.c.reason,
    unique=True,
    sqlite_where=sa.text("reason IN ('cycle', 'start') AND state != 'void'"),
    postgresql_where=sa.text("reason IN ('cycle', 'start') AND state != 'void'"),
)

# ``charge`` names what a line is for: corrections and credits find by it what was really charged.
invoice_lines = sa.Table(
    "invoice_lines",
    metadata,
    sa.Column("invoice", sa.Text, sa.ForeignKey("invoices.id"), primary_key=True),
    sa.Column("place", sa.Integer, primary_key=True),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("subscription", sa.Text, nullable=False),
    sa.Column("charge", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
    sa.Column("meter", sa.Text, nullable=False),
    sa.Column("quantity", sa.Text, nullable=False),
    sa.Column("exact", sa.Text, nullable=False),
    sa.Column("amount", sa.Text, nullable=False),
    sa.Column("start_us", Us),
    sa.Column("end_us", Us),
    sa.Column("steps", sa.JSON, nullable=False),
    sa.Index("invoice_lines_by_charge", "subscription", "charge"),
)

# What waits for the next invoice of a subscription.
pending_items = sa.Table(
    "pending_items",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("subscription", sa.Text, sa.ForeignKey("subscriptions.id"), nullable=False, index=True),
    sa.Column("item", sa.JSON, nullable=False),
    sa.Column("created_us", Us, nullable=False),
    sa.Column("invoice", sa.Text),
)

# A reference is used once for an invoice: a payment told twice is one payment. ``pending`` ones count for nothing yet.
payments = sa.Table(
    "payments",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("tenant", sa.Text, nullable=False, index=True),
    sa.Column("invoice", sa.Text, sa.ForeignKey("invoices.id"), nullable=False),
    sa.Column("provider", sa.Text, nullable=False),
    sa.Column("reference", sa.Text, nullable=False),
    sa.Column("amount", sa.Text, nullable=False),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("at_us", Us, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False, server_default="payment"),
    sa.Column("status", sa.Text, nullable=False, server_default="succeeded"),
    sa.Column("settled_us", Us),
    sa.Column("settled_by", sa.Text, nullable=False, server_default=""),
    sa.Column("note", sa.Text, nullable=False, server_default=""),
    sa.UniqueConstraint("invoice", "provider", "reference", name="payments_once"),
    sa.Index("payments_by_status", "status", "id"),
)

# Money that a tenant may still use; ``source`` is the invoice, note or person that it came from.
credits = sa.Table(
    "credits",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("tenant", sa.Text, nullable=False, index=True),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("amount", sa.Text, nullable=False),
    sa.Column("remaining", sa.Text, nullable=False),
    sa.Column("priority", sa.Integer, nullable=False),
    sa.Column("created_us", Us, nullable=False),
    sa.Column("expires_us", Us),
    sa.Column("source", sa.Text, nullable=False),
)

credit_draws = sa.Table(
    "credit_draws",
    metadata,
    sa.Column("invoice", sa.Text, sa.ForeignKey("invoices.id"), primary_key=True),
    sa.Column("credit", sa.Text, sa.ForeignKey("credits.id"), primary_key=True),
    sa.Column("tenant", sa.Text, nullable=False),
    sa.Column("amount", sa.Text, nullable=False),
)

credit_notes = sa.Table(
    "credit_notes",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("tenant", sa.Text, nullable=False, index=True),
    sa.Column("invoice", sa.Text, sa.ForeignKey("invoices.id"), nullable=False, index=True),
    sa.Column("series", sa.Text, nullable=False),
    sa.Column("sequence", Count, nullable=False),
    sa.Column("number", sa.Text, nullable=False, unique=True),
    sa.Column("currency", sa.Text, nullable=False),
    sa.Column("subtotal", sa.Text, nullable=False),
    sa.Column("tax", sa.Text, nullable=False),
    sa.Column("total", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("at_us", Us, nullable=False),
    sa.UniqueConstraint("series", "sequence", name="credit_notes_numbered_once"),
)

# Numbers without gaps: taken in the transaction that uses them (SEMANTICS §36).
series = sa.Table(
    "series",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("sequence", Count, nullable=False),
)

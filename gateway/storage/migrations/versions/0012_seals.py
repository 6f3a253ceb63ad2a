"""Seals: what is left of pruned calls and events. Frozen; later changes are later files."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

LATENCY = tuple(f"d{index}" for index in range(14))


def upgrade() -> None:
    """Make the tables."""
    op.add_column("cursors", sa.Column("sealed", sa.BigInteger(), nullable=False, server_default="0"))
    serial = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    op.create_table(
        "seals",
        sa.Column("posting", serial, primary_key=True, autoincrement=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("at_us", sa.BigInteger(), nullable=False),
        sa.Column("decided_us", sa.BigInteger()),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("billable", sa.Boolean(), nullable=False),
        sa.Column("counted", sa.Boolean(), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("calls", sa.BigInteger(), nullable=False),
        sa.Column("request_bytes", sa.BigInteger(), nullable=False),
        sa.Column("response_bytes", sa.BigInteger(), nullable=False),
        sa.Column("units", sa.Text(), nullable=False),
        sa.Column("quota_units", sa.Text()),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in LATENCY),
        sa.Column("ids", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_us", sa.BigInteger(), nullable=False),
    )
    op.create_index("seals_by_tenant", "seals", ["tenant", "at_us"], unique=False)
    op.create_index("seals_by_time", "seals", ["at_us"], unique=False)
    some = sa.text("decided_us IS NOT NULL")
    op.create_index(
        "seals_decided", "seals", ["tenant", "decided_us"], unique=False, sqlite_where=some, postgresql_where=some
    )
    op.create_table(
        "sealed_calls",
        sa.Column("id", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "event_seals",
        sa.Column("posting", serial, primary_key=True, autoincrement=False),
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("meter", sa.Text(), nullable=False),
        sa.Column("distinct", sa.Text(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("at_us", "events", "sum", "max", "latest")),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("latest_us", "latest_posting")),
        sa.Column("ids", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_us", sa.BigInteger(), nullable=False),
    )
    op.create_index("event_seals_by_meter", "event_seals", ["tenant", "meter", "at_us", "posting"], unique=False)


def downgrade() -> None:
    """There is no way down: restore the backup."""
    raise NotImplementedError

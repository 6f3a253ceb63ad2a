"""Coarser sums of usage: days, and quarter hours of a tenant as a whole. Frozen; later changes are later files."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BY_DAY, BY_TENANT = 1, 2
DAY_US = 86_400_000_000
CALL_SUMS = ("calls", "billable", "request_bytes", "response_bytes", *(f"d{index}" for index in range(14)))
UNIT_SUMS = ("units", "quota_units")


def upgrade() -> None:
    """Make the tables, and add up what is there."""
    _make("rollup_sums", (), CALL_SUMS)
    _make("rollup_unit_sums", ("meter",), UNIT_SUMS)
    _fill("rollup_sums", "rollups", (), CALL_SUMS)
    _fill("rollup_unit_sums", "rollup_units", ("meter",), UNIT_SUMS)


def _make(name: str, more: tuple[str, ...], sums: tuple[str, ...]) -> None:
    identity = ("tenant", "kind", "quarter_us", "key", "route", "status_class", *more)
    op.create_table(
        name,
        sa.Column("tenant", sa.Text(), nullable=False),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("quarter_us", sa.BigInteger(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("route", sa.Text(), nullable=False),
        sa.Column("status_class", sa.Integer(), nullable=False),
        *(sa.Column(column, sa.Text(), nullable=False) for column in more),
        *(sa.Column(column, sa.BigInteger(), nullable=False) for column in sums),
        sa.PrimaryKeyConstraint(*identity),
        sqlite_with_rowid=False,
    )
    op.create_index(f"{name}_by_time", name, ["kind", "quarter_us"], unique=False)


def _fill(name: str, source: str, more: tuple[str, ...], sums: tuple[str, ...]) -> None:
    rest = ", ".join(("status_class", *more))
    added = ", ".join(f"sum({column})" for column in sums)
    columns = ", ".join(("tenant", "kind", "quarter_us", '"key"', "route", rest, *sums))
    day = f"quarter_us - quarter_us % {DAY_US}"
    op.execute(
        f"INSERT INTO {name} ({columns}) "  # noqa: S608
        f'SELECT tenant, {BY_DAY}, {day}, "key", route, {rest}, {added} FROM {source} '
        f'GROUP BY tenant, {day}, "key", route, {rest}'
    )
    op.execute(
        f"INSERT INTO {name} ({columns}) "  # noqa: S608
        f"SELECT tenant, {BY_TENANT}, quarter_us, '', '', {rest}, {added} FROM {source} "
        f"GROUP BY tenant, quarter_us, {rest}"
    )


def downgrade() -> None:
    """There is no way down: restore the backup."""
    raise NotImplementedError

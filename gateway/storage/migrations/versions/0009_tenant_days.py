"""Days of a tenant as a whole, so that a year's page reads a row a day. Frozen; later changes are later files."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

BY_TENANT, BY_TENANT_DAY = 2, 3
DAY_US = 86_400_000_000
CALL_SUMS = ("calls", "billable", "request_bytes", "response_bytes", *(f"d{index}" for index in range(14)))
UNIT_SUMS = ("units", "quota_units")


def upgrade() -> None:
    """Add up what is there."""
    _fill("rollup_sums", (), CALL_SUMS)
    _fill("rollup_unit_sums", ("meter",), UNIT_SUMS)


def _fill(name: str, more: tuple[str, ...], sums: tuple[str, ...]) -> None:
    rest = ", ".join(("status_class", *more))
    added = ", ".join(f"sum({column})" for column in sums)
    columns = ", ".join(("tenant", "kind", "quarter_us", '"key"', "route", rest, *sums))
    day = f"quarter_us - quarter_us % {DAY_US}"
    op.execute(
        f"INSERT INTO {name} ({columns}) "  # noqa: S608
        f"SELECT tenant, {BY_TENANT_DAY}, {day}, '', '', {rest}, {added} FROM {name} "
        f"WHERE kind = {BY_TENANT} GROUP BY tenant, {day}, {rest}"
    )


def downgrade() -> None:
    """There is no way down: restore the backup."""
    raise NotImplementedError

"""Parts of long calls have a time of their own beside ``Decision.at`` (SEMANTICS §5). Frozen."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column and the index of the few rows that have it."""
    op.add_column("calls", sa.Column("decided_us", sa.BigInteger(), nullable=True))
    has_one = sa.text("decided_us IS NOT NULL")
    op.create_index(
        "calls_decided", "calls", ["tenant", "decided_us"], unique=False, sqlite_where=has_one, postgresql_where=has_one
    )


def downgrade() -> None:
    """There is no way down: restore the backup."""
    raise NotImplementedError

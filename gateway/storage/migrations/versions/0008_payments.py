"""Payments have a state: announced, come in, rejected, or gone back. Frozen; later changes are later files."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what is there came in."""
    op.add_column("payments", sa.Column("kind", sa.Text(), nullable=False, server_default="payment"))
    op.add_column("payments", sa.Column("status", sa.Text(), nullable=False, server_default="succeeded"))
    op.add_column("payments", sa.Column("settled_us", sa.BigInteger(), nullable=True))
    op.add_column("payments", sa.Column("settled_by", sa.Text(), nullable=False, server_default=""))
    op.add_column("payments", sa.Column("note", sa.Text(), nullable=False, server_default=""))
    op.create_index("payments_by_status", "payments", ["status", "id"], unique=False)


def downgrade() -> None:
    """There is no way down: restore the backup."""
    raise NotImplementedError

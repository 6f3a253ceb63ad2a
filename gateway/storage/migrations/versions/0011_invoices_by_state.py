"""Invoices of one state are listed newest first without sorting. Frozen; later changes are later files."""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the index."""
    op.create_index("invoices_listed_by_state", "invoices", ["state", "id"], unique=False)

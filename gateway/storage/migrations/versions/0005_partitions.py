"""On PostgreSQL the calls are partitioned by range of id, which begins with its time (SEMANTICS §26). Frozen."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

# UUIDv7: whoever posts a month's first call makes its partition; ids of no sensible time stay in the default one.
# ``posting`` is unique by the lock of the ledger's head: a partitioned table could not promise it.
STATEMENTS = (
    "ALTER TABLE calls RENAME TO calls_whole",
    "CREATE TABLE calls (LIKE calls_whole INCLUDING DEFAULTS) PARTITION BY RANGE (id)",
    "DROP TABLE calls_whole",
    "ALTER TABLE calls ADD CONSTRAINT calls_once UNIQUE (id, part)",
    "CREATE INDEX calls_by_tenant ON calls (tenant, at_us)",
    "CREATE INDEX calls_by_time ON calls (at_us)",
    "CREATE INDEX calls_parts ON calls (tenant, id) WHERE part > 0",
    "CREATE INDEX calls_decided ON calls (tenant, decided_us) WHERE decided_us IS NOT NULL",
    "CREATE INDEX calls_by_posting ON calls USING brin (posting)",
    "CREATE TABLE calls_other PARTITION OF calls DEFAULT",
)


def upgrade() -> None:
    """Make the table anew: no gateway before this one could post to PostgreSQL."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    if connection.execute(sa.text("SELECT count(*) FROM calls")).scalar():
        raise RuntimeError("there are calls already: this database was not made by a gateway")
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    """There is no way down: restore the backup."""
    raise NotImplementedError

"""What Alembic runs: the upgrade, on the connection and in the transaction that ``storage.migrate`` opened."""

from alembic import context

from gateway.storage.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()

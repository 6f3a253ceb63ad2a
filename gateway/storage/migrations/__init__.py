"""Migrations of the schema, run by ``gateway.storage.migrate``."""

"""Which database a store's URL names, and opening it; the drivers of PostgreSQL are loaded only for PostgreSQL."""

from pathlib import Path

from gateway.storage.engine import Database, SqliteDatabase, sqlite_path

POSTGRES = "postgresql://"


def is_postgres(url: str) -> bool:
    """Whether the store is on a server that hosts share."""
    return url.startswith(POSTGRES)


def is_missing(url: str, folder: Path) -> bool:
    """Whether the store's file is not there yet; a server's database is made by its operator."""
    return not is_postgres(url) and not sqlite_path(url, folder).exists()


def open_database(url: str, folder: Path) -> Database:
    """The database behind ``store.url``; nothing is connected yet. Raises ``GatewayError`` for another kind of URL."""
    if is_postgres(url):
        from gateway.storage.postgres import PostgresDatabase

        return PostgresDatabase(url)
    return SqliteDatabase(sqlite_path(url, folder))

"""Inserting many rows in one statement's time: the driver gets plain tuples, and no value is looked at on the way."""

from collections.abc import Sequence
from functools import cache

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection


async def insert_many(
    connection: AsyncConnection, table: sa.Table, columns: tuple[str, ...], rows: Sequence[tuple[object, ...]]
) -> None:
    """Insert rows whose values are what the driver takes as they are: numbers, texts, bytes."""
    if rows:
        await connection.exec_driver_sql(_statement(table, columns, connection.dialect), list(rows))


@cache
def _statement(table: sa.Table, columns: tuple[str, ...], dialect: sa.Dialect) -> str:
    insert = sa.insert(table).compile(dialect=dialect, column_keys=list(columns))
    order = insert.positiontup or ()
    assert tuple(order) == columns, "columns are given in the table's order"
    return str(insert)

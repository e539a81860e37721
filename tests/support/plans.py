"""Plans of statements, as the database explains them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Executable, text
from support.live import LiveServer


async def plan_of(live: LiveServer, statement: Executable, values: dict[str, Any]) -> str:
    """What the database says that it will do, for parameters of any value."""
    db = live.runtime.db
    async with db.writer.connect() as connection:
        compiled: Any = statement.compile(dialect=db.writer.dialect)  # type: ignore[attr-defined]
        if db.is_sqlite:
            written = compiled.construct_expanded_state(values)
            driver: Any = (await connection.get_raw_connection()).driver_connection
            given = [_stored(value) for value in written.positional_parameters]
            cursor = await driver.execute(f"EXPLAIN QUERY PLAN {written.statement}", given)
            return "\n".join(row[-1] for row in await cursor.fetchall())
        await connection.execute(text("SET LOCAL plan_cache_mode = force_generic_plan"))
        written = compiled.construct_expanded_state(values)
        return "\n".join(
            row[0]
            for row in await connection.exec_driver_sql(
                f"EXPLAIN {written.statement}", tuple(written.positional_parameters)
            )
        )


def _stored(value: Any) -> Any:
    return value if value is None or isinstance(value, int | str) else str(value)

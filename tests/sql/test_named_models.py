"""Models that settings name: of many projects only those are read that name one."""

from __future__ import annotations

from sqlalchemy import insert, text
from support.live import LiveServer
from support.rows import change, rows

from sql.statements import model_prices as statements
from sql.tables import agent_settings, projects

MANY = 5_000
FEW = 3


async def test_of_many_projects_and_agents_only_those_are_read_that_name_a_model(sanic_client: LiveServer) -> None:
    now = sanic_client.ctx.now()
    stamps = {"created_at": now, "updated_at": now}
    numbers = [(number, f"model {number}" if number < FEW else None) for number in range(MANY)]
    async with sanic_client.ctx.write() as conn:
        await conn.insert_all(
            insert(projects),
            [
                {"project_id": f"p{number}", "name": "P", "created_by": "tests", "model_override": model, **stamps}
                for number, model in numbers
            ],
        )
        await conn.insert_all(
            insert(agent_settings),
            [
                {"project_id": f"p{number}", "agent_type": "qa", "model_override": model, **stamps}
                for number, model in numbers
            ],
        )
    await change(sanic_client, text("ANALYZE"))
    asked = {"batch": "[]", "primary_provider": "openai", "size": 100}
    db = sanic_client.runtime.db
    said = str(
        statements.named_models.params(**asked).compile(
            dialect=db.reader.dialect, compile_kwargs={"literal_binds": True}
        )
    )

    plan = await rows(sanic_client, text(("EXPLAIN QUERY PLAN " if db.is_sqlite else "EXPLAIN ") + said))

    told = "\n".join(str(line[-1]) for line in plan)
    assert told.count("ix_projects_model_override") == 1, told
    assert told.count("ix_agent_settings_model_override") == 1, told
    assert "Seq Scan on projects" not in told, told
    assert len(await rows(sanic_client, statements.named_models, **asked)) == FEW

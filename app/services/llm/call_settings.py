"""What a call is made with: the settings that hold and own prices, by a statement that callers who wait share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson
from sqlalchemy.engine import Row

from app.context import Context
from app.database.connections import as_batch
from app.errors import ProjectNotFoundError
from app.runtime import Coalesced, Runtime
from app.services.ledger.reservations import PARTS
from app.services.llm.effective import EffectiveSettings, resolve
from app.services.llm.levels import levels_of
from app.services.llm.model_price import Rate
from app.services.llm.setting_values import Provider, agent_type_named
from app.services.llm.system_settings import MODELS, defaults_of
from sql.statements import call_settings as statements

# The operators' own prices by provider and model.
OwnRates = Mapping[tuple[Provider, str], Rate]


class Asked(NamedTuple):
    """Whose settings are asked for: an agent's in a project, or in none."""

    project_id: str | None
    agent_type: str


class CallSettings(NamedTuple):
    """The settings that hold, and the own prices of the models that they may name."""

    settings: EffectiveSettings
    own_rates: OwnRates


async def call_settings(ctx: Context, project_id: str | None, agent_type: str) -> CallSettings:
    """What holds for an agent in a project, or in none; the statement begins after this was asked.

    Raises ValidationError naming ``agent``, ProjectNotFoundError.
    """
    asked = Asked(project_id, agent_type_named(agent_type, "agent"))
    found = await ctx.runtime.coalescer(CALL_SETTINGS).ask(asked)
    if found is None:
        raise ProjectNotFoundError(project_id=project_id)
    return found


async def _read(runtime: Runtime, questions: Sequence[Asked]) -> Sequence[CallSettings | None]:
    """The answers in the same order; None where there is no such project. The same question is asked once."""
    different = list(dict.fromkeys(questions))
    batch = as_batch([{"place": place, **asked._asdict()} for place, asked in enumerate(different)])
    async with runtime.db.read() as conn:
        rows = await conn.rows(statements.call_settings, batch=batch, **defaults_of(*MODELS.values()))
    found = {asked: _answer(asked, row) for asked, row in zip(different, rows, strict=True)}
    return [found[asked] for asked in questions]


def _answer(asked: Asked, row: Row[Any]) -> CallSettings | None:
    rates = {(provider, model): _rate(*prices) for provider, model, *prices in orjson.loads(row.prices or "[]")}
    if asked.project_id is not None and row.project_number is None:
        return None
    levels = levels_of(row)
    if asked.project_id is None:
        return CallSettings(resolve(levels.system, agent_type=asked.agent_type), rates)
    return CallSettings(resolve(*levels, asked.agent_type), rates)


def _rate(input_price: int, cached_input_price: int | None, output_price: int) -> Rate:
    return Rate(0, input_price, cached_input_price, None, output_price)


CALL_SETTINGS: Final = Coalesced("call_settings", _read, lanes=1, parts=PARTS)

"""Statements: each names the tenant whose rows it touches, and each is compiled once."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections import Counter
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from sqlalchemy import (
    CTE,
    BindParameter,
    ColumnElement,
    Delete,
    Executable,
    Insert,
    Select,
    Table,
    Update,
    bindparam,
    delete,
    event,
    func,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BinaryExpression
from support.live import LiveServer
from support.variants import values_of, variants

import sql.lists
import sql.statements
from sql.hidden import hidden_too, is_shown, tenant_is_shown
from sql.lists import tenant_list
from sql.scope import across_tenants
from sql.statements import licensing
from sql.tables import agent_settings, devices, plans, tenants, usage_events

CHANGES = (Insert, Update, Delete)


def statement_modules() -> list[pkgutil.ModuleInfo]:
    """The modules of statements and of lists."""
    packages = (sql.statements, sql.lists)
    return [info for package in packages for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]


def statements() -> Iterator[tuple[str, Executable]]:
    """Every named statement, and every variant of those that a function makes, by its arguments."""
    for info in statement_modules():
        module = importlib.import_module(info.name)
        for name, value in vars(module).items():
            if name.startswith("_") or inspect.isclass(value):
                continue
            if isinstance(value, Executable):
                yield f"{_last(info.name)}.{name}", value
            elif callable(value) and getattr(value, "__module__", None) == module.__name__:
                yield from ((f"{_last(info.name)}.{name}({text})", statement) for text, statement in variants(value))


def _last(name: str) -> str:
    return name.rpartition(".")[2]


def tables_of(statement: Any) -> set[Table]:
    """The tables with a tenant that a statement reads or changes, wherever in it they stand."""
    found = {part for part in visitors.iterate(statement) if isinstance(part, Table)}
    if isinstance(statement, Insert | Update | Delete):
        found.add(statement.table)
    return {table for table in found if "tenant_id" in table.c}


def is_tenant_of(side: Any, table: Table) -> bool:
    return isinstance(side, ColumnElement) and getattr(side, "name", "") == "tenant_id" and side.table is table


def compared_tables(statement: Any) -> set[Table]:
    """The tables whose tenant_id is compared with something for equality, followed back to where it is given."""
    pairs: list[tuple[Any, Any]] = [
        (part.left, part.right)
        for part in visitors.iterate(statement)
        if isinstance(part, BinaryExpression) and part.operator is operators.eq
    ]
    given: set[Table] = set()
    while True:
        more = {
            table
            for table in tables_of(statement) - given
            for left, right in (*pairs, *((right, left) for left, right in pairs))
            if is_tenant_of(left, table) and is_given(right, given)
        }
        if not more:
            return given
        given |= more


def is_given(side: Any, given: set[Table]) -> bool:
    """A parameter, a row of the batch, the tenants' own key, or the tenant of a table that is given itself."""
    if isinstance(side, BindParameter):
        return True
    if isinstance(side, Select) or hasattr(side, "element"):
        inner = getattr(side, "element", side)
        return any(isinstance(part, Table) and part is tenants for part in visitors.iterate(inner))
    table = getattr(side, "table", None)
    if table is tenants:
        return side.name == "id"
    if isinstance(table, Table):
        return table in given and side.name == "tenant_id"
    return table is not None and side.name == "tenant_id"


def unscoped(statement: Any) -> set[str]:
    """The tables of tenants that a statement touches without naming the tenant; none if it says why it may."""
    if statement.get_execution_options().get("across_tenants"):
        return set()
    missing = tables_of(statement) - compared_tables(statement)
    if isinstance(statement, Insert):
        columns = {column.key for column in statement.table.c if not column.nullable}
        if statement.table in missing and "tenant_id" in columns:
            missing.discard(statement.table)
    return {table.name for table in missing}


def is_change(statement: Any) -> bool:
    """Whether it changes rows, itself or in a part of it."""
    return any(isinstance(part, CHANGES) for part in visitors.iterate(statement))


STATEMENTS = dict(statements())


def test_there_are_statements_to_look_at() -> None:
    modules = {_last(info.name) for info in statement_modules()}

    assert {name.partition(".")[0] for name in STATEMENTS} == modules
    assert len(STATEMENTS) >= 400


def test_every_variant_of_a_function_is_looked_at() -> None:
    counts = Counter(name.partition("(")[0] for name in STATEMENTS if "(" in name)

    assert counts == {
        "events.events_page": 2**6 * 2,
        "code_list.code_page": 2 * 3 * 2 * 2,
        "code_list.codes_matching": 2 * 2,
        "device_list.device_page": 2 * 2 * 2 * 2,
        "device_list.devices_matching": 2,
        "project_list.project_page": 2 * 2,
        "progress_list.project_page": 2**4,
        "progress_list.task_page": 2**5,
        "progress.task_by_id": 2,
        "progress.figures_by_agent": 2 * 2,
        "progress.project_counts": 2,
        "progress.newly_completed": 2,
        "run_list.run_page": 2 * 2 * 2,
        "run_progress.runs_by_id": 2,
        "account_list.account_page": 2**4 * 2,
        "llm_alerts.alert_page": 2,
        "project_list.projects_matching": 4,
        "statistics.tenants_with_projects": 2,
        "setting_change_list.setting_change_page": 2**6,
        "llm_call_list.call_page": 2**4 * 4 * 2,
        "template_list.template_page": 3 * 2 * 2,
        "tenant_list.tenant_page": 4 * 2 * 2 * 3 * 2,
        "tenant_list.tenants_by_ids": 4 * 2,
        "tenant_list.tenant_page_by_usage": 2 * 3 * 3 * 2,
        "tenant_list.tenants_matching": 3 * 2 * 4 * 6 * 2,
        "checkouts.purchases": 2,
        "reconciliation.known_customers": 2,
        "usage.event_page": 2 * 2,
        "tenant_deletions.number_of": 26,
        "tenant_deletions.delete_some": 26,
    }


@pytest.mark.parametrize("kind", [str, int, str | None, list[bool]])
def test_a_parameter_of_any_value_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match="nobody says which values"):
        values_of(kind)


def test_a_statement_names_the_tenant_whose_rows_it_touches() -> None:
    assert {name: tables for name, statement in STATEMENTS.items() if (tables := unscoped(statement))} == {}


def test_who_looks_across_tenants_says_why() -> None:
    marked = {
        name: reason
        for name, statement in STATEMENTS.items()
        if (reason := statement.get_execution_options().get("across_tenants"))
    }

    assert all(len(reason.split()) >= 5 for reason in marked.values())
    # Operators read what all tenants have; what changes rows of several tenants is the exception.
    for changes, share in ((True, 1 / 5), (False, 9 / 20)):
        of_kind = [name for name, statement in STATEMENTS.items() if is_change(statement) is changes]
        by_name = [{name.partition("(")[0] for name in of_kind if name in names} for names in (marked, STATEMENTS)]
        assert 0 < len(by_name[0]) < len(by_name[1]) * share


UNSCOPED = {
    "everything": select(devices),
    "by id": select(devices.c.id).where(devices.c.id == bindparam("id")),
    "not the tenant": select(devices.c.id).where(devices.c.tenant_id != bindparam("tenant_id")),
    "tenant of itself": select(devices.c.id).where(devices.c.tenant_id == devices.c.tenant_id),
    "only selected": select(devices.c.tenant_id).where(devices.c.id == bindparam("tenant_id")),
    "a change": update(devices).where(devices.c.id == bindparam("of_id")),
    "a removal": delete(usage_events).where(usage_events.c.event_id == bindparam("event_id")),
    "in a subquery": select(plans).where(plans.c.id.in_(select(devices.c.id))),
    "a join without": select(usage_events)
    .join(devices, devices.c.id == usage_events.c.device_id)
    .where(usage_events.c.tenant_id == bindparam("tenant_id")),
    "in a row source": insert(plans).from_select(["id"], select(devices.c.id)),
    "a count": select(func.count()).select_from(devices),
}


@pytest.mark.parametrize("name", UNSCOPED)
def test_the_check_finds_a_statement_that_forgets_the_tenant(name: str) -> None:
    assert unscoped(UNSCOPED[name])


def test_the_check_accepts_a_reason() -> None:
    assert unscoped(across_tenants(select(devices), "because this test says so")) == set()


# What outlives its tenant: operators see it as before.
OUTLIVING = {"platform_events", "llm_calls", "tenant_deletions", "ledger_accounts"}


def parts_of(statement: Any) -> Iterator[Any]:
    """Every part of a statement, those of the common table expressions among them whose columns it names."""
    seen: set[Any] = set()
    waiting = [statement]
    while waiting:
        for part in visitors.iterate(waiting.pop()):
            yield part
            source = getattr(part, "table", None)
            if isinstance(source, CTE) and source not in seen:
                seen.add(source)
                waiting.append(source)


def owned_tables(statement: Any) -> set[Table]:
    """The tables that a statement reads whose rows are a tenant's or a project's, the tenants themselves among them."""
    found = {part for part in parts_of(statement) if isinstance(part, Table)}
    if isinstance(statement, Update | Delete):
        found.add(statement.table)
    return {
        table
        for table in found - {statement.table if isinstance(statement, Insert) else None}
        if table is tenants or ({"tenant_id", "project_id"} & set(table.c.keys()) and table.name not in OUTLIVING)
    }


def shows_hidden(statement: Any) -> bool:
    """Whether a statement may find what is a hidden tenant's, and does not say why it may.

    It finds none that asks whether the tenant is being deleted, or looks the tenant up by its slug, which is another
    one by then. Where the tenant's id is a parameter, whoever passes it has looked the tenant up.
    """
    if statement.get_execution_options().get("hidden_too") or not (owned := owned_tables(statement)):
        return False
    compared = [part for part in parts_of(statement) if isinstance(part, BinaryExpression)]
    sides = [side for part in compared for side in (part.left, part.right)]
    if any(side is tenants.c.deleted_at for side in sides):
        return False
    if any(part.operator is operators.eq and tenants.c.slug in (part.left, part.right) for part in compared):
        return False
    is_given = any(isinstance(side, BindParameter) and side.key in {"tenant_id", "of_tenant_id"} for side in sides)
    return tenants in owned or not is_given


def test_a_statement_finds_nothing_of_a_hidden_tenant() -> None:
    assert [name for name, statement in STATEMENTS.items() if shows_hidden(statement)] == []


def test_who_finds_what_is_hidden_says_why() -> None:
    marked = {
        name: reason
        for name, statement in STATEMENTS.items()
        if (reason := statement.get_execution_options().get("hidden_too"))
    }

    assert all(len(reason.split()) >= 5 for reason in marked.values())
    assert 0 < len(marked) < len(STATEMENTS) / 10


SHOWING = {
    "everything": select(devices),
    "by id": select(devices.c.id).where(devices.c.id == bindparam("id")),
    "a tenant by its id": select(tenants.c.name).where(tenants.c.id == bindparam("tenant_id")),
    "joined to its tenant": select(devices.c.id).join(tenants, tenants.c.id == devices.c.tenant_id),
    "of a project": select(agent_settings).where(agent_settings.c.project_id == bindparam("project_id")),
    "a removal": delete(usage_events).where(usage_events.c.event_id == bindparam("event_id")),
    "in a row source": insert(plans).from_select(["id"], select(devices.c.id)),
    "in order of the slug": select(tenants.c.slug).where(tenants.c.slug > bindparam("after_slug")),
}


@pytest.mark.parametrize("name", SHOWING)
def test_the_check_finds_a_statement_that_shows_what_is_hidden(name: str) -> None:
    assert shows_hidden(SHOWING[name])


def test_the_check_accepts_the_condition_and_a_reason() -> None:
    assert not shows_hidden(select(devices).where(is_shown(devices)))
    assert not shows_hidden(select(agent_settings).where(is_shown(agent_settings)))
    assert not shows_hidden(select(tenants).where(tenant_is_shown))
    assert not shows_hidden(hidden_too(select(devices), "because this test says so"))


@pytest.mark.parametrize("dialect", [sqlite.dialect(), postgresql.dialect()], ids=lambda dialect: dialect.name)
def test_every_statement_can_be_compiled(dialect: Any) -> None:
    assert all(str(statement.compile(dialect=dialect)) for statement in STATEMENTS.values())


async def test_every_statement_is_understood_by_the_database(sanic_client: LiveServer) -> None:
    """The server looks up every table, column, function and type of it, and runs nothing."""
    db = sanic_client.runtime.db
    refused: dict[str, str] = {}
    async with db.writer.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        for name, statement in STATEMENTS.items():
            if name.startswith("database_server."):
                # Each of them is for one kind of server.
                continue
            if statement.get_execution_options().get("is_chain") and not db.chains_changes:
                continue
            compiled: Any = statement.compile(dialect=db.writer.dialect)  # type: ignore[attr-defined]
            given = {key: None for key, parameter in compiled.binds.items() if parameter.required}
            written = compiled.construct_expanded_state(given)
            try:
                if db.is_sqlite:
                    await driver.execute(f"EXPLAIN {written.statement}", written.positional_parameters)
                else:
                    await driver.prepare(written.statement)
            except Exception as failure:  # noqa: BLE001 - whatever the driver calls it
                refused[name] = f"{type(failure).__name__}: {failure}"

    assert refused == {}


def test_every_statement_can_be_found_in_the_compiled_cache() -> None:
    keyless = [name for name, statement in STATEMENTS.items() if statement._generate_cache_key() is None]

    assert keyless == []


async def test_a_batch_of_any_length_is_one_statement_that_is_compiled_once(sanic_client: LiveServer) -> None:
    compiled: list[str] = []
    texts: list[str] = []

    def note(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        texts.append(statement)
        compiled.append(context.compiled.cache_key and context.cache_hit.name)

    engine = sanic_client.runtime.db.reader.sync_engine
    async with sanic_client.ctx.read() as conn:
        event.listen(engine, "before_cursor_execute", note)
        for length in (1, 2, 300):
            batch = orjson.dumps([{"tenant_id": 1, "device_id": number} for number in range(length)]).decode()
            await conn.rows(licensing.device_standings, batch=batch)
        event.remove(engine, "before_cursor_execute", note)

    assert len(set(texts)) == 1
    assert compiled[1:] == ["CACHE_HIT", "CACHE_HIT"]


@pytest.mark.postgresql_only("SQLite plans once, without looking at the values")
async def test_a_pattern_is_planned_anew_each_time(sanic_client: LiveServer) -> None:
    plans_made = (
        "SELECT custom_plans, generic_plans FROM pg_prepared_statements WHERE statement LIKE 'WITH matches AS%'"
    )
    statement = tenant_list.tenants_matching(None, False, 0)
    async with sanic_client.ctx.read() as conn:
        for number in range(10):
            await conn.rows(statement, pattern=f"%acme {number}%")
        ((custom, generic),) = await conn.rows(text(plans_made))

    assert (custom, generic) == (10, 0)

"""Usage events that are voided, and names with a folded key by which they are searched and ordered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import DBAPIError

from sql.folding import MAX_KEY, joined_key, key
from sql.tables.columns import Instant

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

VOIDED = sa.text("voided_at IS NOT NULL")
ROWS_AT_ONCE = 1000
SEARCHED = ("project_id", "name", "client_name", "description", "custom_instructions")
# Table, its new column, what it is made of, and how.
FOLDED: tuple[tuple[str, str, Sequence[str], Callable[..., str | None]], ...] = (
    ("tenants", "folded_name", ("name",), key),
    ("activation_codes", "folded_label", ("label",), key),
    ("devices", "folded_label", ("label",), key),
    ("projects", "folded_name", ("client_name", "name"), key),
    ("projects", "searched", SEARCHED, joined_key),
)
# Not every server offers the extension; nothing depends on it.
TRIGRAMS = (
    ("tenants", "folded_name"),
    ("tenants", "slug"),
    ("activation_codes", "folded_label"),
    ("devices", "folded_label"),
    ("projects", "searched"),
)
OLD_TRIGRAMS = (
    ("tenants", "name"),
    ("tenants", "slug"),
    ("activation_codes", "label"),
    ("devices", "label"),
    *(("projects", name) for name in SEARCHED),
)
# Texts of plain letters are folded by the database, in one statement.
PLAIN_POSTGRESQL = "{name} ~ '^[!-~]+( [!-~]+)*$'"
PLAIN_SQLITE = "{name} NOT GLOB '*[^ -~]*' AND {name} NOT LIKE '%  %' AND {name} = trim({name}) AND {name} <> ''"

# An event that is voided leaves its sums, and one that is no longer voided comes back to them.
VOID_SQLITE = """
CREATE TRIGGER usage_events_void AFTER UPDATE OF voided_at ON usage_events
WHEN (old.voided_at IS NULL) <> (new.voided_at IS NULL)
BEGIN
    INSERT INTO usage_rollups (tenant_id, day, kind, quantity, events)
    VALUES (
        new.tenant_id, new.day, new.kind,
        CASE WHEN new.voided_at IS NULL THEN new.quantity ELSE -new.quantity END,
        CASE WHEN new.voided_at IS NULL THEN 1 ELSE -1 END
    )
    ON CONFLICT (tenant_id, day, kind)
    DO UPDATE SET quantity = quantity + excluded.quantity, events = events + excluded.events;
    INSERT INTO run_changes (tenant_id, month, runs)
    SELECT new.tenant_id, date(new.day, 'start of month'),
        CASE WHEN new.voided_at IS NULL THEN new.quantity ELSE -new.quantity END
    WHERE new.kind = 'run';
END
"""

VOID_FUNCTION_POSTGRESQL = """
CREATE FUNCTION usage_events_void() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO usage_rollups AS sums (tenant_id, day, kind, quantity, events)
    SELECT after.tenant_id, after.day, after.kind,
        sum(CASE WHEN after.voided_at IS NULL THEN after.quantity ELSE -after.quantity END),
        sum(CASE WHEN after.voided_at IS NULL THEN 1 ELSE -1 END)
    FROM after JOIN before ON before.tenant_id = after.tenant_id AND before.event_id = after.event_id
    WHERE (before.voided_at IS NULL) <> (after.voided_at IS NULL)
    GROUP BY 1, 2, 3 ORDER BY 1, 2, 3
    ON CONFLICT (tenant_id, day, kind)
    DO UPDATE SET quantity = sums.quantity + excluded.quantity, events = sums.events + excluded.events;
    INSERT INTO run_changes (tenant_id, month, runs)
    SELECT after.tenant_id, date_trunc('month', after.day::timestamp)::date,
        sum(CASE WHEN after.voided_at IS NULL THEN after.quantity ELSE -after.quantity END)
    FROM after JOIN before ON before.tenant_id = after.tenant_id AND before.event_id = after.event_id
    WHERE after.kind = 'run' AND (before.voided_at IS NULL) <> (after.voided_at IS NULL)
    GROUP BY 1, 2;
    RETURN NULL;
END $$
"""

VOID_POSTGRESQL = """
CREATE TRIGGER usage_events_void AFTER UPDATE ON usage_events
REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION usage_events_void()
"""


def upgrade() -> None:
    """Add the columns, the trigger and the indexes, and fold the names that are there."""
    _add_voiding()
    _add_keys()


def _add_voiding() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    op.add_column("plans", sa.Column("tenant_may_void", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("usage_events", sa.Column("voided_at", Instant(), nullable=True))
    op.add_column("usage_events", sa.Column("voided_by", sa.String(length=255), nullable=True))
    op.create_index(
        "ix_usage_events_voided",
        "usage_events",
        ["tenant_id", "event_id"],
        postgresql_where=VOIDED,
        sqlite_where=VOIDED,
    )
    for statement in (VOID_SQLITE,) if is_sqlite else (VOID_FUNCTION_POSTGRESQL, VOID_POSTGRESQL):
        op.get_bind().exec_driver_sql(statement)


def downgrade() -> None:
    """Drop them; sums without voided events stay as they are, and the proof of the sums would tell of them."""
    _drop_keys()
    _drop_voiding()


def _drop_voiding() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    op.execute("DROP TRIGGER usage_events_void" if is_sqlite else "DROP TRIGGER usage_events_void ON usage_events")
    if not is_sqlite:
        op.execute("DROP FUNCTION usage_events_void()")
    op.drop_index("ix_usage_events_voided", table_name="usage_events")
    for column in ("voided_by", "voided_at"):
        op.drop_column("usage_events", column)
    op.drop_column("plans", "tenant_may_void")


def _add_keys() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    collation = None if is_sqlite else "C"
    for table, column, _, _ in FOLDED:
        kind = sa.Text(collation=collation) if column == "searched" else sa.String(MAX_KEY, collation=collation)
        is_optional = column == "folded_label"
        default = None if is_optional else sa.text("''")
        op.add_column(table, sa.Column(column, kind, nullable=is_optional, server_default=default))
    _drop_trigrams(OLD_TRIGRAMS)
    op.drop_index("ix_tenants_name_created_at_id", table_name="tenants")
    for table, column, parts, folded in FOLDED:
        _fill(table, column, parts, folded)
    op.create_index("ix_tenants_folded_name_created_at_id", "tenants", ["folded_name", "created_at", "id"])
    if not is_sqlite:
        # In the order of its characters, as SQLite has it.
        op.execute('ALTER TABLE tenants ALTER COLUMN slug TYPE varchar(100) COLLATE "C"')
        _make_trigrams(TRIGRAMS, "{column}")


def _fill(table: str, column: str, parts: Sequence[str], folded: Callable[..., str | None]) -> None:
    """Set a column of every row: of plain letters at once, of others some rows at a time."""
    connection = op.get_bind()
    is_sqlite = connection.dialect.name == "sqlite"
    rows = sa.table(table, *(sa.column(name) for name in {"id", column, *parts}))
    is_left: Any = sa.true()
    if len(parts) == 1:
        plain = (PLAIN_SQLITE if is_sqlite else PLAIN_POSTGRESQL).format(name=parts[0])
        lower = f"lower({parts[0]})" if is_sqlite else f'lower({parts[0]} COLLATE "C")'
        connection.execute(sa.text(f"UPDATE {table} SET {column} = {lower} WHERE {plain}"))  # noqa: S608 - our names
        is_left = sa.and_(sa.text(f"NOT ({plain})"), rows.c[parts[0]].is_not(None))
    after = 0
    page = sa.select(rows.c.id, *(rows.c[name] for name in parts)).where(is_left).order_by(rows.c.id)
    change = sa.update(rows).where(rows.c.id == sa.bindparam("of_id")).values({column: sa.bindparam("folded")})
    while some := connection.execute(page.where(rows.c.id > after).limit(ROWS_AT_ONCE)).all():
        connection.execute(change, [{"of_id": row[0], "folded": folded(*row[1:])} for row in some])
        after = some[-1][0]


def _drop_trigrams(indexes: Sequence[tuple[str, str]]) -> None:
    for table, column in indexes:
        op.execute(f"DROP INDEX IF EXISTS ix_{table}_{column}_trigram")


def _make_trigrams(indexes: Sequence[tuple[str, str]], part: str) -> None:
    connection = op.get_bind()
    extension = connection.execute(sa.text("SELECT 1 FROM pg_available_extensions WHERE name = 'pg_trgm'")).first()
    if extension is None:
        return
    try:
        with connection.begin_nested():
            connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS pg_trgm"))
            for table, column in indexes:
                name, indexed = f"ix_{table}_{column}_trigram", part.format(column=column)
                connection.execute(sa.text(f"CREATE INDEX {name} ON {table} USING gin ({indexed} gin_trgm_ops)"))
    except DBAPIError:
        return


def _drop_keys() -> None:
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    _drop_trigrams(TRIGRAMS)
    op.drop_index("ix_tenants_folded_name_created_at_id", table_name="tenants")
    for table, column, _, _ in FOLDED:
        op.drop_column(table, column)
    op.create_index("ix_tenants_name_created_at_id", "tenants", ["name", "created_at", "id"])
    if not is_sqlite:
        op.execute('ALTER TABLE tenants ALTER COLUMN slug TYPE varchar(100) COLLATE "default"')
        _make_trigrams(OLD_TRIGRAMS, "lower({column})")

"""What tenants are asked to pay: who asks Stripe, of what they are told, and what the vendor has earned."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import sqlalchemy as sa
from alembic import op

from sql.tables.columns import Instant, only_where

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None

OLD_KINDS = ("one_time_password", "welcome")
NEW_KINDS = (*OLD_KINDS, "payment_failed", "grace_ended", "trial_ending")
OLD_STATES = ("waiting", "sent", "failed", "unreachable")
NEW_STATES = (*OLD_STATES, "needless")

QUARTER_SECONDS = 900
INSERT = "INSERT INTO statistics_changes (metric, dimension, bucket, change)"
CHANGES = {"INSERT": {"new": 1}, "DELETE": {"old": -1}, "UPDATE": {"new": 1, "old": -1}}
TRANSITIONS = {"new": "added", "old": "removed"}
# The metric of a table, its moment, its rows, and the columns whose UPDATE fires the trigger.
EARNED: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    "invoices": (
        "revenue_invoices",
        "paid_at",
        "{row}.state = 'paid' AND {row}.paid_at IS NOT NULL",
        ("state", "amount", "amount_refunded", "currency", "paid_at"),
    ),
    "checkouts": (
        "revenue_codes",
        "completed_at",
        "{row}.kind = 'codes' AND {row}.state IN ('paid', 'refunded') AND {row}.completed_at IS NOT NULL",
        ("state", "amount", "amount_refunded", "completed_at"),
    ),
}


def _moves(table: str, quarter: str, signs: Mapping[str, int], source: str = "") -> str:
    metric, moment, condition, _ = EARNED[table]
    return "\n    UNION ALL ".join(
        f"SELECT '{metric}' AS metric, {row}.currency AS dimension, {quarter.format(f'{row}.{moment}')} AS bucket,"
        f" {sign} * ({row}.amount - {row}.amount_refunded) AS change{source.format(row=row)}"
        f" WHERE {condition.format(row=row)}"
        for row, sign in signs.items()
    )


def _sqlite_triggers() -> Iterator[str]:
    quarter = f"CAST(strftime('%s', substr({{}}, 1, 19)) AS INTEGER) / {QUARTER_SECONDS}"
    for table, (*_, updates) in EARNED.items():
        for change, signs in CHANGES.items():
            columns = f" OF {', '.join(updates)}" if change == "UPDATE" else ""
            yield (
                f"CREATE TRIGGER {table}_statistics_{change.lower()} AFTER {change}{columns} ON {table}\nBEGIN\n"  # noqa: S608 - names of ours
                f"    {INSERT}\n    SELECT metric, dimension, bucket, sum(change) FROM (\n"
                f"    {_moves(table, quarter, signs)}\n    )"
                " GROUP BY metric, dimension, bucket HAVING sum(change) <> 0;\nEND"
            )


def _postgresql_triggers() -> Iterator[str]:
    quarter = f"CAST(floor(extract(epoch FROM {{}}) / {QUARTER_SECONDS}) AS INTEGER)"
    for table, (*_, updates) in EARNED.items():
        for change, signs in CHANGES.items():
            name = f"{table}_statistics_{change.lower()}"
            by_row = change == "UPDATE"
            rows = signs if by_row else {TRANSITIONS[row]: sign for row, sign in signs.items()}
            yield (
                f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n"  # noqa: S608 - names of ours
                f"    {INSERT}\n    SELECT metric, dimension, bucket, sum(change) FROM (\n"
                f"    {_moves(table, quarter, rows, '' if by_row else ' FROM {row}')}\n    ) AS moves"
                " GROUP BY metric, dimension, bucket HAVING sum(change) <> 0;\n    RETURN NULL;\nEND $$"
            )
            if by_row:
                old, new = (", ".join(f"{row}.{column}" for column in updates) for row in ("old", "new"))
                yield (
                    f"CREATE TRIGGER {name} AFTER UPDATE OF {', '.join(updates)} ON {table} FOR EACH ROW\n"
                    f"WHEN (({old}) IS DISTINCT FROM ({new})) EXECUTE FUNCTION {name}()"
                )
            else:
                transitions = " ".join(f"{row.upper()} TABLE AS {TRANSITIONS[row]}" for row in signs)
                yield (
                    f"CREATE TRIGGER {name} AFTER {change} ON {table}\n"
                    f"REFERENCING {transitions} FOR EACH STATEMENT EXECUTE FUNCTION {name}()"
                )


def _permit(kinds: tuple[str, ...], states: tuple[str, ...]) -> None:
    """Permit these kinds and states of deliveries; SQLite writes the table anew for that."""
    with op.batch_alter_table("deliveries") as deliveries:
        for column, values in (("kind", kinds), ("state", states)):
            name = op.f(f"ck_deliveries_{column}")
            deliveries.drop_constraint(name, type_="check")
            deliveries.create_check_constraint(name, f"{column} IN {values}")


def upgrade() -> None:
    """Add the columns, and the triggers that keep what was earned."""
    op.add_column("checkouts", sa.Column("asked_until", Instant(), nullable=True))
    op.add_column("subscriptions", sa.Column("told_of_grace", Instant(), nullable=True))
    op.add_column("subscriptions", sa.Column("told_of_trial", Instant(), nullable=True))
    op.create_index(
        "ix_subscriptions_graces",
        "subscriptions",
        ["grace_until"],
        unique=False,
        **only_where("state = 'past_due' AND ended_at IS NULL AND grace_until IS NOT NULL"),
    )
    op.create_index(
        "ix_subscriptions_trials",
        "subscriptions",
        ["trial_ends_at"],
        unique=False,
        **only_where("state = 'trialing' AND ended_at IS NULL AND trial_ends_at IS NOT NULL"),
    )
    op.add_column("tenant_deletions", sa.Column("stripe_customer_id", sa.String(length=255), nullable=True))
    op.add_column("tenant_deletions", sa.Column("payments_ended_at", Instant(), nullable=True))
    op.create_index(
        "ix_tenant_deletions_paying",
        "tenant_deletions",
        ["id"],
        unique=False,
        **only_where("stripe_customer_id IS NOT NULL AND payments_ended_at IS NULL"),
    )
    _permit(NEW_KINDS, NEW_STATES)
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for definition in _sqlite_triggers() if is_sqlite else _postgresql_triggers():
        op.get_bind().exec_driver_sql(definition)


def downgrade() -> None:
    """Drop them."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    for table in EARNED:
        for change in CHANGES:
            name = f"{table}_statistics_{change.lower()}"
            op.execute(f"DROP TRIGGER {name}" if is_sqlite else f"DROP FUNCTION {name}() CASCADE")
    op.execute("DELETE FROM statistics_changes WHERE metric LIKE 'revenue_%'")
    op.execute("DELETE FROM statistics WHERE metric LIKE 'revenue_%'")
    op.execute("DELETE FROM deliveries WHERE kind NOT IN ('one_time_password', 'welcome') OR state = 'needless'")
    _permit(OLD_KINDS, OLD_STATES)
    op.drop_index("ix_tenant_deletions_paying", table_name="tenant_deletions")
    op.drop_column("tenant_deletions", "payments_ended_at")
    op.drop_column("tenant_deletions", "stripe_customer_id")
    op.drop_index("ix_subscriptions_trials", table_name="subscriptions")
    op.drop_index("ix_subscriptions_graces", table_name="subscriptions")
    op.drop_column("subscriptions", "told_of_trial")
    op.drop_column("subscriptions", "told_of_grace")
    op.drop_column("checkouts", "asked_until")

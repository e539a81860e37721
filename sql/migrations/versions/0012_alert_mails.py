"""Mail about critical alerts, and alerts about every account of the ledger that has a cap."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from sql.tables.columns import Instant

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MONEY = sa.text("unit = 'money'")
UNFINISHED = sa.text("state IN ('waiting', 'sending')")
# The alerts of the system's budgets bear the keys of their accounts from now on, so that none is raised again.
NEW_KEYS = {
    "'money:installation::month:' || substr(key, 16, 7) || '-01' || substr(key, 23)": "system:monthly:%",
    "'money:installation::day:' || substr(key, 14)": "system:daily:%",
}
OLD_KEYS = {
    "'system:monthly:' || substr(key, 27, 7) || substr(key, 37)": "money:installation::month:%",
    "'system:daily:' || substr(key, 25)": "money:installation::day:%",
}


def _rename(keys: dict[str, str]) -> None:
    for key, pattern in keys.items():
        op.execute(f"UPDATE llm_alerts SET key = {key} WHERE key LIKE '{pattern}'")  # noqa: S608 - our own texts


def upgrade() -> None:
    """Create the table and the index, and rename the keys of alerts."""
    op.create_table(
        "alert_mails",
        sa.Column("id", ID, sa.Identity(always=False), nullable=False),
        sa.Column("alert_id", ID, nullable=False),
        sa.Column("recipient", sa.String(length=200), nullable=False),
        sa.Column(
            "state",
            sa.Enum(
                "waiting",
                "sending",
                "sent",
                "failed",
                "withdrawn",
                name="state",
                native_enum=False,
                create_constraint=True,
                length=32,
            ),
            server_default="waiting",
            nullable=False,
        ),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("failure", sa.String(length=255), nullable=True),
        sa.Column("created_at", Instant(), nullable=False),
        sa.Column("begun_at", Instant(), nullable=True),
        sa.Column("finished_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["llm_alerts.id"], name=op.f("fk_alert_mails_alert_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_mails")),
        sa.UniqueConstraint("alert_id", "recipient", name="uq_alert_mails_alert_id_recipient"),
    )
    op.create_index(
        "ix_alert_mails_unfinished",
        "alert_mails",
        ["id"],
        unique=False,
        postgresql_where=UNFINISHED,
        sqlite_where=UNFINISHED,
    )
    op.create_index(
        "ix_ledger_accounts_starts_on",
        "ledger_accounts",
        ["starts_on", "period"],
        unique=False,
        postgresql_where=MONEY,
        sqlite_where=MONEY,
    )
    _rename(NEW_KEYS)


def downgrade() -> None:
    """Drop them, and name the keys as they were."""
    _rename(OLD_KEYS)
    op.drop_index("ix_ledger_accounts_starts_on", table_name="ledger_accounts")
    op.drop_table("alert_mails")

"""The ledger: accounts that are capped, reservations on several accounts at once, and entries that only grow."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Date, Index, String, Table, Text, UniqueConstraint, text

from sql.tables.columns import Id, Instant, choice, id_column, metadata, only_where
from sql.tables.projects import MAX_PROJECT_ID

UNITS = ("runs", "money")
LEVELS = ("installation", "tenant", "project", "run")
PERIODS = ("month", "day", "none")

# What has been used of one thing in one period. A cap is not stored here: the statement that reserves reads it where an
# operator sets it.
ledger_accounts = Table(
    "ledger_accounts",
    metadata,
    id_column(),
    # Unit, level, owner and period in one text, so that an account is there once.
    Column("key", String(200), nullable=False),
    choice("unit", *UNITS),
    choice("level", *LEVELS),
    # Plain values without foreign keys: an account outlives what it counts for.
    Column("tenant_id", Id),
    Column("project_id", String(MAX_PROJECT_ID)),
    Column("run_id", Id),
    choice("period", *PERIODS),
    # The first day of the period in the installation's time zone; null for the period ``none``.
    Column("starts_on", Date),
    # Money is in 1e-9 USD.
    Column("reserved", BigInteger, nullable=False, server_default=text("0")),
    Column("settled", BigInteger, nullable=False, server_default=text("0")),
    UniqueConstraint("key", name="uq_ledger_accounts_key"),
    CheckConstraint("reserved >= 0", name="reserved"),
    CheckConstraint("settled >= 0", name="settled"),
    # Those of the running month and day are listed, of all tenants and of one.
    Index("ix_ledger_accounts_starts_on_id", "starts_on", "id"),
    Index("ix_ledger_accounts_tenant_id_starts_on_id", "tenant_id", "starts_on", "id"),
    # Those of the running month and day are found for their alerts.
    Index("ix_ledger_accounts_starts_on", "starts_on", "period", **only_where("unit = 'money'")),
)

# An amount that is held on several accounts until it is known what was used.
ledger_reservations = Table(
    "ledger_reservations",
    metadata,
    id_column(),
    # The caller's id of the attempt: because of it nothing is reserved twice.
    Column("request_id", String(64), nullable=False),
    choice("unit", *UNITS),
    Column("amount", BigInteger, nullable=False),
    # A JSON array of the accounts' ids. It settles there whenever it ends, also after their period.
    Column("accounts", Text, nullable=False),
    choice("state", "open", "settled", "unconfirmed", "released"),
    # What was used in the end; null while it is open.
    Column("used", BigInteger),
    # Who holds it: the process, as far as it writes heartbeats, and until when at the latest. A run's reservation has
    # neither, because the run's row holds it.
    Column("executor_id", String(100)),
    Column("deadline", Instant),
    # What it is for, as a JSON object, so that it can be told of a holder that has died.
    Column("details", Text),
    Column("created_at", Instant, nullable=False),
    Column("closed_at", Instant),
    UniqueConstraint("request_id", name="uq_ledger_reservations_request_id"),
    CheckConstraint("amount >= 0", name="amount"),
    CheckConstraint("(state = 'open') = (used IS NULL)", name="used"),
    Index("ix_ledger_reservations_open", "deadline", **only_where("state = 'open'")),
)

# One row for each move of a reservation, which moves each of its accounts by the same.
ledger_entries = Table(
    "ledger_entries",
    metadata,
    id_column(),
    Column("reservation_id", Id, nullable=False),
    choice("kind", "reserve", "settle", "unconfirmed", "release"),
    Column("reserved_change", BigInteger, nullable=False),
    Column("settled_change", BigInteger, nullable=False),
    Column("created_at", Instant, nullable=False),
    UniqueConstraint("reservation_id", "kind", name="uq_ledger_entries_reservation_id_kind"),
)

"""Mail about alerts: storing who is to get it, and moving each mail through its states, once."""

from __future__ import annotations

from sqlalchemy import BigInteger, String, and_, bindparam, literal_column, or_, select, true, update

from sql.dialect import batch_rows, insert
from sql.tables import alert_mails
from sql.tables.columns import Instant

# Literals, because with parameters a generic plan could not use the partial index over what is unfinished.
_WAITS = alert_mails.c.state == literal_column("'waiting'")
_IS_SENT = alert_mails.c.state == literal_column("'sending'")
_UNFINISHED = alert_mails.c.state.in_([literal_column("'waiting'"), literal_column("'sending'")])

_new = batch_rows(alert_id=BigInteger, recipient=String, created_at=Instant)
insert_mails = (
    insert(alert_mails)
    .from_select(list(_new.c.keys()), select(_new).where(true()))
    .on_conflict_do_nothing(index_elements=[alert_mails.c.alert_id, alert_mails.c.recipient])
    .returning(alert_mails.c.id)
)

# Returns no row while somebody sends it, and once it has ended.
begin_mail = (
    update(alert_mails)
    .where(alert_mails.c.id == bindparam("of_id"), _WAITS)
    .values(state="sending", attempts=alert_mails.c.attempts + 1, begun_at=bindparam("now"))
    .returning(alert_mails.c.id, alert_mails.c.alert_id, alert_mails.c.recipient, alert_mails.c.attempts)
)

wait_again = update(alert_mails).where(alert_mails.c.id == bindparam("of_id"), _IS_SENT).values(state="waiting")

finish_mail = (
    update(alert_mails)
    .where(alert_mails.c.id == bindparam("of_id"), _IS_SENT)
    .values(state=bindparam("outcome"), failure=bindparam("reason"), finished_at=bindparam("now"))
)

# One whose process has ended while it was sent: it may have arrived, so it is not sent again.
give_mail_up = (
    update(alert_mails)
    .where(alert_mails.c.id == bindparam("of_id"), _IS_SENT, alert_mails.c.begun_at < bindparam("begun_before"))
    .values(state="failed", failure=bindparam("reason"), finished_at=bindparam("now"))
    .returning(alert_mails.c.id, alert_mails.c.alert_id, alert_mails.c.recipient, alert_mails.c.attempts)
)

mails_waiting = (
    select(alert_mails.c.id)
    .where(
        _UNFINISHED,
        or_(
            and_(_WAITS, alert_mails.c.created_at < bindparam("before")),
            and_(_IS_SENT, alert_mails.c.begun_at < bindparam("begun_before")),
        ),
    )
    .order_by(alert_mails.c.id)
    .limit(bindparam("max_rows"))
)

"""Facts that the portal itself adds to the log of a customer at Stripe."""

from __future__ import annotations

from sqlalchemy import bindparam, select

from sql.dialect import insert
from sql.tables import billing_facts

# Does nothing where the same fact is there already.
insert_fact = insert(billing_facts).on_conflict_do_nothing(index_elements=[billing_facts.c.reference])

# The facts of one second about one object, over which a snapshot stands that is fetched after them.
references_since = select(billing_facts.c.reference).where(
    billing_facts.c.customer_id == bindparam("customer_id"),
    billing_facts.c.object_id == bindparam("object_id"),
    billing_facts.c.happened_at >= bindparam("since"),
)

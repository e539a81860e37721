"""What the prices of plans are, as Stripe last said."""

from __future__ import annotations

from sqlalchemy import select

from sql.dialect import insert
from sql.tables import plans, stripe_prices

prices = select(
    stripe_prices.c.stripe_price_id,
    stripe_prices.c.amount,
    stripe_prices.c.currency,
    stripe_prices.c.recurring_interval,
)

prices_of_plans = (
    select(plans.c.name, plans.c.stripe_price_id, stripe_prices.c.fetched_at)
    .select_from(plans)
    .outerjoin(stripe_prices, stripe_prices.c.stripe_price_id == plans.c.stripe_price_id)
    .order_by(plans.c.id)
)

_stored = insert(stripe_prices)

store_price = _stored.on_conflict_do_update(
    index_elements=[stripe_prices.c.stripe_price_id],
    set_={name: _stored.excluded[name] for name in ("amount", "currency", "recurring_interval", "fetched_at")},
)

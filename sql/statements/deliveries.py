"""What is on its way to tenants."""

from __future__ import annotations

from sqlalchemy import insert

from sql.tables import deliveries

insert_delivery = insert(deliveries).returning(deliveries.c.id)

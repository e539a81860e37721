"""Bought codes: made when Stripe says that they are paid, shown once, and to nobody else."""

from __future__ import annotations

import asyncio

from sqlalchemy import select
from support.billing import pay, payer, settle
from support.builders import activate
from support.live import LiveServer
from support.rows import rows

from sql.tables import checkouts


async def test_bought_codes_are_shown_once(live_at_stripe: LiveServer) -> None:
    live = live_at_stripe
    tenant, other = await payer(live, "active"), await payer(live)
    bought = await tenant.ask("POST", "/purchase-codes", json={"quantity": 5, "label": "Berlin"})
    path = f"/purchases/{bought['purchaseId']}/codes"
    await settle(live)
    assert (await tenant.ask("GET", path, 409))["errorCode"] == "purchase_unpaid"
    await pay(live, bought["sessionId"])
    (purchase,) = (await tenant.ask("GET", "/purchases"))["purchases"]
    assert (purchase["status"], purchase["canShowCodes"], purchase["totalCost"]) == ("paid", True, 25.0)
    # Whoever only looks whether something is there takes nothing away.
    assert (await tenant.send("HEAD", path)).status_code == 405
    assert (await other.ask("GET", path, 404))["errorCode"] == "purchase_not_found"

    answers = await asyncio.gather(*(tenant.send("GET", path) for _ in range(5)))

    assert sorted(answer.status_code for answer in answers) == [200, 410, 410, 410, 410]
    (codes,) = [answer.json()["codes"] for answer in answers if answer.status_code == 200]
    assert len(set(codes)) == 5
    assert (await activate(live, tenant.tenant, code=codes[0])).status_code == 200
    ((sealed, shown_at),) = await rows(live, select(checkouts.c.sealed_codes, checkouts.c.codes_shown_at))
    assert (sealed, shown_at is not None) == (None, True)
    (purchase,) = (await tenant.ask("GET", "/purchases"))["purchases"]
    assert (purchase["canShowCodes"], purchase["codesShownAt"] is not None) == (False, True)


async def test_an_answer_that_was_lost_is_given_again_for_its_key(live_at_stripe: LiveServer) -> None:
    live = live_at_stripe
    tenant = await payer(live)
    bought = await tenant.ask("POST", "/purchase-codes", json={"quantity": 2})
    await pay(live, bought["sessionId"])
    path, key = f"/purchases/{bought['purchaseId']}/codes", {"idempotency-key": "once"}

    first, again = [await tenant.ask("GET", path, headers=key) for _ in range(2)]

    assert (first, len(first["codes"])) == (again, 2)
    assert (await tenant.ask("GET", path, 410, headers={"idempotency-key": "other"}))["errorCode"] == "codes_gone"


async def test_purchases_come_in_pages(live_at_stripe: LiveServer) -> None:
    live = live_at_stripe
    tenant = await payer(live)
    for quantity in (1, 2, 3):
        await tenant.ask("POST", "/purchase-codes", json={"quantity": quantity})

    first = await tenant.ask("GET", "/purchases", params={"page_size": 2})
    second = await tenant.ask("GET", "/purchases", params={"page_size": 2, "before": first["before"]})

    assert [each["quantity"] for each in (*first["purchases"], *second["purchases"])] == [3, 2, 1]
    assert second["before"] is None

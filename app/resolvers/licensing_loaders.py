"""What the fields of tenants, codes, devices and subscriptions ask for together, with one use case for each batch."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import cached_property
from typing import TypeVar

from aiodataloader import DataLoader

from app.context import Context
from app.services.billing.of_tenants import TenantSubscription, plans_by_id, subscriptions_of_tenants
from app.services.billing.plans import Plan
from app.services.figures.totals import Total
from app.services.licensing import of_tenants
from app.services.licensing.code_list import ListedCode
from app.services.licensing.device_list import ListedDevice
from app.services.licensing.of_tenants import TenantList, TenantPart
from app.services.tenants.details import TenantDetails, tenants_of_slugs
from app.services.usage.by_day import DayOfUsage, UsagePart, UsageSpan, counts_of_usage, usage_of_tenants

Key = TypeVar("Key")
Found = TypeVar("Found")


class LicensingLoaders:
    """The loaders of one request; each is made when it is first asked."""

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx

    @cached_property
    def tenants(self) -> DataLoader[str, TenantDetails | None]:
        """Tenants by their slugs, None where the caller sees none."""
        return self._batches(tenants_of_slugs)

    @cached_property
    def subscriptions(self) -> DataLoader[str, TenantSubscription | None]:
        """The current subscriptions of tenants by their slugs."""
        return self._batches(subscriptions_of_tenants)

    @cached_property
    def plans(self) -> DataLoader[int, Plan | None]:
        """Plans by their ids."""
        return self._batches(plans_by_id)

    @cached_property
    def codes(self) -> DataLoader[int, ListedCode | None]:
        """Activation codes by their ids, None where the caller sees none."""
        return self._batches(of_tenants.codes_by_id)

    @cached_property
    def devices(self) -> DataLoader[int, ListedDevice | None]:
        """Devices by their ids, None where the caller sees none."""
        return self._batches(of_tenants.devices_by_id)

    @cached_property
    def codes_of_tenants(self) -> DataLoader[TenantPart, list[ListedCode]]:
        """Pages of the codes of tenants."""
        return self._batches(of_tenants.codes_of_tenants)

    @cached_property
    def devices_of_tenants(self) -> DataLoader[TenantPart, list[ListedDevice]]:
        """Pages of the devices of tenants."""
        return self._batches(of_tenants.devices_of_tenants)

    @cached_property
    def usage_of_tenants(self) -> DataLoader[UsagePart, list[DayOfUsage]]:
        """Pages of the usage of tenants."""
        return self._batches(usage_of_tenants)

    @cached_property
    def counts_of_codes(self) -> DataLoader[TenantList, Total]:
        """How many codes tenants have."""
        return self._batches(of_tenants.counts_of_codes)

    @cached_property
    def counts_of_devices(self) -> DataLoader[TenantList, Total]:
        """How many devices tenants have."""
        return self._batches(of_tenants.counts_of_devices)

    @cached_property
    def counts_of_usage(self) -> DataLoader[UsageSpan, Total]:
        """How many sums of days the usage of tenants has."""
        return self._batches(counts_of_usage)

    def _batches(
        self, use_case: Callable[[Context, Sequence[Key]], Awaitable[Sequence[Found]]]
    ) -> DataLoader[Key, Found]:
        async def load(keys: list[Key]) -> list[Found]:
            return list(await use_case(self._ctx, keys))

        return DataLoader(load)

"""Prices of models that nobody knows."""

from __future__ import annotations

from app.errors.root import PortalError


class ModelPriceMissingError(PortalError):
    """The {provider} model {model} has no price, so no budget can be kept with it.

    An owner sets one: PUT /api/llm/prices, or portal llm set-price {provider} {model} --input USD --output USD. Or use
    a model that the price list has.
    """

    code = "model_price_missing"
    status = 409

"""The models we may call, in one place. Their prices come from genai-prices (`pricing.py`).

Limits are the provider's published ones. A model that is not listed is refused unsent.
"""

from __future__ import annotations

from dataclasses import dataclass

from workers.inference.errors import Billing, NotPriced


@dataclass(frozen=True, slots=True)
class Model:
    """What must be known of a model before it is called."""

    id: str
    """The provider's id, as sent."""

    context_tokens: int
    """Prompt and answer together cannot be longer."""

    max_output_tokens: int
    """The largest `max_tokens` the provider takes."""

    cache_min_tokens: int
    """Prompts shorter than this are silently not cached."""

    overhead_tokens: int
    """Allowance for what the provider puts in front of every prompt and nobody sees."""

    schema_overhead_tokens: int
    """Allowance for the hidden instructions that come with an output schema, beside the schema."""

    price_id: str | None = None
    """Its id in genai-prices, where that differs."""


_MODELS = {
    model.id: model
    for model in (
        Model(
            id="claude-haiku-5-5",
            context_tokens=1_000_000,
            max_output_tokens=128_000,
            cache_min_tokens=512,
            overhead_tokens=512,
            schema_overhead_tokens=1024,
        ),
        Model(
            id="claude-sonnet-5-5",
            context_tokens=1_000_000,
            max_output_tokens=128_000,
            cache_min_tokens=512,
            overhead_tokens=512,
            schema_overhead_tokens=1024,
        ),
        Model(
            id="claude-opus-5-5",
            context_tokens=1_000_000,
            max_output_tokens=128_000,
            cache_min_tokens=512,
            overhead_tokens=512,
            schema_overhead_tokens=1024,
        ),
    )
}


def known_models() -> tuple[str, ...]:
    """Ids of all models that may be called."""
    return tuple(_MODELS)


def get(model_id: str) -> Model:
    """The model of that id.

    Raises:
        NotPriced: It stands in no catalog, so it is not called.
    """
    try:
        return _MODELS[model_id]
    except KeyError:
        known = ", ".join(_MODELS)
        raise NotPriced(
            f"model {model_id!r} is not in the catalog (known: {known})", billing=Billing.NONE
        ) from None

"""The models that may be called. Their prices come from genai-prices (`pricing.py`).

Limits are the provider's published ones. A call to an unlisted model is refused unsent.
"""

from __future__ import annotations

from dataclasses import dataclass

from workers.inference.errors import Billing, NotPriced


@dataclass(frozen=True, slots=True)
class Model:
    id: str
    context_tokens: int
    """Most tokens of prompt and answer together."""

    max_output_tokens: int
    """The largest `max_tokens` that the provider accepts."""

    cache_min_tokens: int
    """The provider does not cache shorter prompts, and reports no error."""

    overhead_tokens: int
    """Allowance for hidden text that the provider puts before each prompt."""

    schema_overhead_tokens: int
    """Allowance for hidden instructions that the provider adds to an output schema."""

    price_id: str | None = None
    """Id in genai-prices, if it differs."""


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
    return tuple(_MODELS)


def get(model_id: str) -> Model:
    """Return the model with this id. Raise `NotPriced` if it is not in the catalog."""
    try:
        return _MODELS[model_id]
    except KeyError:
        known = ", ".join(_MODELS)
        raise NotPriced(
            f"model {model_id!r} is not in the catalog (known: {known})", billing=Billing.NONE
        ) from None

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal
from types import SimpleNamespace

import pytest
from genai_prices.types import ClauseEquals, ConditionalPrice, ModelInfo, ModelPrice

from workers.inference import pricing

PutPrices = Callable[[list[ConditionalPrice]], None]


@pytest.fixture
def put_prices(monkeypatch: pytest.MonkeyPatch) -> Iterator[PutPrices]:
    """Replace the prices of every model in the snapshot."""

    def put(prices: list[ConditionalPrice]) -> None:
        info = ModelInfo(id="m", match=ClauseEquals("m"), prices=prices)
        snapshot = SimpleNamespace(find_provider_model=lambda *_: (None, info))
        monkeypatch.setattr(pricing, "get_snapshot", lambda: snapshot)
        pricing._rates.cache_clear()

    yield put
    pricing._rates.cache_clear()


def priced(dollars: int) -> ModelPrice:
    """Return a price with the same rate for each kind of token."""
    usd = Decimal(dollars)
    return ModelPrice(input_mtok=usd, output_mtok=usd, cache_write_mtok=usd, cache_read_mtok=usd)

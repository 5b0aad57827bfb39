"""Generated features that replace `summarize`."""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

import pytest
from pydantic import BaseModel

from aifeature import prompts, registry
from aifeature.services import controls
from aifeature.spec import Feature
from tests import made_models

Install = Callable[[type[BaseModel], type[BaseModel]], Feature]


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Install:
    """Replace `summarize` by a feature with these models of input and output."""

    def put(input_model: type[BaseModel], output_model: type[BaseModel]) -> Feature:
        made = made_models.feature(input_model, output_model)
        source = made_models.prompt_source(list(input_model.model_fields))
        prompt = prompts._parse(made, "v1", source)
        monkeypatch.setattr(registry, "all_features", lambda: MappingProxyType({made.slug: made}))
        monkeypatch.setattr(prompts, "get", lambda _slug, _version: prompt)
        monkeypatch.setattr(prompts, "versions", lambda _slug: ("v1",))
        monkeypatch.setattr(controls.live, "has", lambda *_: True)  # it replaces what is live
        return made

    return put

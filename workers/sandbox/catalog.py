"""The models of the sandbox, with the limits that the provider publishes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Model:
    """One model. Sizes are in tokens."""

    id: str
    display_name: str
    context: int = 1_000_000
    max_output: int = 128_000
    cache_minimum: int = 512
    """Shorter prompts are not cached, without an error."""

    forced_tool_choice: bool = True
    """Whether `tool_choice` may force a tool."""


MODELS = {
    model.id: model
    for model in (
        Model("claude-haiku-5-5", "Claude Haiku 5.5"),
        Model("claude-sonnet-5-5", "Claude Sonnet 5.5", forced_tool_choice=False),
        Model("claude-opus-5-5", "Claude Opus 5.5", forced_tool_choice=False),
        Model("claude-sonnet-5", "Claude Sonnet 5", cache_minimum=1024),
        Model("claude-haiku-4-5", "Claude Haiku 4.5", context=200_000, cache_minimum=4096),
    )
}

"""The environment flags of single features."""

from __future__ import annotations

from typing import Any

import pytest

from aifeature import system_checks
from project.env import ConfigurationError, FeatureFlags, feature_flags


def test_flags_are_read_by_feature_and_narrow_nothing_by_default() -> None:
    found = feature_flags(
        {
            "AI_FEATURE_SUMMARIZE_ENABLED": "false",
            "AI_FEATURE_SUMMARIZE_STAFF_ONLY": "on",
            "AI_FEATURE_SEND_ENABLED_STAFF_ONLY": "1",
            "AI_FEATURE_TRIAGE_ENABLED": "",
            "PATH": "/bin",
        }
    )
    assert found == {
        "summarize": FeatureFlags(enabled=False, staff_only=True),
        "send_enabled": FeatureFlags(enabled=True, staff_only=True),
    }
    assert FeatureFlags() == FeatureFlags(enabled=True, staff_only=False)


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("AI_FEATURE_SUMMARIZE_ENABLED", "maybe", "set it to true or false"),
        ("AI_FEATURE_SUMMARIZE_STAFF_ONLY", "2", "set it to true or false"),
        ("AI_FEATURE_SUMMARIZE_ENABLE", "false", "write AI_FEATURE_<SLUG>_ENABLED"),
    ],
)
def test_a_wrong_flag_is_one_line_with_its_name(name: str, value: str, part: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        feature_flags({name: value})
    assert str(refused.value).startswith(f"{name}: ")
    assert part in str(refused.value)


def test_a_flag_of_an_unknown_feature_is_a_warning_that_names_it(settings: Any) -> None:
    flags = {"summarize": FeatureFlags(), "sumarize": FeatureFlags(enabled=False)}
    settings.AIFEATURE = {**settings.AIFEATURE, "FEATURE_FLAGS": flags}
    (found,) = system_checks.check_feature_flags()
    assert (found.id, "sumarize" in found.msg) == ("aifeature.W014", True)
    assert "AI_FEATURE_SUMARIZE_" in str(found.hint)

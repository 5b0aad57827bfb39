"""The environment: typed, complete, and clear about what is wrong."""

from __future__ import annotations

import ast
import hashlib
import string
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from project import env

PRINTABLE = string.ascii_letters + string.digits + "-_+/="
LONG = st.integers(32, 80)

GOOD = {
    "SECRET_KEY": "kkk-4fQz9Lw2Xv7Rb1Ny6Tc8Hs3Mj5Dp0Ga",
    "DATABASE_URL": "postgresql://app@db/app",
    "REDIS_URL": "redis://cache:6379/0",
}


@pytest.fixture(autouse=True)
def _only_this(monkeypatch: pytest.MonkeyPatch) -> None:
    for field in env.Env.model_fields:
        monkeypatch.delenv(field.upper(), raising=False)
        monkeypatch.delenv(f"{field.upper()}_FILE", raising=False)
    monkeypatch.setitem(env.Env.model_config, "env_file", None)
    for name, value in GOOD.items():
        monkeypatch.setenv(name, value)


def test_production_is_the_default() -> None:
    loaded = env.load()
    assert not loaded.debug
    assert loaded.https
    assert not loaded.local_stack
    assert loaded.provider == "anthropic"


@pytest.mark.parametrize("name", GOOD)
def test_a_missing_setting_without_a_default_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.delenv(name)
    with pytest.raises(env.ConfigurationError, match=name):
        env.load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SECRET_KEY", "short"),
        ("DATABASE_URL", "mysql://db/app"),
        ("REDIS_URL", "localhost:6379"),
        ("DEBUG", "perhaps"),
        ("LEASE_SECONDS", "0"),
        ("DATABASE_POOL_SIZE", "many"),
        ("GLOBAL_DAILY_BUDGET_USD", "-1"),
        ("PROVIDER", "another"),
    ],
)
def test_a_wrong_value_is_named_but_not_echoed(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(env.ConfigurationError) as error:
        env.load()
    assert str(error.value).startswith(f"{name}: ")
    assert value not in str(error.value).replace(name, "") or len(value) < 3


def test_the_sandbox_is_refused_outside_the_local_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVIDER", "sandbox")
    with pytest.raises(env.ConfigurationError, match="PROVIDER=sandbox"):
        env.load()
    monkeypatch.setenv("LOCAL_STACK", "1")
    assert env.load().provider == "sandbox"


def test_a_secret_may_come_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(GOOD["SECRET_KEY"][::-1] + "\n")
    monkeypatch.delenv("SECRET_KEY")
    monkeypatch.setenv("SECRET_KEY_FILE", str(file))
    assert env.load().secret_key.get_secret_value() == GOOD["SECRET_KEY"][::-1]


def test_an_unreadable_secret_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY_FILE", "/nowhere/key")
    with pytest.raises(env.ConfigurationError, match="ANTHROPIC_API_KEY_FILE: cannot read"):
        env.load()


def test_a_secret_file_that_is_no_text_is_named_and_not_quoted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_bytes(b"\xff" * 48)
    monkeypatch.setenv("SECRET_KEY_FILE", str(file))
    with pytest.raises(env.ConfigurationError) as refused:
        env.load()
    assert str(refused.value) == f"SECRET_KEY_FILE: {file} is not UTF-8 text"


@given(lease_s=st.integers(3, 600), peer_s=st.integers(2, 50))
def test_a_lost_connection_is_noticed_well_within_a_lease(lease_s: int, peer_s: int) -> None:
    found = env.Env.model_construct(lease_seconds=lease_s, peer_timeout_seconds=peer_s)
    assert 2 <= found.notice_s <= min(peer_s, lease_s * 2 / 3)


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", "a.example, b.example,")
    assert env.load().allowed_hosts == ["a.example", "b.example"]


def test_secrets_do_not_show_in_the_repr() -> None:
    assert "kkk" not in repr(env.load())


def test_every_variable_is_documented() -> None:
    tree = ast.parse(Path(env.__file__).read_text(encoding="utf-8"))
    (model,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Env")
    documented = {
        line.target.id
        for line, below in pairwise(model.body)
        if isinstance(line, ast.AnnAssign)
        and isinstance(line.target, ast.Name)
        and isinstance(below, ast.Expr)
        and isinstance(below.value, ast.Constant)
    }
    assert documented == set(env.Env.model_fields)


WEAK = (
    st.text("ab1-", min_size=32, max_size=80)
    | st.builds(lambda part, n: (part * 80)[:n], st.text(PRINTABLE, min_size=1, max_size=16), LONG)
    | st.builds(
        lambda sample, rest: f"{sample}{rest}",
        st.sampled_from(["django-insecure-", "changeme", "Change-Me-", "secret-key-", "Password1"]),
        st.text(PRINTABLE, min_size=32, max_size=60),
    )
    | st.text(PRINTABLE, min_size=1, max_size=31)
)


@given(key=WEAK.filter(str.strip), name=st.sampled_from(["SECRET_KEY", "SECRET_KEY_FALLBACKS"]))
def test_a_weak_key_is_refused_outside_the_local_stack_and_not_echoed(key: str, name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(name, key)
        with pytest.raises(env.ConfigurationError, match=name) as refused:
            env.load()
    assert len(key) < 6 or key not in str(refused.value)


@given(seed=st.binary(min_size=32, max_size=64))
def test_a_random_key_is_taken(seed: bytes) -> None:
    key = hashlib.sha512(seed).hexdigest()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECRET_KEY", key)
        patch.setenv("SECRET_KEY_FALLBACKS", f"{key[::-1]},{key[1:]}x")
        loaded = env.load()
    assert loaded.secret_key.get_secret_value() == key
    assert len(loaded.secret_key_fallbacks) == 2


def test_debug_is_refused_outside_the_local_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEBUG", "true")
    with pytest.raises(env.ConfigurationError, match="DEBUG"):
        env.load()
    monkeypatch.setenv("LOCAL_STACK", "1")
    assert env.load().debug

"""The sandbox follows its plan: rules of faults, rate limits, pace, and its end."""

from __future__ import annotations

import signal
import subprocess
import sys
import time

import anthropic  # noqa: TID251 - these tests hold the sandbox against the real SDK
import httpx2
import pytest

from tests.contract.sandbox_clients import HAIKU, SDK, FakeClock, ask, client, run
from tests.sandbox_server import SandboxServer, running_sandbox
from workers.sandbox.settings import SandboxSettings


def test_rules_match_by_model_stream_times_and_dice(server: SandboxServer, sdk: SDK) -> None:
    server.set_faults(
        {"kind": "overloaded", "model": "claude-opus-5-5"},
        {"kind": "api_error", "stream": True},
        {"kind": "gateway_timeout", "probability": 0},
        {"kind": "rate_limited", "times": 2},
    )
    with pytest.raises(anthropic.OverloadedError):
        run(sdk, stream=False, model="claude-opus-5-5")
    with pytest.raises(anthropic.InternalServerError):
        run(sdk, stream=True)
    for _ in range(2):
        with pytest.raises(anthropic.RateLimitError):
            run(sdk, stream=False)
    run(sdk, stream=False)


def test_the_dice_are_seeded(server: SandboxServer, sdk: SDK) -> None:
    def outcomes() -> list[str]:
        server.reset()
        server.set_faults({"kind": "refusal", "probability": 0.5}, seed=7)
        return [str(run(sdk, stream=False).stop_reason) for _ in range(12)]

    assert outcomes() == outcomes()
    assert set(outcomes()) == {"refusal", "end_turn"}


def test_the_plan_is_changed_over_http(server: SandboxServer, sdk: SDK) -> None:
    url = f"{server.url}/sandbox/faults"
    with httpx2.Client() as http:
        plan = {"rules": [{"kind": "overloaded", "times": 5}], "seed": 1}
        assert http.put(url, json=plan).status_code == 200
        with pytest.raises(anthropic.OverloadedError):
            run(sdk, stream=False)
        assert http.get(url).json()["rules"][0]["times"] == 4
        bad = http.put(url, json={"rules": [{"kind": "gremlins", "probability": 2}]})
        assert bad.status_code == 422
        assert {tuple(e["loc"])[-1] for e in bad.json()["errors"]} == {"kind", "probability"}
        http.delete(url)
    run(sdk, stream=False)


def test_errors_are_switched_by_the_plan_and_the_settings(server: SandboxServer, sdk: SDK) -> None:
    def answers() -> set[str]:
        asked = (ask(metadata={"user_id": str(number)}) for number in range(40))
        return {sdk.messages.create(**request).content[0].text for request in asked}

    def factor(url: str) -> float:
        with httpx2.Client() as http:
            found: float = http.get(f"{url}/sandbox/rates").json()["factor"]
            return found

    assert len(answers()) == 1
    server.set_faults(error_rates=1)
    assert len(answers()) > 1
    assert answers() == answers(), "equal requests have equal answers"
    assert factor(server.url) == 1
    with running_sandbox(SandboxSettings(error_rates=0.5)) as other:
        assert factor(other.url) == 0.5
        other.set_faults(error_rates=0)
        assert factor(other.url) == 0


def test_the_rates_are_listed_with_their_sources(server: SandboxServer) -> None:
    with httpx2.Client() as http:
        found = http.get(f"{server.url}/sandbox/rates").json()
    haiku, sonnet, opus = (
        [rates[tier] for rates in found["errors"]["rates"].values()]
        for tier in ("haiku", "sonnet", "opus")
    )
    assert all(a > b > c for a, b, c in zip(haiku, sonnet, opus, strict=True))
    assert found["instructions_followed"]["rates"]["fenced"] == 0.3
    assert "2403.14720" in found["instructions_followed"]["source"]
    assert all(part["source"] for part in found.values() if isinstance(part, dict))


@pytest.mark.parametrize(("options", "factor"), [((), 1.0), (("--error-rates", "0"), 0.0)])
def test_the_process_errs_unless_it_is_started_without(
    options: tuple[str, ...], factor: float
) -> None:
    command = [sys.executable, "-m", "workers.sandbox", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        with httpx2.Client() as http:
            assert http.get(f"{url}/sandbox/rates").json()["factor"] == factor
    finally:
        process.kill()
        process.communicate()


def _refusal(sdk: SDK) -> anthropic.RateLimitError | None:
    try:
        run(sdk, stream=False)
    except anthropic.RateLimitError as error:
        return error
    return None


@pytest.mark.parametrize(
    ("limits", "name"),
    [({"requests": 2}, "requests"), ({"input_tokens": 200}, "input tokens"),
     ({"output_tokens": 5}, "output tokens")],
)  # fmt: skip
def test_rate_limits_are_enforced_and_refill(
    server: SandboxServer, sdk: SDK, clock: FakeClock, limits: dict[str, int], name: str
) -> None:
    server.set_faults(rate_limits={HAIKU: limits})
    refused = [error for _ in range(4) if (error := _refusal(sdk)) is not None]
    caught = refused[0]
    assert name in str(caught)
    headers = caught.response.headers
    which = name.replace(" ", "-")
    assert int(headers[f"anthropic-ratelimit-{which}-remaining"]) < limits[which.replace("-", "_")]
    wait = int(headers["retry-after"])
    assert 1 <= wait <= 600
    run(sdk, stream=False, model="claude-sonnet-5-5")
    clock.now += wait
    run(sdk, stream=False)


def test_rate_limit_headers_are_always_sent(sdk: SDK) -> None:
    headers = sdk.messages.with_raw_response.create(**ask()).headers
    for name in ("requests", "tokens", "input-tokens", "output-tokens"):
        assert int(headers[f"anthropic-ratelimit-{name}-limit"]) > 0
        assert int(headers[f"anthropic-ratelimit-{name}-remaining"]) >= 0
        assert headers[f"anthropic-ratelimit-{name}-reset"].endswith("Z")


def test_a_client_that_hangs_up_ends_the_generation() -> None:
    slow = SandboxSettings(tokens_per_second=0.1)  # a few minutes for the whole answer
    with running_sandbox(slow) as server, client(server.url) as sdk:
        stream = sdk.messages.create(**ask(), stream=True)
        next(stream)
        stream.close()
        (call,) = server.ended_calls()
    assert call["outcome"] == "client_gone"


def test_a_fixed_latency_goes_before_every_pace_streaming_or_not() -> None:
    settings = SandboxSettings(latency_s=0.3, first_byte_s=600, tokens_per_second=0.1)
    with running_sandbox(settings) as server, client(server.url, timeout=30) as sdk:
        sdk.messages.count_tokens(model=HAIKU, messages=[{"role": "user", "content": "hi"}])
        for stream in (False, True):
            started = time.monotonic()
            run(sdk, stream=stream)
            assert time.monotonic() - started >= 0.3


def test_the_process_prints_its_address_and_stops_with_streams_open() -> None:
    command = [sys.executable, "-m", "workers.sandbox", "--tokens-per-second", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        url = process.stdout.readline().split()[-1]
        with client(url) as sdk:
            stream = sdk.messages.create(**ask(), stream=True)
            next(stream)
            process.send_signal(signal.SIGTERM)
            with pytest.raises(httpx2.RemoteProtocolError):
                list(stream)
        _, errors = process.communicate(timeout=20)
        assert process.returncode in (0, -signal.SIGTERM)
        assert errors == ""
    finally:
        process.kill()
        process.communicate()

"""Breakers, pauses, silence and the retry budget, seen from outside: real daemons, upstreams that fail as they are told."""
import json
import math
import signal
import time

import pytest

from mesh import PATIENCE, wait_for
from upstream import Upstream


@pytest.fixture
def upstreams():
    """upstreams(n) → n upstreams of their own."""
    running = []

    def make(count):
        running.extend(Upstream().start() for _ in range(count))
        return running[-count:]

    yield make
    for up in running:
        up.stop()


def workers(ups):
    return [{"name": name, "backend": "upstream", "url": up.url, "models": ["echo"]} for name, up in zip("abcdefgh", ups)]


def ask(mesh, text="hello", stream=False):
    return mesh.chat({"model": "echo", "stream": stream, "temperature": 1, "messages": [{"role": "user", "content": text}]})


def breaker(mesh, worker, what="state"):
    return mesh.metrics("router")[f'infermesh_circuit_breaker_{what}{{worker="{worker}",model="echo"}}']


def state_of(mesh, worker):
    return {w["name"]: w["state"] for w in mesh.status()["workers"]}[worker]


@pytest.mark.short
def test_worker_that_answers_500_is_out_after_five_failures(start, upstreams):
    bad, good = upstreams(2)
    mesh = start(workers=workers([bad, good]), config={"router": {"breaker_open_ms": "5m"}})
    bad.always(status="500")
    for _ in range(40):
        assert ask(mesh)[0] == 200  # retried on the other one
    assert bad.state()["requests"] == 5
    assert good.state()["requests"] == 40
    assert (breaker(mesh, "a"), breaker(mesh, "a", "opened_total"), breaker(mesh, "b")) == (2, 1, 0)
    assert state_of(mesh, "a") == "ejected"
    assert mesh.metrics("router")['infermesh_router_retries_total{reason="upstream"}'] == 5
    mesh.settled()


@pytest.mark.short
def test_worker_that_healed_is_back_with_one_probe(start, upstreams):
    bad, good = upstreams(2)
    mesh = start(workers=workers([bad, good]), config={"router": {"breaker_open_ms": "200ms"}})
    bad.always(status="500")
    while bad.state()["requests"] < 5:
        assert ask(mesh)[0] == 200
    # A probe that fails is a request that succeeds elsewhere; no other one goes there.
    wait_for(lambda: ask(mesh)[0] == 200 and breaker(mesh, "a", "probes_total") >= 2, "two probes have failed")
    assert bad.state()["requests"] == 5 + breaker(mesh, "a", "probes_total") == 4 + breaker(mesh, "a", "opened_total")
    bad.always()
    before = bad.state()["requests"]
    wait_for(lambda: breaker(mesh, "a") == 1, "it is half open")
    assert bad.state()["requests"] == before
    assert ask(mesh)[0] == 200
    assert bad.state()["requests"] == before + 1 and breaker(mesh, "a") == 0
    wait_for(lambda: state_of(mesh, "a") in ("joining", "ready"), "it is back")
    mesh.settled()


@pytest.mark.short
def test_only_worker_with_an_open_breaker_is_not_waited_for(start, upstreams):
    up, = upstreams(1)
    mesh = start(workers=workers([up]), config={"router": {"breaker_open_ms": "60s"}})
    up.always(status="500")
    for _ in range(5):
        status, _, text = ask(mesh)
        assert (status, json.loads(text)["error"]["code"]) == (502, "upstream_error"), text
    began = time.monotonic()
    status, headers, text = ask(mesh)
    assert time.monotonic() - began < 3 * PATIENCE
    assert (status, json.loads(text)["error"]["code"]) == (503, "no_healthy_worker"), text
    assert 0 < int(headers["retry-after"]) <= 60
    assert up.state()["requests"] == 5
    mesh.settled()


@pytest.mark.short
def test_faults_of_callers_never_open_a_breaker(start, upstreams):
    ups = upstreams(2)
    mesh = start(workers=workers(ups), config={"router": {"breaker_min_requests": 5}})
    for status in (400, 422, 413):
        for _ in range(20):
            assert ask(mesh, f"[[status={status}]]")[0] == (400 if status == 422 else status)
    for name in "ab":
        assert (breaker(mesh, name), breaker(mesh, name, "opened_total"), state_of(mesh, name)) == (0, 0, "ready")
    assert sum(up.state()["requests"] for up in ups) == 60  # none was retried
    mesh.settled()


@pytest.mark.short
@pytest.mark.parametrize("code", [429, 503])
def test_retry_after_pauses_the_only_worker_and_tells_the_caller(start, upstreams, code):
    up, = upstreams(1)
    mesh = start(workers=workers([up]))
    reasons = ("rate_limit_exceeded",) * 2 if code == 429 else ("upstream_error", "no_healthy_worker")
    for asked in range(10):
        # The first one hears the upstream itself, the others the router.
        status, headers, text = ask(mesh, f"[[status={code} retry-after=50]]")
        assert (status, json.loads(text)["error"]["code"]) == (code, reasons[asked > 0]), text
        assert 50 - 8 * PATIENCE <= int(headers["retry-after"]) <= 50, headers
        assert (int(headers["retry-after-ms"]) + 999) // 1000 == int(headers["retry-after"])
    assert up.state()["requests"] == 1
    assert (breaker(mesh, "a"), state_of(mesh, "a")) == (0, "ready")
    assert mesh.metrics("router")['infermesh_worker_paused{worker="a",model="echo"}'] == 1
    mesh.settled()


@pytest.mark.short
def test_paused_worker_is_left_alone_until_the_pause_is_over(start, upstreams):
    limited, free = upstreams(2)
    mesh = start(workers=workers([limited, free]))
    limited.always(status="429", **{"retry-after-ms": "1000"})
    wait_for(lambda: ask(mesh)[0] == 200 and limited.state()["requests"] == 1, "it was asked once")
    limited.always()
    paused = 'infermesh_worker_paused{worker="a",model="echo"}'
    wait_for(lambda: ask(mesh)[0] == 200 and (limited.state()["requests"] > 1 or mesh.metrics("router")[paused] == 0),
             "the pause is over")
    wait_for(lambda: ask(mesh)[0] == 200 and limited.state()["requests"] > 1, "it gets requests again")
    assert breaker(mesh, "a", "opened_total") == 0
    mesh.settled()


def test_stopped_worker_is_suspect_and_gets_nothing_new(start, upstreams):
    ups = upstreams(2)
    # The link's own heartbeat would take much longer.
    mesh = start(workers=workers(ups), config={"mesh": {"heartbeat_ms": "60s"},
                                               "router": {"suspect_ms": f"{int(1500 * PATIENCE)}ms"}})
    mesh.processes["a"].kill(signal.SIGSTOP)
    try:
        wait_for(lambda: state_of(mesh, "a") == "suspect", "it is suspect")
        for _ in range(30):
            assert ask(mesh)[0] == 200
        assert ups[0].state()["requests"] == 0 and mesh.router()["slots"] == 0
        assert state_of(mesh, "a") == "suspect"
    finally:
        mesh.processes["a"].kill(signal.SIGCONT)
    wait_for(lambda: state_of(mesh, "a") == "ready", "it speaks again")
    wait_for(lambda: ask(mesh)[0] == 200 and ups[0].state()["requests"] > 0, "it gets requests again")
    mesh.settled()


@pytest.mark.short
def test_retries_stay_within_the_budget_when_every_worker_fails(start, upstreams):
    ups = upstreams(3)
    mesh = start(workers=workers(ups), config={"router": {
        "retries": 2, "breaker_failures": 0, "breaker_error_percent": 0, "retry_budget_min": 5}})
    for up in ups:
        up.always(status="500")
    began, asked = time.monotonic(), 200
    for _ in range(asked):
        assert ask(mesh)[0] == 502
    windows = math.ceil((time.monotonic() - began) / 10) + 1
    attempts = sum(up.state()["requests"] for up in ups)
    assert asked * 1.1 < attempts <= asked * 1.2 + 5 * windows, attempts
    metrics = mesh.metrics("router")
    assert metrics['infermesh_router_retries_total{reason="upstream"}'] == attempts - asked
    assert metrics["infermesh_router_retries_denied_total"] > 0
    mesh.settled()


def test_no_more_than_the_share_is_ejected_when_every_worker_fails(start, upstreams):
    ups = upstreams(4)
    mesh = start(workers=workers(ups), config={"router": {"breaker_open_ms": "5m", "eject_max_percent": 50, "retries": 0}})
    for up in ups:
        up.always(status="500")
    for _ in range(80):
        assert ask(mesh)[0] == 502  # somebody is always asked
    metrics = mesh.metrics("router")
    assert all(breaker(mesh, name) == 2 for name in "abcd")
    assert sum(metrics[f'infermesh_worker_ejected{{worker="{name}",model="echo"}}'] for name in "abcd") == 2
    for up in ups:
        up.always()
    for _ in range(10):
        assert ask(mesh)[0] == 200
    mesh.settled()

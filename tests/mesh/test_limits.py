"""Limits through the whole mesh: a thousand at once, several routers over one Redis, and Redis unplugged in the middle."""
import pathlib
import time

import pytest
import yaml

from load import STREAM, WHOLE, Load
from mesh import Process, UnixConnection, free_port, wait_for
from redis_server import RedisServer

HELLO = {"model": "instant", "messages": [{"role": "user", "content": "hello"}]}


@pytest.fixture
def redis():
    server = RedisServer().start()
    yield server
    server.kill()


def workers(url, capacity=2000):
    return [{"name": "a", "backend": "upstream", "url": url, "models": ["instant"], "capacity": capacity}]


def check_limiter(mesh):
    """No request is under way: nothing may be reserved."""
    mesh.settled()
    page = mesh.metrics("router")
    assert page["infermesh_ratelimit_reservations_leaked"] == 0
    assert page["infermesh_ratelimit_reserved_tokens"] == 0
    return page


def refill(per_minute, begun):
    return int(per_minute * (time.monotonic() - begun) / 60) + 1


@pytest.mark.parametrize("body", [STREAM, WHOLE], ids=["stream", "whole"])
def test_thousand_at_once_get_no_more_requests_than_the_limit(start, instant, body):
    begun = time.monotonic()
    mesh = start(workers=workers(instant(20, 10)),
                 config={"limits": [{"match": "key:tester", "requests_per_minute": 60, "requests_burst": 200}]})
    result = Load(mesh, 1000, 1000, body=body).result()
    assert set(result["status"]) == {"200", "429"}, result
    assert 200 <= result["status"]["200"] <= 200 + refill(60, begun), result
    page = check_limiter(mesh)
    assert page['infermesh_ratelimit_rejected_total{kind="requests"}'] == result["status"]["429"]
    report = mesh.verify()  # who was refused is not in the log
    assert report["kinds"]["REQUEST"] == report["kinds"]["RESPONSE"] == result["status"]["200"]


def test_thousand_at_once_use_no_more_tokens_than_the_bound(start, instant):
    begun = time.monotonic()
    burst, per_minute, answer = 30000, 600, 20
    mesh = start(workers=workers(instant(answer, 10)), config={
        "limits": [{"match": "global", "tokens_per_minute": per_minute, "tokens_burst": burst}],
        "router": {"limits_tokens": 5}})  # reserves less than an answer takes, so that there is an overshoot to bound
    result = Load(mesh, 1000, 1000, body=WHOLE).result()
    assert set(result["status"]) <= {"200", "429"} and result["status"]["200"] > 100, result
    page = check_limiter(mesh)
    used = sum(v for k, v in mesh.metrics("gateway").items() if k.startswith("gen_ai_client_token_usage_sum"))
    assert used > 0
    # Each was reserved a token for 4 bytes of its message, and 5; none uses more than its prompt's and 20.
    assert used <= burst + refill(per_minute, begun) + result["status"]["200"] * answer, result
    assert page['infermesh_ratelimit_rejected_total{kind="requests"}'] == 0


@pytest.mark.short
def test_limits_are_told_in_headers_and_refusals(start, instant):
    mesh = start(workers=workers(instant(4)), config={"limits": [
        {"match": "key:*", "requests_per_minute": 6, "requests_burst": 2},
        {"match": "tenant:acme", "tokens_per_minute": 6000}]})
    status, headers, _ = mesh.chat(HELLO)
    assert (status, headers["x-ratelimit-limit-requests"], headers["x-ratelimit-remaining-requests"]) == (200, "2", "1")
    assert headers["x-ratelimit-reset-requests"] == "10s"
    assert headers["x-ratelimit-limit-tokens"] == "6000"
    assert 5000 < int(headers["x-ratelimit-remaining-tokens"]) < 6000
    status, headers, text = mesh.chat({**HELLO, "stream": True})
    assert status == 200 and "[DONE]" in text
    assert headers["x-ratelimit-remaining-requests"] == "0"
    for stream in (False, True):
        status, headers, text = mesh.chat({**HELLO, "stream": stream})
        assert status == 429, text
        assert '"type":"requests"' in text and '"code":"rate_limit_exceeded"' in text and "key `tester`" in text
        assert 1 <= int(headers["retry-after-ms"]) <= 10000
        assert int(headers["retry-after"]) == -(-int(headers["retry-after-ms"]) // 1000)
        assert headers["x-ratelimit-remaining-requests"] == "0"
    check_limiter(mesh)


def test_request_that_can_never_fit_is_refused_for_good(start, instant):
    mesh = start(workers=workers(instant(4)), config={"limits": [{"match": "global", "tokens_per_minute": 500}]})
    status, headers, text = mesh.chat({**HELLO, "max_tokens": 4000})
    assert status == 400 and '"code":"request_exceeds_limit"' in text and '"param":"max_tokens"' in text
    assert headers["x-should-retry"] == "false" and "retry-after" not in headers
    assert mesh.chat({**HELLO, "max_tokens": 100})[0] == 200
    assert mesh.chat(HELLO)[0] == 200  # 512 are usually reserved without max_tokens: here, an eighth


class SecondRouter:
    """Another router of the same mesh, with a gateway of its own; the worker announces itself to both."""

    def __init__(self, mesh):
        folder = pathlib.Path(mesh.folder) / "2"
        folder.mkdir()
        config = {k: dict(v) if isinstance(v, dict) else v for k, v in mesh.config.items()}
        self.port, self.key, self.admin = free_port(), mesh.key, folder / "router.http"
        config["router"].update(listen=mesh.config["router"]["addresses"][1], door="off", admin=f"unix:{self.admin}",
                                addresses=mesh.config["router"]["addresses"][::-1])
        config["gateway"] = {**config["gateway"], "listen": f"127.0.0.1:{self.port}"}
        path = folder / "infermesh.yaml"
        path.write_text(yaml.safe_dump(config))
        self.processes = [Process(f"{name}2", [mesh.program(f"infermesh-{name}"), "--config", path, "--name", f"{name}2"],
                                  folder).start() for name in ("router", "gateway")]

    def metrics_text(self, name="router"):
        conn = UnixConnection(self.admin)
        conn.request("GET", "/metrics")
        return conn.getresponse().read().decode()

    def stop(self):
        return [p.stop() for p in reversed(self.processes)]


def shared(redis, without="local", **limit):
    return {"router": {"limits_redis": redis.url, "limits_without_redis": without},
            "limits": [{"match": "tenant:*", **limit}]}


def redis_up(mesh):
    return mesh.metrics("router").get("infermesh_ratelimit_redis_up") == 1


def test_two_routers_share_one_limit(start, instant, redis, folder):
    begun = time.monotonic()
    burst, lease = 400, 20
    config = shared(redis, requests_per_minute=60, requests_burst=burst)
    config["router"]["addresses"] = [f"ipc://{folder}/1.ipc", f"ipc://{folder}/2.ipc"]
    config["router"]["listen"] = config["router"]["addresses"][0]
    mesh = start(workers=workers(instant(4)), config=config)
    second = SecondRouter(mesh)
    try:
        wait_for(lambda: redis_up(mesh), "the first router has Redis")
        wait_for(lambda: second.admin.exists() and "infermesh_ratelimit_redis_up 1" in second.metrics_text() and
                 'infermesh_worker_inflight{worker="a"}' in second.metrics_text(), "the second router has all")
        loads = [Load(m, 3000, 20, body=WHOLE) for m in (mesh, second)]
        results = [one.result() for one in loads]
    finally:
        assert second.stop() == [0, 0]
    for result in results:
        assert set(result["status"]) == {"200", "429"}, result
    given = sum(result["status"]["200"] for result in results)
    # docs/routing.md, Limits: for R routers R leases and R - 1 times what one may give on credit.
    assert given <= burst + refill(60, begun) + 2 * lease + lease, results
    assert given >= burst - 2 * lease, results
    assert all(result["status"]["200"] > lease for result in results), results


@pytest.mark.parametrize("without", ["local", "refuse", "allow"])
@pytest.mark.parametrize("how", ["freeze", "kill"])
def test_redis_unplugged_in_the_middle(start, instant, redis, without, how):
    mesh = start(workers=workers(instant(4)), config=shared(redis, without, requests_per_minute=1, requests_burst=100))
    wait_for(lambda: redis_up(mesh), "Redis is there")
    assert mesh.chat(HELLO)[0] == 200
    running = Load(mesh, 2000, 20, body=WHOLE, rate=1000)
    wait_for(lambda: mesh.router()["admitted"] > 20, "traffic flows", step=0.002)
    getattr(redis, how)()
    wait_for(lambda: not redis_up(mesh), "the router notices")
    result = running.result()
    # Nobody waited for Redis: not even as long as a router waits for its answer and a request for its model.
    assert result["longest_us"] < 5_000_000, result
    assert result["requests"] == 2000
    allowed = {"local": {"200", "429"}, "refuse": {"200", "429", "503"}, "allow": {"200", "429"}}[without]
    assert set(result["status"]) <= allowed, result
    status, headers, text = mesh.chat(HELLO)
    if without == "allow":
        assert status == 200
    elif without == "refuse":
        assert status == 503 and '"code":"limits_unavailable"' in text and headers["retry-after"] == "1"
        assert mesh.get("/readyz")[0] == 200  # the gateway's own page
    else:
        assert result["status"]["200"] <= 2 * 100 + 1, result  # what was left, and one bucket of its own at most
    redis.thaw() if how == "freeze" else redis.start()
    wait_for(lambda: redis_up(mesh), "the router finds Redis again")
    check_limiter(mesh)


@pytest.mark.short
def test_redis_frozen_and_thawed_is_found_again(start, instant, redis):
    mesh = start(workers=workers(instant(4)), config=shared(redis, "allow", requests_per_minute=1, requests_burst=5))
    wait_for(lambda: redis_up(mesh), "Redis is there")
    assert mesh.chat(HELLO)[0] == 200
    assert mesh.router()["limits_redis"] == "connected"
    redis.freeze()
    wait_for(lambda: not redis_up(mesh), "the router notices")
    assert mesh.router()["limits_redis"] == "unavailable"
    assert "\nlimits  Redis unavailable\n" in mesh.command("status").stdout
    assert [mesh.chat(HELLO)[0] for _ in range(10)] == [200] * 10
    redis.thaw()
    wait_for(lambda: redis_up(mesh), "the router finds Redis again")
    wait_for(lambda: mesh.chat(HELLO)[0] == 429, "the limit holds again")
    check_limiter(mesh)


@pytest.mark.short
def test_redis_that_never_was_there_holds_up_nothing(start, instant):
    config = shared(type("Nowhere", (), {"url": f"redis://127.0.0.1:{free_port()}"}), "local", requests_per_minute=60)
    mesh = start(workers=workers(instant(4)), config=config)
    status, headers, _ = mesh.chat(HELLO)
    assert (status, headers["x-ratelimit-limit-requests"]) == (200, "60")
    assert mesh.metrics("router")["infermesh_ratelimit_redis_up"] == 0

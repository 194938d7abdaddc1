"""Redis as a tier of the cache, through the mesh: it is shared, it outlives the daemon, and nobody waits for it when it is away."""
import time

import pytest

from mesh import wait_for
from redis_server import RedisServer
from test_cache import cli, word
from upstream import Upstream


@pytest.fixture
def upstream():
    with Upstream() as up:
        yield up


@pytest.fixture
def redis():
    server = RedisServer().start()
    yield server
    server.kill()


def state(mesh):
    """What the cache says of Redis."""
    try:
        series = mesh.metrics("cache")
    except OSError:
        return None  # it is just being started
    return next((name.split('state="')[1].split('"')[0] for name in series
                 if name.startswith('infermesh_cache_tier_ready{tier="redis"')), None)


def test_answers_outlive_the_daemon_and_redis_may_go(start, upstream, redis):
    mesh = start(workers=[{"name": "w", "backend": "upstream", "url": upstream.url, "models": ["echo"]}],
                 config={"cache": {"redis": redis.url, "redis_ms": "300ms"}, "router": {"cache_ms": "1s"}})
    wait_for(lambda: state(mesh) == "ready", "the cache has Redis")
    assert word(mesh, "a question") == "miss"
    wait_for(lambda: redis.ask("DBSIZE") == ":1", "the answer is in Redis")
    mesh.processes["cache"].kill()
    wait_for(lambda: mesh.router()["cache"] == "unavailable", "the router knows that it is gone")
    mesh.start_daemon("cache")
    # Asked any sooner, a miss would fill its memory.
    wait_for(lambda: state(mesh) == "ready" and mesh.router()["cache"] == "connected", "the new daemon has Redis, and the router has it")
    wait_for(lambda: word(mesh, "a question") == "hit-redis", "the new daemon finds it there")
    wait_for(lambda: word(mesh, "a question") == "hit-l1", "and fills its memory")
    for how, back in (("freeze", "thaw"), ("kill", "start")):
        getattr(redis, how)()
        for n in range(20):
            begun = time.monotonic()
            assert word(mesh, f"while it is away: {how} {n}") == "miss"
            assert time.monotonic() - begun < 5  # nobody waits for Redis; how long else it takes is the machine's
        wait_for(lambda: state(mesh) in ("open", "connecting"), "the cache says so")
        getattr(redis, back)()
        wait_for(lambda: state(mesh) == "ready", "the cache finds Redis again")


def test_purge_reaches_every_tier_and_says_when_it_is_not_sure(start, upstream, redis):
    mesh = start(workers=[{"name": "w", "backend": "upstream", "url": upstream.url, "models": ["echo"]}],
                 config={"cache": {"redis": redis.url}})
    wait_for(lambda: state(mesh) == "ready", "the cache has Redis")
    for n in range(5):
        assert word(mesh, f"question {n}") == "miss"
    wait_for(lambda: redis.ask("DBSIZE") == ":5", "the answers are in Redis")
    assert cli(mesh, "purge", "--tenant", "other", "--json")["tiers"] == [
        {"tier": "l1", "removed": 0, "error": ""}, {"tier": "redis", "removed": 0, "error": ""}]
    assert cli(mesh, "purge", "--tenant", "acme", "--json")["tiers"] == [
        {"tier": "l1", "removed": 5, "error": ""}, {"tier": "redis", "removed": 5, "error": ""}]
    assert redis.ask("DBSIZE") == ":0" and word(mesh, "question 1") == "miss"
    redis.kill()
    wait_for(lambda: state(mesh) != "ready", "the cache says that Redis is away")
    tiers = cli(mesh, "purge", "--all", "--json", status=1)["tiers"]
    assert tiers[0] == {"tier": "l1", "removed": 1, "error": ""}
    assert tiers[1]["tier"] == "redis" and tiers[1]["error"] != ""
    assert "not all is gone for sure" in cli(mesh, "purge", "--all", status=1)

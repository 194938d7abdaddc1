"""Redis as a tier of the cache, through the mesh: it is shared, it outlives the daemon, and nobody waits for it when it is away."""
import time

import pytest

from mesh import wait_for
from redis_server import RedisServer
from test_cache import upstream, word  # noqa: F401: a fixture


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


def test_answers_outlive_the_daemon_and_redis_may_go(start, upstream, redis):  # noqa: F811
    mesh = start(workers=[{"name": "w", "backend": "upstream", "url": upstream.url, "models": ["echo"]}],
                 config={"cache": {"redis": redis.url}})
    wait_for(lambda: state(mesh) == "ready", "the cache has Redis")
    assert word(mesh, "a question") == "miss"
    wait_for(lambda: redis.ask("DBSIZE") == ":1", "the answer is in Redis")
    mesh.processes["cache"].kill()
    mesh.start_daemon("cache")
    wait_for(lambda: state(mesh) == "ready", "the new daemon has Redis")
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

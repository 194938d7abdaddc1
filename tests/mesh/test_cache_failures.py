"""The tiers' own disks and servers fail, through the mesh: full, gone, or something else that answers there. Callers see misses alone."""
import itertools
import pathlib
import random
import shutil
import socket
import subprocess
import threading

import pytest

from cache_tiers import count, restart_cache, state, used
from mesh import wait_for
from redis_server import RedisServer
from test_cache import word
from upstream import Upstream

L2_MS = 1000  # a busy machine is no failure here


@pytest.fixture
def upstream():
    with Upstream() as up:
        yield up


class Disk:
    """A small file system of its own."""

    def __init__(self, path, size="16m"):
        self.path = pathlib.Path(path)
        self.path.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", self.path], check=True)

    def fill(self):
        with open(self.path / "ballast", "wb", buffering=0) as f:
            try:
                while f.write(bytes(4096)) > 0:
                    pass
            except OSError:
                pass

    def empty(self):
        (self.path / "ballast").unlink()


@pytest.fixture
def disk(folder):
    d = Disk(f"{folder}/disk")
    yield d
    subprocess.run(["umount", "-l", d.path], check=True)


def run(start, upstream, **cache):
    return start(workers=[{"name": "w", "backend": "upstream", "url": upstream.url, "models": ["echo"]}],
                 config={"cache": cache, "router": {"cache_ms": 2 * L2_MS}})


def keep(mesh, tier, texts):
    """Ask what is new until the tier has taken some of it."""
    before = count(mesh, tier, "stored")
    wait_for(lambda: word(mesh, next(texts)) == "miss" and count(mesh, tier, "stored") >= before + 3, "the tier has answers")


def test_redis_whose_disk_is_full_is_read_and_written_again_when_there_is_room(start, upstream, disk):
    # One that saves itself refuses writes after a save that failed.
    redis = RedisServer("--dir", str(disk.path), "--save", "86400", "1000000").start()
    try:
        mesh = run(start, upstream, redis=redis.url, redis_ms="500ms")
        used(mesh, "redis")
        keep(mesh, "redis", (f"old {n}" for n in itertools.count()))
        disk.fill()
        redis.ask("BGSAVE")
        wait_for(lambda: redis.ask("SET", "x", "y").startswith("-MISCONF"), "Redis takes no more")
        new = (f"new {n}" for n in itertools.count())
        wait_for(lambda: word(mesh, next(new)) == "miss" and state(mesh, "redis") == "refusing", "the cache says so")
        assert count(mesh, "redis", "dropped") > 0
        restart_cache(mesh, "redis")
        old = (f"old {n}" for n in itertools.count())
        wait_for(lambda: word(mesh, next(old)) == "hit-redis", "what is there is found")
        wait_for(lambda: word(mesh, next(new)) == "miss" and state(mesh, "redis") == "refusing", "the new daemon says so too")
        disk.empty()
        redis.ask("BGSAVE")
        wait_for(lambda: redis.ask("SET", "x", "y") == "+OK", "Redis takes it again")
        wait_for(lambda: word(mesh, next(new)) == "miss" and state(mesh, "redis") == "ready", "the cache says so")
        keep(mesh, "redis", new)
    finally:
        redis.kill()


class Babbler(threading.Thread):
    """Something that is no Redis, and talks."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.rng = random.Random(port)
        self.listener = socket.create_server(("127.0.0.1", port))
        self.heard = 0

    def run(self):
        while True:
            try:
                conn, _ = self.listener.accept()
            except OSError:
                return
            with conn:
                try:
                    self.heard += conn.recv(4096) != b""
                    conn.sendall(self.rng.choice([b"HTTP/1.1 200 OK\r\n\r\n", b"*1000000000\r\n", b"$-7\r\n", self.rng.randbytes(3000)]))
                    conn.shutdown(socket.SHUT_WR)
                    while conn.recv(4096):
                        pass
                except OSError:
                    pass  # the cache has closed it

    def stop(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.join()
        self.listener.close()


def test_redis_that_is_something_else_is_a_miss_until_it_is_one(start, upstream):
    redis = RedisServer()
    babbler = Babbler(redis.port)
    babbler.start()
    try:
        mesh = run(start, upstream, redis=redis.url, redis_ms="500ms")
        new = (f"new {n}" for n in itertools.count())
        wait_for(lambda: word(mesh, next(new)) == "miss" and babbler.heard >= 10, "it has been listened to")
        assert state(mesh, "redis") != "ready" and count(mesh, "redis", "stored") == 0
    finally:
        babbler.stop()
    try:
        redis.start()
        wait_for(lambda: state(mesh, "redis") == "ready", "the cache has Redis")
        keep(mesh, "redis", new)
    finally:
        redis.kill()


def test_disk_that_is_full_or_gone_is_a_miss_and_heals(start, upstream, disk):
    # Of so small a folder 6 MiB are left alone, which suits the disk.
    mesh = run(start, upstream, l2_dir=str(disk.path / "l2"), l2_ms=L2_MS, l2_bytes="64MiB")
    rng, new = random.Random(7), (f"new {n}" for n in itertools.count())
    used(mesh, "l2")
    keep(mesh, "l2", (f"old {n}" for n in itertools.count()))
    restart_cache(mesh, "l2")
    old = (f"old {n}" for n in itertools.count())
    wait_for(lambda: word(mesh, next(old)) == "hit-l2", "the new daemon finds one there")
    disk.fill()
    wait_for(lambda: word(mesh, rng.randbytes(40000).hex()) == "miss" and state(mesh, "l2") == "away", "the cache says that the disk is full")
    assert count(mesh, "l2", "dropped") > 0 and word(mesh, next(new)) == "miss"
    disk.empty()
    wait_for(lambda: state(mesh, "l2") == "ready", "it is open again")
    keep(mesh, "l2", new)
    reopened = count(mesh, "l2", "reconnects")
    shutil.rmtree(disk.path / "l2")
    wait_for(lambda: word(mesh, next(new)) == "miss" and count(mesh, "l2", "reconnects") > reopened, "a new folder is made")
    wait_for(lambda: state(mesh, "l2") == "ready", "it is open")
    keep(mesh, "l2", (f"last {n}" for n in itertools.count()))
    restart_cache(mesh, "l2")
    last = (f"last {n}" for n in itertools.count())
    wait_for(lambda: word(mesh, next(last)) == "hit-l2", "the new folder is used")

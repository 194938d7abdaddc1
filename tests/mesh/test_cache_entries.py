"""Entries of the cache daemon's store: kill -9 while they are written, what was acknowledged is there; the folder of them removed, their Redis away."""
import json
import os
import random
import shutil
import subprocess
import threading
import time

import pytest

from mesh import PATIENCE, wait_for
from redis_server import RedisServer
from test_cache_failures import Disk

KILLS = 200 if os.environ.get("INFERMESH_TESTS_ALL") == "1" else 5
SEED = random.randrange(2 ** 32) if os.environ.get("INFERMESH_TESTS_ALL") == "1" else 20261123
WRITERS = 2


def store(mesh, *args):
    """(done, the reply or None): infermesh cache store."""
    done = subprocess.run([str(mesh.program("infermesh")), "cache", "store", *args, "--json", "--config", str(mesh.config_path)],
                          capture_output=True, text=True, timeout=240 * PATIENCE, check=False)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0, json.loads(done.stdout) if done.stdout else None


def value(reply):
    return bytes.fromhex(reply["value_hex"]).decode()


class Writer(threading.Thread):
    """Writes names of its own, one after the other. 'sure' is what a name holds by its last acknowledgement, 'maybe' what else it may hold since."""

    def __init__(self, mesh, number, seed):
        super().__init__(daemon=True)
        self.mesh, self.number, self.rng, self.over = mesh, number, random.Random(seed), threading.Event()
        self.sure, self.maybe, self.acknowledged, self.failed = {}, {}, 0, None

    def change(self, n):
        """One operation on one name."""
        key, mark, had = f"{self.number}-{self.rng.randrange(20)}", f"mark-{n};", None
        had = self.sure.get(key)
        what = self.rng.choice(("put", "append", "delete"))
        after = {"put": mark, "append": (had or "") + mark, "delete": None}[what]
        self.maybe.setdefault(key, []).append((what, mark))
        done, reply = store(self.mesh, what, "crash", key, *([mark] if what != "delete" else []))
        if reply is None:
            return  # the daemon is away: it may have been done or not
        assert reply["durable"] and (done or what == "delete"), reply
        self.acknowledged += 1
        if len(self.maybe[key]) > 1 and what == "append":  # on top of what is not known: read it
            after = self.read(key)
            if after is False:
                return
        self.sure[key], self.maybe[key] = after, []

    def read(self, key):
        """What a name holds; None: nothing; False: the daemon is away."""
        done, reply = store(self.mesh, "get", "crash", key)
        return value(reply) if done else None if reply is not None else False

    def allowed(self, key):
        """Every value that it may have: what was acknowledged, then each change that was not, made or not."""
        held = {self.sure.get(key)}
        for what, mark in self.maybe.get(key, []):
            held |= {{"put": mark, "append": (h or "") + mark, "delete": None}[what] for h in held}
        return held

    def run(self):
        n = 0
        try:
            while not self.over.is_set():
                n += 1
                self.change(n)
        except Exception as e:  # pylint: disable=broad-except
            self.failed = e


def test_acknowledged_entries_are_there_after_each_kill(start, folder):
    print(f"seed {SEED}")
    rng = random.Random(SEED)
    mesh = start(config={"cache": {"l2_dir": f"{folder}/l2", "store_ms": "30s"}})
    wait_for(lambda: store(mesh, "put", "crash", "first", "v")[0], "entries are kept", 60)
    for n in range(KILLS):
        writers = [Writer(mesh, f"{n}-{k}", rng.random()) for k in range(WRITERS)]
        for w in writers:
            w.start()
        wait_for(lambda: all(w.failed or w.acknowledged >= 3 for w in writers), "each has written", 60)  # pylint: disable=cell-var-from-loop
        time.sleep(rng.random() * 0.05)  # it dies at another moment each time
        mesh.processes["cache"].kill()
        for w in writers:
            w.over.set()
        mesh.start_daemon("cache")
        for w in writers:
            w.join(240 * PATIENCE)
            assert w.failed is None and not w.is_alive(), w.failed
        wait_for(lambda: store(mesh, "get", "crash", "first")[0], f"entries are open after kill {n + 1}", 60)
        for w in writers:
            for key in w.maybe:
                held = wait_for(lambda: [v for v in [w.read(key)] if v is not False], "it is read", 60)[0]  # pylint: disable=cell-var-from-loop
                assert held in w.allowed(key), (key, held, w.allowed(key))
    assert "cannot be kept" not in mesh.processes["cache"].log()


def test_what_an_operator_changes_is_in_the_audit_log_without_the_value(start):
    mesh = start()
    wait_for(lambda: store(mesh, "get", "notes", "a key")[1] is not None, "the store answers", 60)
    assert store(mesh, "put", "notes", "a key", "my secret", "--ttl", "5m")[0]
    assert store(mesh, "append", "notes", "a key", "!")[0] and store(mesh, "get", "notes", "a key")[0]
    assert not store(mesh, "set", "notes", "a key", "other", "--version", "7")[0]  # not done, but asked for
    assert store(mesh, "delete", "notes", "a key")[0]
    expected = {f"op={op} namespace=notes version={version} ttl_ms={ttl} bytes={size} key=a%20key" for op, version, ttl, size in (
        ("put", 0, 300000, 9), ("append", 0, 3600000, 1), ("set", 7, 3600000, 5), ("delete", 0, 0, 0))}

    def recorded():
        found = mesh.command("audit", "search", "--tenant", "operators", "--json")
        assert found.returncode == 0 and "secret" not in found.stdout, found.stderr
        records = [r for r in json.loads(found.stdout)["records"] if r.get("routing", {}).get("reason") == "store"]
        return {r["routing"]["rule"] for r in records} == expected and records

    records = wait_for(recorded, "a record of each change, none of the reads", 60)
    assert len(records) == 4 and {r["routing"]["worker"] for r in records} == {"cache"}


def test_folder_removed_is_an_error_and_never_an_acknowledgement(start, folder):
    mesh = start(config={"cache": {"l2_dir": f"{folder}/l2", "store_ms": "30s"}})
    wait_for(lambda: store(mesh, "put", "test", "k", "v")[0], "entries are kept", 60)
    shutil.rmtree(f"{folder}/l2")
    done, _ = store(mesh, "put", "test", "k", "w")
    assert not done or os.path.exists(f"{folder}/l2/store/CURRENT")  # a machine that stood still: it has been made anew
    wait_for(lambda: store(mesh, "put", "test", "k", "w")[0], "another folder is made", 60)
    assert value(store(mesh, "get", "test", "k")[1]) == "w"
    mesh.processes["cache"].kill()
    mesh.start_daemon("cache")
    wait_for(lambda: store(mesh, "get", "test", "k")[0], "it is kept there", 60)
    page = mesh.metrics("cache")
    assert page['infermesh_cache_store_ready{home="disk",state="ready"}'] == 1
    assert page['infermesh_cache_store_requests_total{operation="get",result="done"}'] > 0


@pytest.fixture
def disk(folder):
    d = Disk(f"{folder}/disk", "80m")
    yield d
    subprocess.run(["umount", "-l", d.path], check=True)


def test_disk_that_is_full_takes_no_more_and_is_read(start, disk):
    mesh = start(config={"cache": {"l2_dir": f"{disk.path}/l2", "store_ms": "30s"}})
    wait_for(lambda: store(mesh, "put", "test", "k", "v")[0], "entries are kept", 60)
    disk.fill()
    wait_for(lambda: not store(mesh, "put", "test", "other", "v")[0], "no more is taken", 60)
    done, reply = store(mesh, "get", "test", "k")
    assert done and value(reply) == "v"
    assert not store(mesh, "delete", "test", "k")[0]  # RocksDB must not meet a full disk
    disk.empty()
    wait_for(lambda: store(mesh, "put", "test", "other", "w")[0], "there is room again", 60)
    mesh.processes["cache"].kill()
    mesh.start_daemon("cache")
    wait_for(lambda: store(mesh, "get", "test", "other")[0], "it is there", 60)
    assert store(mesh, "get", "test", "k")[0]


@pytest.fixture
def redis():
    server = RedisServer().start()
    yield server
    server.kill()


def test_redis_that_is_away_is_an_error_in_time_and_loses_nothing(start, redis):
    mesh = start(config={"cache": {"redis": redis.url, "store_ms": "2s"}})
    wait_for(lambda: store(mesh, "put", "test", "k", "0")[0], "entries are kept", 60)
    for n in range(2):
        redis.freeze()
        assert store(mesh, "put", "test", "other", "v") == (False, None)  # while it is frozen
        redis.thaw()
        wait_for(lambda: store(mesh, "get", "test", "k")[0], "the entry is there again", 60)
        assert value(store(mesh, "get", "test", "k")[1]) == str(n)
        wait_for(lambda: store(mesh, "put", "test", "k", str(n + 1))[0], "and can be written", 60)  # pylint: disable=cell-var-from-loop
    mesh.processes["cache"].kill()
    mesh.start_daemon("cache")
    wait_for(lambda: store(mesh, "get", "test", "k")[0], "another daemon finds it", 60)
    reply = store(mesh, "get", "test", "k")[1]
    assert (value(reply), reply["home"], reply["durable"]) == ("2", "redis", True)
    redis.kill()
    assert store(mesh, "get", "test", "k") == (False, None)
    redis.start()
    wait_for(lambda: store(mesh, "put", "test", "k", "anew")[0], "an empty Redis is used", 60)

"""An object store as a tier of the cache, through the mesh: it is shared, it outlives the daemon, and nobody waits for it when it fails."""
import itertools
import os
import time

import pytest

from cache_tiers import count, failures, restart_cache, state, used
from mesh import PATIENCE, wait_for
from s3_server import S3Server
from test_cache import cli, word
from upstream import Upstream

ANSWER_MS = int(300 * PATIENCE)


@pytest.fixture
def upstream():
    with Upstream() as up:
        yield up


@pytest.fixture
def store():
    server = S3Server().start()
    yield server
    server.kill()


class Credentials:
    def __init__(self, folder, store):
        self.path, self.store = f"{folder}/s3.credentials", store
        self.write()

    def write(self, secret=None):
        """In one move, so that nobody reads half of it."""
        with open(f"{self.path}.new", "w", encoding="utf-8", opener=lambda p, f: os.open(p, f, 0o600)) as f:
            f.write(f"{self.store.access}:{secret or self.store.secret}\n")
        os.rename(f"{self.path}.new", self.path)


@pytest.fixture
def credentials(folder, store):
    return Credentials(folder, store)


@pytest.fixture
def mesh(start, upstream, store, credentials):
    made = start(workers=[{"name": "w", "backend": "upstream", "url": upstream.url, "models": ["echo"]}],
                 config={"cache": {"l3": store.url, "l3_credentials_file": credentials.path, "l3_ms": ANSWER_MS},
                         "router": {"cache_ms": ANSWER_MS + 200}})
    used(made, "l3")
    return made


def test_answers_outlive_the_daemon_and_the_store_may_fail(mesh, store, credentials):
    for n in range(12):
        assert word(mesh, f"old {n}") == "miss"
    wait_for(lambda: store.objects() == 12, "the answers are in the store")
    restart_cache(mesh, "l3")
    old, new = (f"old {n}" for n in range(12)), (f"new {n}" for n in itertools.count())
    # One that the machine makes late is a miss, which fills the memory.
    found = wait_for(lambda: (text := next(old)) and word(mesh, text) == "hit-l3" and text, "the new daemon finds one there")
    wait_for(lambda: word(mesh, found) == "hit-l1", "and fills its memory")

    def fails(says, texts, fail, heal):
        fail()
        before = failures(mesh, "l3")

        def says_so():
            begun = time.monotonic()
            assert word(mesh, next(texts)) == "miss"
            assert time.monotonic() - begun < 10 * PATIENCE  # nobody waits for it; how long else it takes is the machine's
            return state(mesh, "l3") == says

        wait_for(says_so, f"the cache says that it is {says}")
        assert failures(mesh, "l3") > before
        assert word(mesh, found) == "hit-l1"
        heal()
        wait_for(lambda: word(mesh, next(new)) == "miss" and state(mesh, "l3") == "ready", f"it is used again after it was {says}")
        stored = count(mesh, "l3", "stored")
        wait_for(lambda: word(mesh, next(new)) == "miss" and count(mesh, "l3", "stored") > stored, "it is written again")

    fails("away", itertools.chain(itertools.islice(old, 4), new), lambda: store.tell("cut"), lambda: store.tell("well"))
    fails("failing", new, lambda: store.tell("broken"), lambda: store.tell("well"))
    fails("refusing", new, lambda: credentials.write("wrong"), credentials.write)
    fails("open", new, lambda: store.tell("hang"), lambda: store.tell("well"))
    fails("away", new, store.kill, store.start)
    log = mesh.processes["cache"].log()
    assert "SignatureDoesNotMatch" in log and store.secret not in log


def test_purge_reaches_the_store_and_says_when_it_is_not_sure(mesh, store, credentials):
    for n in range(6):
        assert word(mesh, f"question {n}") == "miss"
    wait_for(lambda: store.objects() == 6, "the answers are in the store")
    assert cli(mesh, "purge", "--tenant", "other", "--json")["tiers"] == [
        {"tier": "l1", "removed": 0, "error": ""}, {"tier": "l3", "removed": 0, "error": ""}]
    assert cli(mesh, "purge", "--tenant", "acme", "--model", "echo", "--json")["tiers"] == [
        {"tier": "l1", "removed": 6, "error": ""}, {"tier": "l3", "removed": 6, "error": ""}]
    assert store.objects() == 0 and word(mesh, "question 1") == "miss"
    wait_for(lambda: store.objects() == 1, "the answer is in the store")
    credentials.write("wrong")
    tiers = cli(mesh, "purge", "--all", "--json", status=1)["tiers"]
    assert tiers[0] == {"tier": "l1", "removed": 1, "error": ""}
    assert tiers[1]["tier"] == "l3" and "SignatureDoesNotMatch" in tiers[1]["error"]
    assert store.objects() == 1
    credentials.write()
    assert cli(mesh, "purge", "--all", "--json")["tiers"][1] == {"tier": "l3", "removed": 1, "error": ""}
    assert store.objects() == 0


def test_credentials_that_others_may_read_are_refused(mesh, credentials):
    mesh.processes["cache"].stop()
    os.chmod(credentials.path, 0o644)
    mesh.start_daemon("cache")
    cache = mesh.processes["cache"]
    assert cache.proc.wait(20 * PATIENCE) != 0
    assert f"chmod 0600 {credentials.path}" in cache.log()
    os.chmod(credentials.path, 0o600)
    mesh.start_daemon("cache")
    wait_for(lambda: state(mesh, "l3") == "ready", "it runs")

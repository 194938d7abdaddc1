"""kill -9 of the cache under load, with answers on disk: it starts each time, and no answer is ever another question's."""
import http.client
import json
import os
import random
import threading
import time

import pytest

from mesh import PATIENCE, wait_for
from upstream import Upstream

KILLS = 200 if os.environ.get("INFERMESH_TESTS_ALL") == "1" else 10
CLIENTS = 3


@pytest.fixture
def upstream():
    with Upstream() as up:
        yield up


class Asker(threading.Thread):
    """Asks questions, old ones and new ones, until it is told to stop. Each has a mark that its answer must repeat, and a length of its own."""

    def __init__(self, mesh, seed):
        super().__init__(daemon=True)
        self.mesh, self.rng, self.over = mesh, random.Random(seed), threading.Event()
        self.known, self.told, self.wrong = 20, {}, []

    def question(self):
        if self.rng.random() < 0.2:
            self.known += 1
        n = self.rng.randrange(self.known)
        return f"mark-{n}-" + "abcdefgh"[n % 8] * (n * 7919 % 6000)

    def ask(self, conn, text):
        stream = self.rng.random() < 0.3
        conn.request("POST", "/v1/chat/completions", json.dumps(
            {"model": "echo", "temperature": 0, "stream": stream, "messages": [{"role": "user", "content": text}]}),
            {"Authorization": f"Bearer {self.mesh.key}", "Content-Type": "application/json"})
        reply = conn.getresponse()
        body, how = reply.read().decode(), reply.headers["x-infermesh-cache"]
        self.told[how] = self.told.get(how, 0) + 1
        if reply.status == 200 and stream:
            chunks = [json.loads(line[6:]) for line in body.split("\n") if line.startswith("data: {")]
            said = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
        elif reply.status == 200:
            said = json.loads(body)["choices"][0]["message"]["content"]
        if reply.status != 200 or said != text:
            self.wrong.append((reply.status, how, text[:40], body[:300]))

    def run(self):
        conn = http.client.HTTPConnection("127.0.0.1", self.mesh.port, timeout=60 * PATIENCE)
        try:
            while not self.over.is_set():
                self.ask(conn, self.question())
        except Exception as e:  # pylint: disable=broad-except
            self.wrong.append(repr(e))
        conn.close()


def page(mesh):
    """The cache's metrics; none while it is being started."""
    try:
        return mesh.metrics("cache")
    except (OSError, http.client.HTTPException):
        return {}


def test_kill_in_a_loop_under_load_gives_no_wrong_answer(start, upstream, folder):
    seed = random.randrange(2 ** 32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    mesh = start(workers=[{"name": "w", "backend": "upstream", "url": upstream.url, "models": ["echo"]}],
                 config={"cache": {"l2_dir": f"{folder}/l2", "bytes": "1MiB", "l2_ms": "1s"}, "router": {"cache_ms": "1s", "audit_mode": "off"},
                         "mesh": {"heartbeat_ms": "1m"}})  # a machine that stalls is no matter here
    askers = [Asker(mesh, rng.random()) for _ in range(CLIENTS)]
    for a in askers:
        a.start()

    def in_use(hits=1):
        """It is up, it has its folder, it has kept something, and has found there what was kept before it came."""
        assert mesh.processes["cache"].alive(), mesh.processes["cache"].log()[-3000:]
        assert not any(a.wrong for a in askers), [a.wrong for a in askers]
        now = page(mesh)
        return now if (now.get('infermesh_cache_tier_ready{tier="l2",state="ready"}') == 1 and
                       now.get('infermesh_cache_lookups_total{tier="l2",result="hit"}', 0) >= hits and
                       now.get('infermesh_cache_stored_total{tier="l2"}', 0) > 0) else None

    try:
        wait_for(lambda: in_use(hits=0), "the cache is in use", 60)
        for n in range(KILLS):
            time.sleep(rng.random() * 0.1)  # it dies at another moment each time
            mesh.processes["cache"].kill()
            mesh.start_daemon("cache")
            now = wait_for(in_use, f"the cache is in use after kill {n + 1}", 60)
            corrupt = {k: v for k, v in now.items() if 'result="corrupt"' in k and v > 0}
            assert not corrupt, corrupt
    finally:
        for a in askers:
            a.over.set()
        for a in askers:
            a.join(60 * PATIENCE)
    assert not any(a.wrong for a in askers), [a.wrong for a in askers]
    told = [a.told for a in askers]
    assert sum(t.get("hit-l2", 0) for t in told) > 0, told
    assert "was damaged" not in mesh.processes["cache"].log()
    assert mesh.settled()["admitted"] == sum(sum(t.values()) for t in told)

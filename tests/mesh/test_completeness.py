"""Mixed traffic while workers, the router and the audit service are killed: what clients saw, what the log says and what 'audit
reconcile' makes of it are the same, request by request.

The clients' side is a ledger of infermesh-load: x-request-id, status and end of each request. The log's side is 'audit export'.
"""
import collections
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import pytest

from load import STREAM, WHOLE, Load
from mesh import PATIENCE, wait_for

# A pace, or all that is left would fail at once while the router is away.
REQUESTS, SECONDS = (100000, 150) if os.environ.get("INFERMESH_TESTS_ALL") == "1" else (6000, 20)
REQUEST_MS = 1500
# A model, how it is asked, its share, and how many clients leave. Twice the same questions at once: shared, and from the cache.
SAME = '{"model":"instant","temperature":0,"messages":[{"role":"user","content":"question %d"}]}'
TRAFFIC = [(STREAM, 0.26, 0.1, 48), (WHOLE, 0.2, 0.05, 24), (SAME, 0.18, 0, 24), (SAME, 0.18, 0, 24),
           (SAME.replace(" %d", ""), 0.02, 0, 4), (STREAM.replace("instant", "long"), 0.1, 0.1, 150),
           (WHOLE.replace("instant", "nobody-serves-this"), 0.055, 0, 4), (STREAM.replace("instant", "slow"), 0.005, 0.1, 16)]


@pytest.fixture
def mesh(start, instant):
    quick, long, slow = instant(4, 1), instant(20, 20), instant(100, 100)
    workers = [{"name": n, "backend": "upstream", "url": quick, "models": ["instant"], "capacity": 64} for n in "abc"]
    workers.append({"name": "long", "backend": "upstream", "url": long, "models": ["long"], "capacity": 200})
    workers.append({"name": "slow", "backend": "upstream", "url": slow, "models": ["slow"], "capacity": 64})
    # Processes are killed here, not the disk: in memory a sync is quick on any machine.
    state = tempfile.mkdtemp(prefix="im-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    it = start(workers=workers, config={
        "log": {"level": "warn"}, "mesh": {"heartbeat_ms": f"{int(300 * PATIENCE)}ms", "state_dir": state},
        "gateway": {"request_ms": f"{int(REQUEST_MS * PATIENCE)}ms"}})
    yield it
    it.stop()
    shutil.rmtree(state, ignore_errors=True)


class Traffic:
    """All loads at once, and the kills that are due as they go on."""

    def __init__(self, mesh):
        self.mesh = mesh
        self.ledgers = [pathlib.Path(mesh.folder / f"ledger{i}") for i in range(len(TRAFFIC))]
        self.loads = [Load(mesh, int(REQUESTS * share), connections, body=body, cancel=cancel, cancel_ms=40, seed=i + 1,
                           timeout_ms=20000, rate=REQUESTS * share / SECONDS / PATIENCE, ledger=self.ledgers[i])
                      for i, (body, share, cancel, connections) in enumerate(TRAFFIC)]

    def running(self):
        return any(load.proc.poll() is None for load in self.loads)

    def progress(self):
        """Share of the requests that have ended: about 55 bytes a line, written in blocks."""
        return sum(p.stat().st_size for p in self.ledgers if p.exists()) / (REQUESTS * 40)

    def kill(self, name):
        """Kill it, and start it again when that was noticed."""
        self.mesh.processes[name].kill()
        if name in self.mesh.worker_names():
            self.mesh.start_worker(name)
            return
        time.sleep(0.3)  # how long it is away is part of the traffic, not a wait for something
        self.mesh.start_daemon(name)

    def run(self, kills):
        """'kills': (share of the way, process), in order. The ledger's rows."""
        for share, name in kills:
            wait_for(lambda s=share: self.progress() >= s or not self.running(), f"{share:.0%} of the traffic", 2 * SECONDS, 0.02)
            self.kill(name)
        results = [load.result() for load in self.loads]
        rows = [line.split() for p in self.ledgers for line in p.read_text().splitlines()]
        assert len(rows) == sum(r["requests"] for r in results)
        return rows


def export(mesh):
    """What the log says, read line by line: {id: REQUEST}, {id: RESPONSE}, and how often each id was there."""
    argv = [str(mesh.program("infermesh")), "audit", "export", "--config", str(mesh.config_path)]
    sides = {"REQUEST": {}, "RESPONSE": {}}
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as proc:
        for line in proc.stdout:
            record = json.loads(line)
            if record["kind"] not in sides:
                continue
            side = sides[record["kind"]]
            assert record["request_id"] not in side, f"{record['kind']} twice: {record['request_id']}"
            side[record["request_id"]] = {k: record.get(k) for k in ("index", "reporter", "outcome", "status_code")}
    assert proc.returncode == 0
    return sides["REQUEST"], sides["RESPONSE"]


def compare_with_clients(rows, asked, ended):
    """Each row of the ledger against the log. What a client saw whole is in the log as it saw it."""
    named, cut = set(), []
    for request_id, status, how in rows:
        if request_id == "-":
            continue
        named.add(request_id)
        if how == "ok":
            end = ended[request_id]
            assert end["outcome"] in ("OK", "CACHE_HIT", "COALESCED") and end["status_code"] == 200, (request_id, end)
        elif how == "http_error" and request_id in ended:
            # Its end was recorded, or on its way there, when the router or the audit service was killed: the answer did not go out.
            if (status, ended[request_id]["status_code"]) == ("503", 200):
                cut.append(request_id)
            else:
                assert ended[request_id]["status_code"] == int(status), (request_id, status, ended[request_id])
        elif how in ("stream_error", "cancelled", "timeout") and status == "200":
            assert request_id in asked, (request_id, how)  # its head had come: a REQUEST was durable
    assert len(cut) <= 4 * sum(connections for *_, connections in TRAFFIC), cut  # four such kills
    # Whom the log knows and no ledger row names left, or was cut off, before the head came.
    assert len(set(asked) - named) <= sum(row[0] == "-" for row in rows)


def test_mixed_traffic_with_kills_is_in_the_log_request_by_request(mesh):
    began = time.monotonic()
    kills = [(0.1, "a"), (0.2, "audit"), (0.35, "router"), (0.45, "b"), (0.55, "audit"), (0.65, "router"), (0.75, "c")]
    rows = Traffic(mesh).run(kills)
    mesh.wait_ready()
    mesh.settled(60)
    status, headers, _ = mesh.chat(json.loads(WHOLE % 1))  # the last life has taken one at least
    rows.append([{k.lower(): v for k, v in headers.items()}["x-request-id"], status, "ok" if status == 200 else "http_error"])
    mesh.settled()
    done = mesh.command("audit", "reconcile", "--json")
    report = json.loads(done.stdout)
    asked, ended = export(mesh)
    router, = report["routers"]
    missing = set(asked) - set(ended)
    # What reconcile finds, found again without it.
    assert set(ended) <= set(asked)
    assert report["requests"] == len(asked) and report["ended"] == len(ended) and report["problems"] == 0 and report["gaps"] == 0
    assert {r["request_id"] for r in report["missing"]} == missing and len(report["missing"]) == len(missing)
    assert done.returncode == (1 if missing else 0) and report["complete"] is (not missing) and report["in_flight"] == 0
    # Three lives of the router. The last one has lost nothing, and all that is open is of one that was killed.
    lives = collections.Counter(r["reporter"] for r in asked.values())
    assert len(lives) == 3 and router["agrees"] and router["admitted"] == lives[router["reporter"]], lives
    assert all(asked[i]["reporter"] != router["reporter"] for i in missing)
    # Killed in the midst of it: with so many clients some requests were open each time.
    assert {asked[i]["reporter"] for i in missing} == set(lives) - {router["reporter"]}, "no request was open at a kill"
    compare_with_clients(rows, asked, ended)
    outcomes = collections.Counter(r["outcome"] for r in ended.values())
    assert outcomes == report["outcomes"]
    assert all(outcomes[o] for o in ("OK", "ERROR", "CANCELLED", "CACHE_HIT", "COALESCED")), outcomes
    assert mesh.verify()["problems"] == 0
    print(f"{len(rows)} requests of clients, {len(asked)} admitted, {len(ended)} ended {dict(outcomes)}, {len(missing)} left open by "
          f"killed routers; {collections.Counter(row[2] for row in rows)}; {time.monotonic() - began:.0f} s")

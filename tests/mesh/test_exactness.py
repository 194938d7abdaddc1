"""100,000 requests with random cancels and worker kills: slots are 0, one terminal record each, memory and descriptors flat."""
import os
import random
import time

import pytest

from load import STREAM, Load
from mesh import wait_for

FULL = int(os.environ.get("INFERMESH_EXACT_REQUESTS", "100000"))


def storm(mesh, requests, kills_every_s, seed):
    """Random cancels all the while; a random worker is killed and started again now and then."""
    running = Load(mesh, requests, 64, body=STREAM, cancel=0.1, cancel_ms=30, seed=seed)
    rng, kills, last = random.Random(seed), 0, time.monotonic()
    while running.proc.poll() is None:
        if kills_every_s and time.monotonic() - last > kills_every_s:
            name = rng.choice(mesh.worker_names())
            mesh.processes[name].kill()
            mesh.start_worker(name)
            kills, last = kills + 1, time.monotonic()
        time.sleep(0.05)
    return running.result(), kills


# KiB that a daemon takes as it fills and then no more of: audit's table of the latest requests, whole after 131,072 records (docs/performance.md).
FILLS = {"audit": 3584}


def footprint(mesh):
    """{daemon: (RSS in KiB, descriptors)}, taken when three looks in a row see the same descriptors."""
    names, looks = ["gateway", "router", "cache", "audit"], []

    def quiet():
        looks.append({n: mesh.processes[n].fds() for n in names})
        return len(looks) >= 3 and looks[-1] == looks[-2] == looks[-3]
    wait_for(quiet, "descriptors are at rest", 10, 0.2)
    return {n: (mesh.processes[n].rss_kib(), looks[-1][n]) for n in names}


def check(mesh, total):
    mesh.wait_ready()
    router = mesh.settled(60)
    report = mesh.verify()
    assert report["kinds"]["REQUEST"] == report["kinds"]["RESPONSE"] == router["admitted"]
    assert report["open"] == 0
    assert router["admitted"] <= total
    assert mesh.metrics("router")["infermesh_router_slots_leaked"] == 0
    return report


def workers(url):
    return [{"name": n, "backend": "upstream", "url": url, "models": ["instant"]} for n in ("a", "b", "c")]


def test_storm_of_requests_is_counted_exactly(start, instant):
    # A short deadline for some: the gateway's is for all, so the upstream answers in about that time.
    mesh = start(workers=workers(instant(4, 1)), config={"log": {"level": "warn"}, "gateway": {"request_ms": "2s"}})
    # Two seconds after its start a daemon gives memory back (lib/daemon/settle.h), some of which the first requests need again.
    time.sleep(3)
    first, _ = storm(mesh, FULL // 10, 0, seed=1)
    check(mesh, FULL // 10)
    before = footprint(mesh)
    rest, kills = storm(mesh, FULL - FULL // 10, 3, seed=2)
    check(mesh, FULL)
    for result in (first, rest):
        assert result["broken"] == 0 and result["timeout"] == 0, result
    assert kills > 0 and rest["cancelled"] > 0
    # Connections of the load generator are closed by now; links to killed workers too.
    after = footprint(mesh)
    print(f"{FULL} requests, {kills} worker kills, {rest['cancelled'] + first['cancelled']} cancels; RSS KiB and fds: "
          f"{before} → {after}")
    for name, (rss, fds) in after.items():
        assert fds == before[name][1], f"{name}: {mesh.processes[name].files()}"
        assert rss <= 1.1 * before[name][0] + 512 + FILLS.get(name, 0), f"{name} grew: {before[name][0]} → {rss} KiB"


@pytest.mark.short
def test_small_storm_is_counted_exactly(start, instant):
    mesh = start(workers=workers(instant(4, 1)), config={"log": {"level": "warn"}})
    result, _ = storm(mesh, 2000, 1, seed=3)
    assert result["broken"] == 0, result
    check(mesh, 2000)


def test_deadline_ends_a_request_and_frees_its_slot(start, instant):
    mesh = start(workers=workers(instant(1000, 50)), config={"gateway": {"request_ms": "300ms"}})
    result, _ = storm(mesh, 200, 0, seed=4)
    assert result["stream_error"] + result["http_error"] + result["cancelled"] == 200, result
    report = check(mesh, 200)
    assert report["outcomes"]["ERROR"] > 0

"""Real processes: 200 requests a second, half of them streams, while workers are killed and stopped under them.

What holds: a request of which no byte had left succeeds, a broken stream ends in an error event, nobody waits longer than the
deadline, and in the end every slot is free and every request has its records. 'infermesh up' brings the workers back.
"""
import json
import os
import pathlib
import shutil
import signal
import tempfile
import time

import pytest

from load import STREAM, WHOLE, Load
from mesh import PATIENCE, Mesh, Process, wait_for

ALL = os.environ.get("INFERMESH_TESTS_ALL") == "1"
SECONDS = 60 if ALL else 12
WORKERS, KILL_EVERY_S, DEADLINE_S = 8, 2.0, 4.0
HEARTBEAT_MS = 200  # a worker that is silent is given up after three of them


def config(heartbeat_ms=HEARTBEAT_MS, deadline_s=DEADLINE_S):
    return {"mesh": {"heartbeat_ms": f"{int(heartbeat_ms * PATIENCE)}ms"},
            "gateway": {"request_ms": f"{int(deadline_s * 1000 * PATIENCE)}ms"}, "router": {"retries": 3}}


def workers(url):
    return [{"name": f"w{i}", "backend": "upstream", "url": url, "models": ["instant"], "capacity": 64,
             "aliases": {"v1": "instant", "v2": "instant"}} for i in range(WORKERS)]


class Up:
    """'infermesh up' and the workers among its children."""

    def __init__(self, folder, **kwargs):
        self.mesh = Mesh(folder, single=True, **kwargs)  # single: 'up' is the one process that we start
        self.mesh.config_path.write_text(__import__("yaml").safe_dump(self.mesh.config))
        made = self.mesh.command("key", "create", "--name", "tester", "--tenant", "acme")
        self.mesh.key = made.stdout.split("im-", 1)[1][:43].join(("im-", ""))
        argv = [self.mesh.program("infermesh"), "up", "--config", self.mesh.config_path]
        self.process = self.mesh.processes["infermesh"] = Process("infermesh", argv, self.mesh.folder).start()

    def workers(self):
        """{name: pid} of the workers that run now."""
        found = {}
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                try:
                    argv = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().decode().split("\0")
                except FileNotFoundError:
                    continue
                if argv[0].endswith("infermesh-inference") and "--name" in argv:
                    found[argv[argv.index("--name") + 1]] = int(child)
        return found


@pytest.fixture
def up(folder, instant):
    # Workers are hurt here, not the disk: a fsync that takes seconds would refuse requests, and rightly.
    state = tempfile.mkdtemp(prefix="im-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None)
    settings = config()
    settings["mesh"]["state_dir"] = state
    settings["routes"] = [{"model": "chat", "arms": {"v1": 100, "v2": 0}, "sticky": "off"}]
    it = Up(f"{folder}/up", workers=workers(instant(6, 40)), config=settings)
    try:
        it.mesh.wait_ready()
        yield it
    finally:
        status = it.process.stop()
        shutil.rmtree(state, ignore_errors=True)
    assert status == 0, it.process.log()[-3000:]


def hurt(it, seconds):
    """Kill one worker every two seconds; another one is stopped for half of the time. Returns how many were killed."""
    end, killed, turn, stopped = time.monotonic() + seconds, 0, 0, None
    while time.monotonic() < end:
        pids = it.workers()
        victim = f"w{1 + turn % (WORKERS - 1)}"
        if stopped is None and "w0" in pids:
            os.kill(pids["w0"], signal.SIGSTOP)
            stopped = pids["w0"]
        elif stopped is not None:
            os.kill(stopped, signal.SIGCONT)
            stopped = None
        if victim in pids:
            os.kill(pids[victim], signal.SIGKILL)
            killed += 1
        turn += 1
        time.sleep(KILL_EVERY_S)  # the pace of the test, not a wait for something
    if stopped is not None:
        os.kill(stopped, signal.SIGCONT)
    return killed


def storm(it, model="instant", begin=lambda: None):
    """The load of both kinds while workers are hurt; how many requests of each, and their results."""
    requests = int(100 * SECONDS)
    loads = [Load(it.mesh, requests, 400, body=body.replace("instant", model), seed=i + 1, rate=100,
                  timeout_ms=DEADLINE_S * 1000 + 1000) for i, body in enumerate((STREAM, WHOLE))]
    wait_for(lambda: it.mesh.router()["slots"] > 0, "requests are under way")
    begin()
    killed = hurt(it, SECONDS - 1)
    results = [load.result() for load in loads]
    assert killed >= (SECONDS - 1) / KILL_EVERY_S / 2, killed
    return requests, results


def check(it, requests, results):
    stream, whole = results
    assert whole["ok"] == requests, whole  # no byte of a whole answer leaves before its end
    assert stream["ok"] + stream["stream_error"] == requests, stream
    assert stream["unbegun"] == 0, stream  # an error event before the first token
    for result in results:
        assert result["longest_us"] <= (DEADLINE_S * PATIENCE + 0.05) * 1e6, result
    it.mesh.wait_ready()
    it.mesh.settled()
    assert it.mesh.verify()["open"] == 0


def test_workers_killed_and_stopped_under_load_lose_no_request_that_had_not_begun(up):
    requests, results = storm(up)
    assert results[0]["stream_error"] > 0, results  # else nobody was hurt
    check(up, requests, results)


def test_workers_killed_while_a_ramp_runs_lose_no_request_that_had_not_begun(up):
    def ramp():
        # Kills are no reason to go back here: they hit both arms.
        done = up.mesh.command("route", "ramp", "chat", "v2", "--step", "20", "--every", f"{int(SECONDS * 120)}ms",
                               "--min-requests", "20", "--max-error-rate", "100%", "--max-p99", "60s")
        assert done.returncode == 0, done.stderr

    requests, results = storm(up, "chat", ramp)
    check(up, requests, results)
    done = up.mesh.command("route", "list", "--json")
    route = next(r for r in json.loads(done.stdout)["routes"] if r["model"] == "chat")
    assert {a["model"]: a["weight"] for a in route["arms"]}["v2"] > 0, route  # it went on meanwhile


def test_workers_that_all_hang_make_nobody_wait_beyond_the_deadline(start, instant):
    deadline_s = 1.0
    mesh = start(workers=workers(instant(6, 40))[:2], config=config(heartbeat_ms=10000, deadline_s=deadline_s))
    for name in mesh.worker_names():
        mesh.processes[name].kill(signal.SIGSTOP)
    try:
        result = Load(mesh, 40, 40, body=WHOLE, timeout_ms=10000).result()
    finally:
        for name in mesh.worker_names():
            mesh.processes[name].kill(signal.SIGCONT)
    assert result["status"] == {"504": 40}, result
    assert deadline_s * PATIENCE * 1e6 <= result["longest_us"] <= (deadline_s + 0.05) * PATIENCE * 1e6, result
    mesh.wait_ready()
    mesh.settled()

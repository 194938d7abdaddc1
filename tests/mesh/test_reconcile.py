"""'infermesh audit reconcile': every admitted request is in the log once and ended once, and what is not so is named."""
import json
import signal

import pytest

from load import STREAM, WHOLE, Load
from mesh import wait_for


def reconcile(mesh, status=0, *args):
    done = mesh.command("audit", "reconcile", "--json", *args)
    assert done.returncode == status, (done.stdout, done.stderr)
    return json.loads(done.stdout)


def text(mesh, status=0, *args):
    done = mesh.command("audit", "reconcile", *args)
    assert done.returncode == status, (done.stdout, done.stderr)
    return done.stdout + done.stderr


def workers(url):
    return [{"name": n, "backend": "upstream", "url": url, "models": ["instant"], "capacity": 64} for n in ("a", "b")]


@pytest.mark.short
def test_reconcile_of_a_whole_log_agrees_with_the_router(start, instant):
    mesh = start(workers=workers(instant(2)))
    result = Load(mesh, 200, 8, body=WHOLE).result()
    assert result["ok"] == 200
    report = reconcile(mesh)
    assert report["complete"] and report["missing"] == [] and report["requests"] == report["ended"] == 200
    router, = report["routers"]
    assert router["admitted"] == router["logged"] == 200 and router["agrees"] and router["in_flight"] == router["open"] == 0
    assert "complete:  every admitted request is there once and ended once" in text(mesh)
    # Somebody else's copy: nobody is asked.
    report = reconcile(mesh, 0, str(mesh.state_dir / "audit"))
    assert report["complete"] and report["routers"] == [] and report["requests"] == 200


def test_reconcile_under_load_takes_requests_in_flight_for_what_they_are(start, instant):
    mesh = start(workers=workers(instant(20, 20)))
    load = Load(mesh, 3000, 100, body=STREAM)
    for _ in range(3):
        wait_for(lambda: mesh.router()["slots"] > 20, "requests are under way")
        report = reconcile(mesh)
        assert report["complete"] and report["in_flight"] > 0 and report["missing"] == [], report
    assert load.result()["broken"] == 0


def test_reconcile_names_exactly_the_requests_that_a_killed_router_left_open(start, instant):
    mesh = start(workers=workers(instant(50, 100)))
    load = Load(mesh, 40, 40, body=STREAM, timeout_ms=20000)
    wait_for(lambda: mesh.router()["slots"] == 40, "all are under way")
    wait_for(lambda: reconcile(mesh)["in_flight"] == 40, "all REQUEST records are durable")
    mesh.processes["router"].kill(signal.SIGKILL)
    load.result()
    alone = reconcile(mesh, 1)  # nobody is there to say that they are in flight
    assert len(alone["missing"]) == 40 and "problem" in alone["routers"][0]
    mesh.start_daemon("router")
    mesh.wait_ready()
    assert mesh.chat({"model": "instant", "messages": [{"role": "user", "content": "again"}]})[0] == 200
    report = reconcile(mesh, 1)
    assert not report["complete"] and report["requests"] == 41 and report["ended"] == 1 and report["problems"] == 0
    assert {r["request_id"] for r in report["missing"]} == {r["request_id"] for r in alone["missing"]}
    assert all(r["kind"] == "REQUEST" and r["model"] == "instant" and len(r["caller"]) == 32 for r in report["missing"])
    router, = report["routers"]
    assert router["agrees"] and router["admitted"] == 1  # the new life has lost nothing
    said = text(mesh, 1)
    assert said.count("MISSING: ") == 40 and said.endswith("NOT COMPLETE\n")


def test_reconcile_names_gaps_of_a_fail_open_router(start, instant):
    mesh = start(workers=workers(instant(2)), config={"router": {"audit_mode": "fail-open", "audit_pending_max": 16}})
    mesh.processes["audit"].stop()
    wait_for(lambda: mesh.router()["audit"] == "unavailable", "the router has noticed")
    assert Load(mesh, 40, 4, body=WHOLE).result()["ok"] == 40
    mesh.start_daemon("audit")
    mesh.wait_ready()
    mesh.settled()
    report = reconcile(mesh, 1)
    router, = report["routers"]
    assert report["gaps"] >= 1 and report["gap_records"] == router["dropped"] > 0 and not router["agrees"], report
    assert router["admitted"] == 40 > router["logged"]
    assert "GAPS: " in text(mesh, 1) and "IT DIFFERS: it admitted 40" in text(mesh, 1)


def test_reconcile_that_cannot_read_the_log_has_a_status_of_its_own(start, instant):
    mesh = start(workers=workers(instant(2)))
    assert "there is no audit log in /nonexistent" in text(mesh, 2, "/nonexistent")

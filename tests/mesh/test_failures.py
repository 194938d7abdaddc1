"""kill -9 of each daemon under 100 concurrent streams: what README's table promises happens, and the counts are exact."""
import json
import os
import pathlib
import signal

import pytest

from load import STREAM, WHOLE, Load, load
from mesh import PATIENCE, Process, Mesh, wait_for

TOKENS, DELAY_MS, STREAMS = 40, 20, 100  # a stream lasts 0.8 s


def two_workers(url):
    return [{"name": name, "backend": "upstream", "url": url, "models": ["instant"]} for name in ("a", "b")]


def wait_streams(mesh, at_least=STREAMS // 2):
    wait_for(lambda: mesh.router()["slots"] >= at_least, f"{at_least} streams are under way", 30, 0.02)


def wait_tokens(mesh, worker, at_least=10):
    """So many of the worker's streams have had a token: killed now, it breaks them."""
    def begun():
        pages = mesh.metrics(worker)
        return sum(v for name, v in pages.items() if name.startswith("infermesh_upstream_time_to_first_token_seconds_count"))
    wait_for(lambda: begun() >= at_least, f"{at_least} streams of {worker} have begun", 30, 0.02)


def wait_recorded(mesh, at_least=STREAMS // 4):
    """So many requests are in the log: theirs are admitted, whatever becomes of the audit service."""
    def records():
        return sum(v for name, v in mesh.metrics("audit").items() if name.startswith("infermesh_audit_records_total"))
    wait_for(lambda: records() >= at_least, f"{at_least} records", 30, 0.02)


def check_counts(mesh, admitted_at_least):
    """Slots 0, and the log holds one REQUEST and one terminal record for each admitted request."""
    router = mesh.settled()
    report = mesh.verify()
    assert report["kinds"]["REQUEST"] == report["kinds"]["RESPONSE"] == router["admitted"] >= admitted_at_least
    assert report["open"] == 0
    assert mesh.metrics("router")["infermesh_router_slots_leaked"] == 0
    return report


def test_worker_killed_streams_end_in_an_error_and_the_rest_succeeds(start, instant):
    mesh = start(workers=two_workers(instant(TOKENS, DELAY_MS)))
    running = Load(mesh, 400, STREAMS)
    wait_tokens(mesh, "a")
    mesh.processes["a"].kill()
    wait_for(lambda: running.proc.poll() is not None or mesh.router()["slots"] > 0, "traffic goes on")
    mesh.start_worker("a")
    result = running.result()
    assert result["ok"] + result["stream_error"] == 400, result  # nothing broken, no request refused
    assert 0 < result["stream_error"] <= STREAMS, result
    mesh.wait_ready()
    check_counts(mesh, 400)


def test_worker_killed_before_its_first_byte_is_replaced(start, instant):
    # Workers that think for 400 ms before the first token: whoever is killed then has sent no byte.
    mesh = start(workers=two_workers(instant(2, 400)), config={"router": {"retries": 1}})
    running = Load(mesh, 50, 50, body='{"model":"instant","messages":[{"role":"user","content":"question %d"}]}')
    wait_streams(mesh, 40)
    mesh.processes["a"].kill()
    result = running.result()
    assert result["ok"] + result["http_error"] == 50, result
    check_counts(mesh, 50)


def test_cache_killed_answers_go_on(start, instant):
    mesh = start(workers=two_workers(instant(TOKENS, DELAY_MS)))
    running = Load(mesh, 300, STREAMS, body=STREAM.replace('"stream"', '"temperature":0,"stream"'))
    wait_streams(mesh)
    mesh.processes["cache"].kill()
    assert mesh.chat({"model": "instant", "messages": [{"role": "user", "content": "without a cache"}]})[0] == 200
    mesh.start_daemon("cache")
    assert running.result()["ok"] == 300
    wait_for(lambda: mesh.router()["cache"] == "connected", "the cache is back")
    check_counts(mesh, 301)


def test_audit_killed_fail_closed_refuses_and_heals(start, instant):
    mesh = start(workers=two_workers(instant(TOKENS, DELAY_MS)), config={"router": {"audit_ms": "500ms"}})
    running = Load(mesh, STREAMS, STREAMS)
    wait_streams(mesh)
    wait_recorded(mesh)
    mesh.processes["audit"].kill()
    wait_for(lambda: mesh.router()["audit"] == "unavailable", "the router notices")
    status, headers, text = mesh.chat({"model": "instant", "messages": [{"role": "user", "content": "hi"}]})
    assert status == 503 and json.loads(text)["error"]["code"] == "audit_unavailable", text
    assert 1 <= int(headers["retry-after"]) < 60 and int(headers["retry-after-ms"]) > 0
    result = running.result()
    # Those that came after the kill are refused.
    admitted = result["ok"] + result["stream_error"]
    assert admitted + result["http_error"] == STREAMS and result["stream_error"] > 0, result
    mesh.start_daemon("audit")
    wait_for(lambda: mesh.router()["audit"] == "connected", "audit is back")
    assert mesh.chat({"model": "instant", "messages": [{"role": "user", "content": "hi"}]})[0] == 200
    check_counts(mesh, admitted + 1)


def test_audit_killed_fail_open_answers_and_records_the_gap(start, instant):
    mesh = start(workers=two_workers(instant(2)),
                 config={"router": {"audit_mode": "fail-open", "audit_pending_max": 16}})
    assert load(mesh, 50, 10)["ok"] == 50
    mesh.settled()
    mesh.processes["audit"].kill()
    assert load(mesh, 200, 20)["ok"] == 200
    router = mesh.router()
    assert router["records_dropped"] > 0
    mesh.start_daemon("audit")
    wait_for(lambda: mesh.router()["audit"] == "connected", "audit is back")
    assert load(mesh, 50, 10)["ok"] == 50
    router = mesh.settled()

    # The last GAP lands by itself, a moment after what it counts was given up.
    def accounted():
        report = mesh.verify()
        written = report["kinds"]["REQUEST"] + report["kinds"]["RESPONSE"]
        return report["kinds"]["GAP"] >= 1 and written + report["gap_records"] == 2 * router["admitted"] == 600
    wait_for(accounted, "each record is written or counted as missing")


def test_router_killed_gateway_says_so_and_heals(start, instant):
    mesh = start(workers=two_workers(instant(TOKENS, DELAY_MS)))
    running = Load(mesh, STREAMS, STREAMS)
    wait_streams(mesh)
    mesh.processes["router"].kill()

    def refused():
        status, _, text = mesh.chat({"model": "instant", "messages": [{"role": "user", "content": "hi"}]})
        return status == 503 and json.loads(text)["error"]["code"] == "router_unavailable"
    wait_for(refused, "the gateway answers 503 router_unavailable")
    result = running.result()
    assert result["stream_error"] + result["ok"] + result["http_error"] == STREAMS and result["broken"] == 0, result
    mesh.start_daemon("router")
    mesh.wait_ready()
    assert mesh.chat({"model": "instant", "messages": [{"role": "user", "content": "hi"}]})[0] == 200
    mesh.settled()
    report = mesh.verify()
    # What the killed router had open stays open, and is named.
    assert report["kinds"]["REQUEST"] - report["kinds"]["RESPONSE"] == report["open"] > 0
    assert len(report["open_first"]) > 0


def test_gateway_killed_calls_are_recorded_as_cancelled(start, instant):
    mesh = start(workers=two_workers(instant(TOKENS, DELAY_MS)))
    running = Load(mesh, STREAMS, STREAMS)
    wait_streams(mesh)
    mesh.processes["gateway"].kill()
    running.proc.kill()
    running.proc.wait()
    mesh.start_daemon("gateway")
    mesh.wait_ready()
    report = check_counts(mesh, STREAMS // 2)
    assert report["outcomes"]["CANCELLED"] > 0


def test_worker_hanging_is_dropped_by_the_heartbeat(start, instant):
    mesh = start(workers=two_workers(instant(2)), config={"mesh": {"heartbeat_ms": f"{int(200 * PATIENCE)}ms"}})
    mesh.processes["a"].kill(signal.SIGSTOP)
    try:
        result = load(mesh, 100, 20, body=WHOLE)
        assert result["ok"] == 100, result
    finally:
        mesh.processes["a"].kill(signal.SIGCONT)
    mesh.wait_ready()
    check_counts(mesh, 100)


def children(pid):
    """{name: pid} of the daemons that 'infermesh up' runs."""
    found = {}
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            try:
                argv = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
            except FileNotFoundError:
                continue
            found[os.path.basename(argv[0].decode())] = int(child)
    return found


@pytest.mark.parametrize("daemon", ["gateway", "router", "inference", "cache", "audit"])
def test_up_restarts_what_died(folder, instant, daemon):
    mesh = Mesh(f"{folder}/up", workers=two_workers(instant(2))[:1], single=True)
    mesh.config_path.write_text(__import__("yaml").safe_dump(mesh.config))
    made = mesh.command("key", "create", "--name", "tester", "--tenant", "acme")
    mesh.key = made.stdout.split("im-", 1)[1][:43].join(("im-", ""))
    up = mesh.processes["infermesh"] = Process(
        "infermesh", [mesh.program("infermesh"), "up", "--config", mesh.config_path], mesh.folder).start()
    try:
        mesh.wait_ready()
        before = children(up.pid)
        os.kill(before[f"infermesh-{daemon}"], signal.SIGKILL)
        wait_for(lambda: children(up.pid).get(f"infermesh-{daemon}") not in (None, before[f"infermesh-{daemon}"]),
                 f"up restarts {daemon}")
        mesh.wait_ready()
        wait_for(lambda: mesh.chat({"model": "instant", "messages": [{"role": "user", "content": "hi"}]})[0] == 200,
                 "a request succeeds")
    finally:
        assert up.stop() == 0
    assert not children_alive(before)


def children_alive(pids):
    return [name for name, pid in pids.items() if pathlib.Path(f"/proc/{pid}").exists()]

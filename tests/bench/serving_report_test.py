"""What the serving bench says of the kernel's and the disk's part, and the programs that it asks."""
import json
import subprocess
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import serving_floor
import serving_report
import serving_workers
from targets import BUILD


def report(**more):
    return {"cases": [], "steps": {}, "workers": [], "fdatasync_us": 100, "mesh_rss_kib": {}, "streams": 1, "pace_us": 1, **more}


def floor_case(name, what, **figures):
    return {"kind": "floor", "name": f"floor: {name}", "rows": {row.replace("_", " "): {what: value} for row, value in figures.items()}}


def test_floor_of_five_processes_is_the_hops_of_three_relays_two_more_and_the_disk():
    steps = {"log: both": {"p50": 80.0}}
    found = serving_floor.Floors(report(steps=steps, cases=[floor_case("1 connection", "latency_p50_us", direct=20, nginx=120, relay=110, three_relays=150)]))
    assert found.one("single, audit off") == 90
    assert found.one("single, fail-closed") == 90 + 80
    assert found.one("five processes") == 130 + 20 + 80


def test_added_time_is_shared_out_among_hops_disk_and_us():
    row = {"latency_p50_us": 300, "cpu_us": 30}
    cases = [{"kind": "closed", "name": name, "rows": {"direct": {"latency_p50_us": 20, "cpu_us": 0}, "single, fail-closed": row}} for name in ("1 connection", "64 connections")]
    cases += [floor_case("1 connection", "latency_p50_us", direct=20, relay=110, three_relays=150), floor_case("64 connections", "cpu_us", relay=12)]
    table = serving_report.parts_table(report(steps={"log: both": {"p50": 80.0}}, cases=cases))
    assert table[3:] == ["| single, fail-closed | 280 µs | 90 µs | 80 µs | 110 µs | 30.0 µs | 12.0 µs |"]


def test_floor_that_was_not_measured_is_none():
    found = serving_floor.Floors(report())
    assert (found.one("five processes"), found.share("five processes"), found.first_chunk("five processes"), found.many_workers(10, "")) == (None,) * 4


def test_thousand_workers_that_cost_too_much_do_not_hold_and_stand_beside_their_floor():
    rows = [{"workers": n, "load": load, "per_second": 1, "p50_us": 1, "router_us": 1, "core_us": us}
            for load, few, many in ((serving_workers.IDLE, 0, 30000), (serving_workers.ONE, 100, 105), ("9 requests a second", 40, 50), (serving_workers.FULL, 40, 90))
            for n, us in ((2, few), (1000, many))]
    steps = {f"message through one of {serving_floor.MANY:,} Unix sockets, nobody woken": {"p50": 2.0}}
    table = serving_report.Judge(report(workers=rows, steps=steps)).table()
    assert len(table) == 4  # at full speed, and where nobody asks, the load is not the same
    assert table[2].endswith("| ≤ 1.10 | 1.05 | yes | 1.00 |")
    assert table[3].endswith("| ≤ 1.10 | 1.25 | **no** | 1.05 |")
    assert serving_workers.tables(rows)[3] == f"| {serving_workers.IDLE} | 1,000 | - | - | 0.0 ms a second | 30.0 ms a second |"


def test_floor_of_the_disk_and_of_a_wake_up_is_measured(tmp_path):
    record = serving_floor.probe("record", tmp_path)
    assert 0 < max(record[part]["p50"] for part in ("write", "sync")) <= record["both"]["p50"] <= record["both"]["p99"]
    assert list(tmp_path.iterdir()) == []
    for kind in serving_floor.SOCKETS:
        assert serving_floor.probe("wake", kind, "one")["wake"]["p50"] > 0
    assert serving_floor.probe("many", 8)["message"]["p50"] > 0


class Echo(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.mark.parametrize("count", [1, 3])
def test_relays_in_a_row_pass_bytes_both_ways(tmp_path, count):
    server = HTTPServer(("127.0.0.1", 0), Echo)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address, procs = f"127.0.0.1:{server.server_port}", []
    try:
        for left in reversed(range(count)):
            listen = f"unix:{tmp_path}/{left}" if left else "127.0.0.1:0"
            procs.append(subprocess.Popen([str(BUILD / "bench/infermesh-relay"), listen, address], stdout=subprocess.PIPE, text=True))
            address = procs[-1].stdout.readline().strip()
        body = json.dumps({"long": "x" * 300_000}).encode()
        with urllib.request.urlopen(f"http://{address}/", body, timeout=20) as reply:
            assert reply.read() == body
    finally:
        for proc in procs:
            proc.kill()
            proc.wait()
        server.shutdown()

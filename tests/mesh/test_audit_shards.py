"""The log goes on in a new shard under a new key while the mesh answers: nothing is lost, and who has the first key follows."""
import functools
import http.server
import json
import shutil
import threading

import pytest

from mesh import wait_for
from test_audit_cli import ask, nginx, records, run


@pytest.fixture
def mesh(start, instant):
    workers = [{"name": "w", "backend": "upstream", "url": instant(), "models": ["m"]}]
    return start(workers=workers, config={"audit": {"publish_ms": "50ms"}})


def rotate(mesh):
    return json.loads(run(mesh, "keys", "rotate", "--json"))


def keys(mesh, *args):
    return json.loads(run(mesh, "keys", "show", "--json", *args))["shards"]


def test_rotation_under_load_loses_nothing_and_the_first_key_checks_all(mesh, tmp_path):
    first = mesh.status()["audit"]["vkey"]
    key_file = mesh.state_dir / "audit.key"
    secret = next(line for line in key_file.read_text().splitlines() if line.startswith("signer ")).rsplit("+", 1)[1]
    before = ask(mesh)
    answered, stop = [], threading.Event()

    def load():
        while not stop.is_set():
            status, headers, _ = mesh.chat({"model": "m", "messages": [{"role": "user", "content": "more"}], "stream": False})
            answered.append((status, {k.lower(): v for k, v in headers.items()}["x-request-id"]))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    rotated = []
    for _ in range(3):
        wait_for(lambda: len(answered) > 20 * (len(rotated) + 1), "requests are answered")
        rotated.append(rotate(mesh))
    wait_for(lambda: len(answered) > 100, "requests are answered")
    stop.set()
    for thread in threads:
        thread.join()
    assert {status for status, _ in answered} == {200}
    after = ask(mesh)

    status = mesh.status()["audit"]
    assert status["vkey"] == rotated[-1]["vkey"] and status["origin"] == rotated[-1]["origin"]
    assert secret not in key_file.read_text() and f"old {first}" in key_file.read_text()
    shown = keys(mesh)
    assert [s["vkey"] for s in shown] == [first] + [r["vkey"] for r in rotated]
    assert [s["open"] for s in shown] == [False] * 3 + [True]
    assert shown[-1]["first"] == rotated[-1]["index"] + 1
    assert "KEY_ROTATE" in run(mesh, "show", str(rotated[0]["index"]))

    # With the first key alone everything is checked; with the last one, what comes before is pinned.
    log = mesh.state_dir / "audit"
    report = json.loads(run(mesh, "verify", str(log), "--vkey", first, "--json"))
    assert report["verified"] and report["open"] == report["orphans"] == 0
    assert report["size"] == report["published_size"] == mesh.status()["audit"]["size"]
    assert report["kinds"]["REQUEST"] == report["kinds"]["RESPONSE"] == len(answered) + 2
    assert [s["key"] for s in report["shards"]] == ["given", "chained", "chained", "chained"]
    report = json.loads(run(mesh, "verify", str(log), "--vkey", rotated[-1]["vkey"], "--json"))
    assert report["verified"] and [s["key"] for s in report["shards"]] == ["pinned"] * 3 + ["given"]

    # Records of each shard are found, proved and checked by their numbers.
    for request_id in (before, after, answered[len(answered) // 2][1].removeprefix("chatcmpl-")):
        request, response = records(mesh, request_id)
        assert response["request_index"] == request["index"]
        proof = tmp_path / f"{request_id}.tlog-proof"
        run(mesh, "prove", str(response["index"]), "-o", str(proof))
        assert "verified:" in run(mesh, "check", str(proof))
        opened = run(mesh, "open", str(request["index"]), "--json")
        assert json.loads(opened)["request_id"] == request_id
    # Its shard's key, and no other one, checks a proof.
    assert "verified:" in run(mesh, "check", str(proof), "--vkey", next(
        s["vkey"] for s in reversed(shown) if s["first"] <= response["index"]))
    last = tmp_path / "last.tlog-proof"
    run(mesh, "prove", str(records(mesh, after)[0]["index"]), "-o", str(last))
    assert "NOT VERIFIED" in run(mesh, "check", str(last), "--vkey", first, status=1)

    # A static web server publishes all of it as it lies there, and so does the daemon's copy.
    folder = tmp_path / "log"
    shutil.copytree(log, folder, ignore=shutil.ignore_patterns("wal", "lock"))
    with nginx(tmp_path / "nginx", folder) as url:
        report = json.loads(run(mesh, "verify", url, "--vkey", first, "--json"))
        assert report["verified"] and len(report["shards"]) == 4
        assert records(mesh, after, "--log", url) == records(mesh, after)
        assert [s["vkey"] for s in keys(mesh, "--log", url, "--vkey", first)] == [s["vkey"] for s in shown]
        missing = next(folder.glob("20*"))
        shutil.rmtree(missing)
        said = run(mesh, "verify", url, "--vkey", first, status=1)
        assert f"{missing.name}/the log goes on in this shard, and it is missing" in said or "is missing" in said


class Counting(http.server.SimpleHTTPRequestHandler):
    missed, asked = [], 0

    def send_error(self, code, *args, **kwargs):
        Counting.missed.append((code, self.path))
        super().send_error(code, *args, **kwargs)

    def do_GET(self):
        Counting.asked += 1
        super().do_GET()

    def log_message(self, *args):
        pass


def test_what_is_fetched_ahead_of_a_shard_is_there(mesh, tmp_path):
    for _ in range(150):  # the first shard is larger than a tile, the second one smaller
        ask(mesh)
    rotated = rotate(mesh)
    ask(mesh)
    folder = tmp_path / "log"
    shutil.copytree(mesh.state_dir / "audit", folder, ignore=shutil.ignore_patterns("wal", "lock"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Counting, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        assert json.loads(run(mesh, "verify", url, "--json"))["verified"]
        run(mesh, "export", url)
        server.shutdown()
    newest = rotated["origin"].rsplit("/", 1)[1]
    assert Counting.asked > 10
    assert {path for _, path in Counting.missed} == {f"/{newest}/next.tlog-proof"}, Counting.missed


def test_log_of_two_shards_survives_a_kill(mesh):
    ask(mesh)
    rotated = rotate(mesh)
    asked = ask(mesh)
    mesh.processes["audit"].kill()
    mesh.start_daemon("audit")
    mesh.wait_ready()
    again = ask(mesh)
    assert mesh.status()["audit"]["vkey"] == rotated["vkey"]
    for request_id in (asked, again):
        assert [r["kind"] for r in records(mesh, request_id)] == ["REQUEST", "RESPONSE"]
    report = mesh.verify()
    assert report["verified"] and report["orphans"] == 0 and len(report["shards"]) == 2

"""The command line that reads the log: show, prove, check, verify, against a real mesh's log, its folder and whoever serves it."""
import base64
import contextlib
import functools
import hashlib
import http.server
import json
import os
import pathlib
import pty
import re
import shutil
import subprocess
import threading
import time
import urllib.error
import urllib.request

import pytest

from mesh import BUILD, free_port, wait_for

QUESTION = {"model": "m", "messages": [{"role": "user", "content": "what is logged?"}]}


@pytest.fixture
def mesh(start, instant):
    workers = [{"name": "w", "backend": "upstream", "url": instant(), "models": ["m"]}]
    return start(workers=workers, config={"audit": {"publish_ms": "50ms"}})


def ask(mesh, body=None):
    """Ask once; the request's id, when its records are published."""
    status, headers, text = mesh.chat(body or QUESTION)
    assert status == 200, text
    request_id = {k.lower(): v for k, v in headers.items()}["x-request-id"].removeprefix("chatcmpl-")
    mesh.settled()
    wait_for(lambda: (a := mesh.status()["audit"])["published_size"] == a["size"], "the records are published")
    return request_id


def run(mesh, *args, status=0):
    done = mesh.command("audit", *args)
    assert done.returncode == status, (args, done.stdout, done.stderr)
    return done.stdout if status == 0 or done.stdout else done.stderr


def records(mesh, what, *args):
    return json.loads(run(mesh, "show", str(what), "--json", *args))["records"]


@contextlib.contextmanager
def nginx(folder, root):
    """A static web server that knows nothing of logs; its address."""
    folder.mkdir()
    port = free_port()
    (folder / "nginx.conf").write_text(f"""
        daemon off; master_process off; pid {folder}/pid; error_log {folder}/error.log;
        events {{}}
        http {{ access_log {folder}/access.log; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;
          fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
          server {{ listen 127.0.0.1:{port}; location /log/ {{ alias {root}/; }} }} }}""")
    program = shutil.which("nginx") or "/usr/sbin/nginx"
    proc = subprocess.Popen([program, "-p", str(folder), "-c", str(folder / "nginx.conf")], stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: (folder / "pid").exists() and (folder / "pid").read_text().strip(), "nginx runs")
        yield f"http://127.0.0.1:{port}/log"
    finally:
        proc.terminate()
        proc.wait(10)


def copy_of(mesh, to):
    shutil.copytree(mesh.state_dir / "audit", to, ignore=shutil.ignore_patterns("wal", "lock"))
    return to


def test_show_finds_a_request_by_its_id_and_each_record_by_its_index(mesh):
    request_id = ask(mesh)
    asked, answered = records(mesh, request_id)
    assert (asked["kind"], answered["kind"]) == ("REQUEST", "RESPONSE")
    assert asked["request_id"] == answered["request_id"] == request_id
    assert answered["request_index"] == asked["index"] and answered["outcome"] == "OK"
    assert answered["routing"]["worker"] == "w" and len(asked["input_commitment"]) == 64
    assert records(mesh, asked["index"]) == [asked] and records(mesh, "chatcmpl-" + request_id) == [asked, answered]
    assert records(mesh, 0)[0]["kind"] == "START"
    text = run(mesh, "show", request_id)
    assert f"record {asked['index']}: REQUEST\n" in text and f"answers            record {asked['index']}\n" in text


def test_show_says_what_it_did_not_find(mesh):
    assert "has no record 99999" in run(mesh, "show", "99999", status=1)
    assert "has no record of this request" in run(mesh, "show", "f" * 32, status=1)
    assert "say which: INDEX" in run(mesh, "show", "not-an-id", status=2)
    assert "there is no audit log in /nonexistent" in run(mesh, "show", "1", "--log", "/nonexistent", status=1)


def test_prove_and_check_offline_with_nothing_but_the_key(mesh, tmp_path):
    asked, _ = records(mesh, ask(mesh))
    vkey, file = mesh.status()["audit"]["vkey"], tmp_path / "x.tlog-proof"
    assert f"proof of record {asked['index']} in {file}" in run(mesh, "prove", str(asked["index"]), "-o", str(file))
    elsewhere = tmp_path / "elsewhere.yaml"
    elsewhere.write_text(f"mesh: {{ state_dir: {tmp_path}/none }}\n")

    def check(*args):
        return subprocess.run([mesh.program("infermesh"), "audit", "check", str(file), "--config", str(elsewhere), *args],
                              capture_output=True, text=True)
    done = check("--vkey", vkey)
    assert done.returncode == 0 and done.stdout.endswith("verified:  the log holds this record\n"), done
    verdict = json.loads(check("--vkey", vkey, "--json").stdout)
    assert verdict["verified"] and verdict["record"] == asked and verdict["origin"] == vkey.split("+")[0]
    assert check().returncode == 2 and "give --vkey KEY" in check().stderr
    stranger = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
    assert check("--vkey", stranger).stdout.startswith("NOT VERIFIED: ") and check("--vkey", stranger).returncode == 1
    assert run(mesh, "check", str(file)).count("this machine's key") == 1
    assert run(mesh, "prove", str(asked["index"])) == file.read_text()


def test_check_of_a_changed_proof_says_what_is_wrong(mesh, tmp_path):
    asked, _ = records(mesh, ask(mesh))
    file = tmp_path / "x.tlog-proof"
    whole = run(mesh, "prove", str(asked["index"]))
    lines = whole.split("\n")
    entry = bytearray(base64.b64decode(lines[1].removeprefix("extra ")))
    entry[20] ^= 1
    cases = {
        "its first line is not": whole[1:],
        "malformed index": whole.replace("\nindex ", "\nindex 0"),
        "blank line before the checkpoint": whole.split("\n\n")[0] + "\n",
        "inclusion": whole.replace(lines[1], "extra " + base64.b64encode(entry).decode()),
        "signature": re.sub(r"\n(\d+)\n([^\n]{44})\n\n", lambda m: f"\n{int(m[1]) + 1}\n{m[2]}\n\n", whole),
    }
    for word, text in cases.items():
        file.write_text(text)
        said = run(mesh, "check", str(file), status=1)
        assert said.startswith("NOT VERIFIED: ") and word in said, (word, said)
        verdict = json.loads(run(mesh, "check", str(file), "--json", status=1))
        assert verdict["verified"] is False and word in verdict["problem"]
    assert "could not be opened" in run(mesh, "check", str(tmp_path / "none"), status=1)
    assert "belong together" in run(mesh, "check", str(file), "--content", str(file), status=2)
    assert "is not in the tree" not in run(mesh, "prove", "99999", status=1)
    assert "not yet record 99999" in run(mesh, "prove", "99999", status=1)


def test_check_proves_that_a_text_is_what_was_logged(mesh, tmp_path):
    sent = json.dumps(QUESTION)
    asked, _ = records(mesh, ask(mesh, sent))
    proof, content = tmp_path / "x.tlog-proof", tmp_path / "request.json"
    run(mesh, "prove", str(asked["index"]), "-o", str(proof))
    content.write_text(sent)
    opening = json.loads(run(mesh, "open", str(asked["index"]), "--json"))["opening"]
    claim = ["check", str(proof), "--content", str(content), "--opening", opening]
    assert f"content:   {content} is the input that was logged\n" in run(mesh, *claim)
    content.write_text(sent + " ")
    assert "is not the input that was logged" in run(mesh, *claim, status=1)
    content.write_text(sent)
    assert "is not the input" in run(mesh, *claim[:-1], "00" * 32, status=1)
    assert "a REQUEST, has no commitment to an output" in run(mesh, *claim, "--field", "output", status=1)
    assert "64 hex digits" in run(mesh, *claim[:-1], "00", status=2)


def test_check_proves_that_an_answer_is_what_was_logged(mesh, tmp_path):
    _, _, text = mesh.chat(QUESTION)
    answer = json.loads(text)
    choice = answer["choices"][0]
    mesh.settled()
    _, answered = records(mesh, answer["id"])
    wait_for(lambda: (a := mesh.status()["audit"])["published_size"] == a["size"], "the records are published")
    manifest, proof = tmp_path / "manifest", tmp_path / "x.tlog-proof"
    digest = hashlib.sha256(choice["message"]["content"].encode()).hexdigest()
    manifest.write_text(f"infermesh-answer/v1\nchoice 0 content {digest}\nchoice 0 finish {choice['finish_reason']}\n")
    run(mesh, "prove", str(answered["index"]), "-o", str(proof))
    opening = json.loads(run(mesh, "open", str(answered["index"]), "--field", "output", "--json"))["opening"]
    claim = ["check", str(proof), "--content", str(manifest), "--opening", opening, "--field", "output", "--json"]
    verdict = json.loads(run(mesh, *claim))
    assert verdict["verified"] and verdict["content"] and verdict["record"] == answered
    manifest.write_text(manifest.read_text().replace("finish", "Finish"))
    assert json.loads(run(mesh, *claim, status=1))["verified"] is False


def test_verify_of_what_any_web_server_publishes(mesh, tmp_path):
    for _ in range(5):
        request_id = ask(mesh)
    vkey = mesh.status()["audit"]["vkey"]
    folder = copy_of(mesh, tmp_path / "log")
    with nginx(tmp_path / "nginx", folder) as url:
        report = json.loads(run(mesh, "verify", url, "--vkey", vkey, "--json"))
        assert report["verified"] and report["url"] == url and report["signature_checked"]
        size = report["size"]
        assert report["published_size"] == size > 10 and report["open"] == 0
        assert "signature: not checked" in run(mesh, "verify", url)
        assert len(records(mesh, request_id, "--log", url)) == 2
        assert run(mesh, "prove", "3", "--log", url, "--vkey", vkey) == run(mesh, "prove", "3")
        ask(mesh)  # the log grows; the copy does not
        kept = tmp_path / "kept"
        kept.write_text((mesh.state_dir / "audit/checkpoint").read_text())
        assert "verified:" in run(mesh, "verify", "--seen", str(kept))
        assert "was kept: the log was rolled back" in run(mesh, "verify", url, "--vkey", vkey, "--seen", str(kept), status=1)
        tile = next((folder / "tile/entries").rglob(str(size)))
        data = bytearray(tile.read_bytes())
        data[-1] ^= 1
        tile.write_bytes(data)
        said = run(mesh, "verify", url, "--vkey", vkey, status=1)
        assert f"WRONG:     tile/0/000.p/{size}: hash {size - 1} does not fit tile/entries/000.p/{size}" in said
        tile.unlink()
        assert f"tile/entries/000.p/{size} is missing" in run(mesh, "verify", url, "--vkey", vkey, status=1)
        assert "there is no audit log in" in run(mesh, "verify", url + "/tile", status=1)
        (folder / "checkpoint").write_text("<html>hello</html>\n" * 2000)
        assert "larger than such a file can be" in run(mesh, "verify", url, status=1)
    assert f"{url}/next.tlog-proof: " in run(mesh, "verify", url, status=1)
    assert "has no '?'" in run(mesh, "verify", url + "?x", status=2)


@pytest.mark.parametrize("single", [False, True])
def test_verify_of_what_the_daemon_itself_serves(start, instant, single):
    port = free_port()
    workers = [{"name": "w", "backend": "upstream", "url": instant(), "models": ["m"]}]
    mesh = start(workers=workers, single=single, config={"audit": {"publish_ms": "50ms", "serve": f"127.0.0.1:{port}"}})
    request_id, url = ask(mesh), f"http://127.0.0.1:{port}"
    vkey = mesh.status()["audit"]["vkey"]
    report = json.loads(run(mesh, "verify", url, "--vkey", vkey, "--json"))
    assert report["verified"] and report["size"] == report["published_size"] > 2
    asked, _ = records(mesh, request_id, "--log", url)
    assert run(mesh, "prove", str(asked["index"]), "--log", url, "--vkey", vkey) == run(mesh, "prove", str(asked["index"]))
    for _ in range(10):  # the log moves on between one file and the next
        mesh.chat(QUESTION)
        assert json.loads(run(mesh, "verify", url, "--vkey", vkey, "--json"))["verified"]
    with urllib.request.urlopen(f"{url}/tile/entries/000.p/1") as reply:  # was replaced long since
        assert reply.headers["Cache-Control"] == "public, max-age=31536000, immutable"
        assert int.from_bytes(reply.read(2), "big") == len(reply.read())
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{url}/lock")
    served = 'infermesh_audit_http_requests_total{result="served"}'
    assert any(k.startswith(served[:-1]) and v > 10 for k, v in mesh.metrics("audit").items())


class Slow(http.server.SimpleHTTPRequestHandler):
    """A folder behind a long way: each answer takes 20 ms, and some fail at first."""
    protocol_version = "HTTP/1.1"
    lock, now, most, fails = threading.Lock(), 0, 0, {"/checkpoint", "/tile/0/000", "/tile/entries/100"}

    def do_GET(self):
        with self.lock:
            Slow.now += 1
            Slow.most = max(Slow.most, Slow.now)
            fails = self.path in Slow.fails
            Slow.fails.discard(self.path)
        time.sleep(0.02)
        if fails:
            self.send_error(503)
        else:
            super().do_GET()
        with self.lock:
            Slow.now -= 1

    def log_message(self, *args):
        pass


def test_verify_over_a_long_way_fetches_ahead_and_tries_again(mesh, tmp_path):
    made = subprocess.run([BUILD / "interop/tlog-vectors", tmp_path], capture_output=True)  # its entries are no records
    assert made.returncode == 0, made
    handler = functools.partial(Slow, directory=str(tmp_path / "leaves"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url, began = f"http://127.0.0.1:{server.server_address[1]}", time.monotonic()
        report = json.loads(run(mesh, "verify", url, "--json", status=1))
        took = time.monotonic() - began
        server.shutdown()
    assert report["size"] == 70000 and report["problems"] == 70000  # hashes fit; only: no entry is a record
    assert all("not a record" in p for p in report["problem"]), report["problem"]
    assert 4 <= Slow.most <= 6, (Slow.most, took)
    assert not Slow.fails


class Dripping(http.server.SimpleHTTPRequestHandler):
    """A folder from which bundles come one byte a second."""

    def do_GET(self):
        path = pathlib.Path(self.translate_path(self.path))
        if "entries" not in self.path or not path.is_file():
            return super().do_GET()
        data = path.read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        with contextlib.suppress(OSError):
            for byte in data:
                self.wfile.write(bytes([byte]))
                time.sleep(1)

    def log_message(self, *args):
        pass


if os.environ.get("INFERMESH_TESTS_ALL") == "1":  # 30 s
    def test_verify_gives_a_server_up_that_sends_a_byte_a_second(mesh, tmp_path):
        ask(mesh)
        folder = copy_of(mesh, tmp_path / "log")
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Dripping, directory=str(folder))) as server:
            server.daemon_threads = True
            server.block_on_close = False
            threading.Thread(target=server.serve_forever, daemon=True).start()
            began = time.monotonic()
            said = run(mesh, "verify", f"http://127.0.0.1:{server.server_address[1]}", status=1)
            server.shutdown()
        assert "the server is too slow: it has sent less than 1024 bytes a second for 30 seconds" in said
        assert 29 <= time.monotonic() - began < 90


def test_verify_of_what_was_never_published_says_so(start, instant):
    workers = [{"name": "w", "backend": "upstream", "url": instant(), "models": ["m"]}]
    mesh = start(workers=workers, config={"audit": {"publish_ms": "60s"}})
    mesh.chat(QUESTION)
    said = run(mesh, "verify")
    assert "root:      nothing is published yet: all records are in the write-ahead log" in said
    report = json.loads(run(mesh, "verify", "--json"))
    assert report["verified"] and report["root"] is None and report["published_size"] == 0 < report["size"]


def test_verify_on_a_terminal_shows_how_far_it_is(mesh):
    ask(mesh)
    primary, secondary = pty.openpty()
    done = subprocess.run([mesh.program("infermesh"), "audit", "verify", "--config", mesh.config_path],
                          stdout=subprocess.PIPE, stderr=secondary, text=True)
    os.close(secondary)
    shown = ""
    with contextlib.suppress(OSError):  # EIO: all was read
        while True:
            shown += os.read(primary, 65536).decode()
    os.close(primary)
    assert done.returncode == 0 and done.stdout.endswith("verified:  everything is as it was written\n")
    assert re.search(r"\[#{24}\] 100%  \d+ records, \d+/s", shown), shown
    assert shown.endswith("\r\x1b[K")  # and leaves the line as it was


def test_verify_of_a_running_log_while_it_grows(mesh):
    ask(mesh)
    for _ in range(5):
        mesh.chat(QUESTION)
        assert json.loads(run(mesh, "verify", "--json"))["verified"]
    assert pathlib.Path(mesh.state_dir / "audit/checkpoint").exists()


def lines(mesh, *args):
    return [json.loads(line) for line in run(mesh, "export", *args).splitlines()]


def test_export_is_every_record_once_and_goes_on_where_it_ended(mesh, tmp_path):
    for _ in range(5):
        ask(mesh)
    every = lines(mesh)
    assert [r["index"] for r in every] == list(range(mesh.status()["audit"]["size"]))
    assert every[3:6] == [records(mesh, i)[0] for i in (3, 4, 5)]
    assert json.loads(run(mesh, "export", "--json")) == every and json.loads(run(mesh, "export", "--json", "--from", "999")) == []
    file = tmp_path / "some.ndjson"
    done = mesh.command("audit", "export", "--ndjson", "--to", "4", "-o", str(file))
    assert done.returncode == 0 and done.stdout == "" and "5 records, 0 to 4; go on with --from 5" in done.stderr, done
    assert [json.loads(line) for line in file.read_text().splitlines()] + lines(mesh, "--from", "5") == every
    assert lines(mesh, "--since", "1h") == every and lines(mesh, "--until", "1h") == []
    folder = copy_of(mesh, tmp_path / "log")
    with nginx(tmp_path / "nginx", folder) as url:
        assert lines(mesh, url) == lines(mesh, str(folder)) == every[:len(lines(mesh, url))]


def test_export_says_what_it_cannot_do(mesh):
    assert "there is no audit log in /nonexistent" in run(mesh, "export", "/nonexistent", status=1)
    assert "/dev/full cannot be written" in run(mesh, "export", "-o", "/dev/full", status=1)
    assert "not both" in run(mesh, "export", "--json", "--ndjson", status=2)
    assert "--from: found 'x', allowed: the number of a record" in run(mesh, "export", "--from", "x", status=2)
    assert "--since: found 'x', allowed: 2026-01-31" in run(mesh, "export", "--since", "x", status=2)


def found(mesh, *args):
    return json.loads(run(mesh, "search", "--json", *args))


def test_search_finds_by_name_model_kind_and_outcome(mesh, tmp_path):
    ids = [ask(mesh) for _ in range(4)]
    mesh.chat({**QUESTION, "model": "nobody-serves-this"})
    by_name = found(mesh, "--caller", "tester", "--tenant", "acme")
    assert [r["request_id"] for r in by_name["records"][::2]] == ids[::-1] and len(by_name["records"]) == 8
    assert by_name["size"] == by_name["indexed"] == mesh.status()["audit"]["size"] and by_name["more"] is False
    pseudonym = by_name["records"][0]["caller"]
    assert found(mesh, "--caller", pseudonym) == by_name
    for args in (["--model", "m", "--since", "1h"], ["--tenant", "acme"]):
        hits = found(mesh, *args)["records"]
        assert hits == found(mesh, "--scan", *args)["records"]
        assert [r for r in hits if r["kind"] != "MODEL_LOAD"] == by_name["records"]
    assert found(mesh, "--caller", "tester")["records"] == []  # of the tenant 'default': another one
    ended = found(mesh, "--outcome", "ok", "--worker", "w", "--status", "200", "--limit", "3")
    assert ended["more"] is True and [r["request_id"] for r in ended["records"]] == ids[:0:-1]
    assert [r["index"] for r in found(mesh, "--kind", "START")["records"]] == [0]
    text = run(mesh, "search", "--kind", "RESPONSE", "--limit", "1")
    assert re.search(rf"RESPONSE +OK +200 +m +{ids[-1]}\n$", text), text
    folder = copy_of(mesh, tmp_path / "log")
    with nginx(tmp_path / "nginx", folder) as url:
        assert found(mesh, "--caller", "tester", "--tenant", "acme", url)["records"] == by_name["records"]
        assert found(mesh, "--outcome", "ok", "--scan", url)["records"] == found(mesh, "--outcome", "ok")["records"]


def test_search_makes_a_spoiled_index_anew(mesh):
    ask(mesh)
    whole = found(mesh)
    index, = (mesh.state_dir / "audit-index").glob("*.sqlite")
    assert index.stat().st_mode & 0o777 == 0o600
    index.write_bytes(b"no index at all" * 1000)
    done = mesh.command("audit", "search", "--json")
    assert json.loads(done.stdout) == whole and "the index is made anew: " in done.stderr, done


def test_search_says_what_it_cannot_do(mesh):
    assert "--outcome: found 'WELL', allowed: OK, ERROR" in run(mesh, "search", "--outcome", "WELL", status=2)
    assert "--kind: found 'X', allowed: REQUEST" in run(mesh, "search", "--kind", "X", status=2)
    assert "--limit: found '-1', allowed: 0 to" in run(mesh, "search", "--limit=-1", status=2)
    assert "there is no audit log in /nonexistent" in run(mesh, "search", "/nonexistent", status=1)
    mesh.state_dir.joinpath("audit.key").rename(mesh.folder / "away")
    try:
        assert "a pseudonym, 32 hex digits, needs no key" in run(mesh, "search", "--caller", "tester", status=1)
        assert found(mesh, "--caller", "0" * 32)["records"] == []
        assert "give that by its name" in run(mesh, "search", "--caller", "x", "--tenant", "0" * 32, status=1)
    finally:
        (mesh.folder / "away").rename(mesh.state_dir / "audit.key")

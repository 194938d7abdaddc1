"""What changes behaviour is in the log: configurations, key files and weights, with who answers for them."""
import hashlib
import json
import os

from mesh import Mesh, wait_for


def changes(mesh, *args):
    done = mesh.command("audit", "search", "--json", "--limit", "0", *args)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["records"][::-1]


def told(mesh, kind="CONFIG"):
    """{(daemon, what): digest}"""
    return {(r["routing"]["worker"], r["routing"]["reason"]): r["config_digest"] for r in changes(mesh, "--kind", kind)}


EXPECTED = {("gateway", "start"), ("gateway", "keys"), ("router", "start"), ("cache", "start"), ("w", "start")}


def lives(mesh):
    try:
        return mesh.get("/livez")[0] == 200
    except OSError:
        return False


def worker(url):
    return [{"name": "w", "backend": "upstream", "url": url, "models": ["m"]}]


def test_each_daemon_tells_its_configuration_and_its_owner(start, instant):
    mesh = start(workers=worker(instant()))
    wait_for(lambda: set(told(mesh)) == EXPECTED, "all have told it")
    digests, keys = told(mesh), mesh.state_dir / "keys"
    assert digests.pop(("gateway", "keys")) == hashlib.sha256(keys.read_bytes()).hexdigest()
    start_record, = changes(mesh, "--kind", "START")
    assert set(digests.values()) == {start_record["config_digest"]}  # one file for all
    records = changes(mesh, "--kind", "CONFIG")
    mine = changes(mesh, "--tenant", "operators", "--caller", f"uid:{os.getuid()}")
    assert [r for r in mine if r["kind"] == "CONFIG"] == records and start_record in mine
    # The router's record and what it admits name the same life of it.
    assert mesh.chat({"model": "m", "messages": [{"role": "user", "content": "x"}]})[0] == 200
    router, = (r["reporter"] for r in records if r["routing"]["worker"] == "router")
    assert {r["reporter"] for r in changes(mesh, "--kind", "REQUEST")} == {router}
    assert len({r["reporter"] for r in records if r["routing"]["reason"] == "start"}) == 4


def test_a_new_api_key_is_told(start, instant):
    mesh = start(workers=worker(instant()))
    wait_for(lambda: set(told(mesh)) == EXPECTED, "all have told it")
    before = told(mesh)[("gateway", "keys")]
    assert mesh.command("key", "create", "--name", "another").returncode == 0
    now = hashlib.sha256((mesh.state_dir / "keys").read_bytes()).hexdigest()
    wait_for(lambda: told(mesh)[("gateway", "keys")] == now, "the change is told")
    assert now != before and mesh.verify()["problems"] == 0


def test_daemons_that_start_before_the_log_is_there_tell_it_later(folder, instant):
    mesh = Mesh(f"{folder}/0", workers=worker(instant()))
    late = mesh.start_daemon
    mesh.start_daemon = lambda name: late(name) if name != "audit" else None
    mesh.wait_ready = lambda *args: None
    try:
        mesh.start()  # but audit
        wait_for(lambda: lives(mesh), "the gateway runs without it")
        late("audit")
        wait_for(lambda: (mesh.state_dir / "audit/wal").exists() and set(told(mesh)) == EXPECTED, "all have told it", 30, 0.1)
    finally:
        assert set(mesh.stop().values()) == {0}


def test_nobody_tells_anything_where_no_log_is_kept(start, instant):
    mesh = start(workers=worker(instant()), config={"router": {"audit_mode": "off"}})
    assert mesh.chat({"model": "m", "messages": [{"role": "user", "content": "x"}]})[0] == 200
    assert [r["kind"] for r in changes(mesh)] == ["START"]

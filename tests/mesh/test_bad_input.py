"""Hostile and broken input, on every door: a clear error, and everything else runs on."""
import json
import os
import pathlib
import socket
import struct
import subprocess

import pytest

from load import WHOLE, load
from mesh import BUILD, Mesh, wait_for


def one_worker(url):
    return [{"name": "w", "backend": "upstream", "url": url, "models": ["instant"]}]


def works(mesh):
    return mesh.chat({"model": "instant", "messages": [{"role": "user", "content": "hi"}]})[0] == 200


def unix(path):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(20)
    s.connect(str(path))
    return s


def closed(s):
    """Read until the peer closes."""
    try:
        while s.recv(65536):
            pass
    except ConnectionResetError:
        pass
    return True


def frame(kind, body, call=0, length=None):
    return struct.pack("<IIBBH", len(body) if length is None else length, call, kind, 0, 0) + body


# version 1, oldest 1, role "client", name "x", an instance, a window of 256 KiB, frames up to 16 MiB
HELLO = frame(1, b"\x08\x01\x10\x01\x1a\x06client\x22\x01x\x2a\x10" + bytes(range(16)) + b"\x30\x80\x80\x10\x38\x80\x80\x80\x08")


@pytest.mark.short
@pytest.mark.parametrize("socket_name", ["router.ipc", "cache.ipc", "audit.ipc"])
def test_hostile_frames_close_their_link_only(start, instant, socket_name):
    mesh = start(workers=one_worker(instant()))
    for attack in (os.urandom(4096), frame(1, b"", length=1 << 30), frame(1, b"\xff" * 40), frame(2, b"not a hello"),
                   HELLO + frame(2, b"\xff\xff\xff", call=2), HELLO + frame(2, b"", call=3), HELLO + HELLO):
        s = unix(mesh.run_dir / socket_name)
        s.sendall(attack)
        assert closed(s), attack[:20]
        s.close()
    # Half-open: says nothing at all. It must not keep anything from running, and is dropped in the end.
    silent = unix(mesh.run_dir / socket_name)
    assert works(mesh)
    assert closed(silent)
    assert works(mesh)


def test_unknown_frames_and_methods_are_survived(start, instant):
    mesh = start(workers=one_worker(instant()))
    s = unix(mesh.run_dir / "router.ipc")
    s.sendall(HELLO + frame(200, b"from the future", call=9) +
              frame(3, b"late data", call=77) + frame(7, b""))
    wait_for(lambda: b"\x08" in s.recv(65536), "PONG")
    s.sendall(frame(2, b"\x0a\x0bNo/Suchthing"[:13], call=2))
    assert s.recv(65536), "an END with an error"
    s.close()
    assert works(mesh)


@pytest.mark.short
def test_slow_senders_are_cut_off(start, instant):
    mesh = start(workers=one_worker(instant()), config={"gateway": {"header_ms": "300ms", "body_ms": "300ms"}})
    slow_head = socket.create_connection(("127.0.0.1", mesh.port))
    slow_head.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n")
    slow_body = socket.create_connection(("127.0.0.1", mesh.port))
    slow_body.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + mesh.key.encode() +
                      b"\r\nContent-Length: 1000\r\n\r\n{")
    assert works(mesh)
    assert closed(slow_head) and closed(slow_body)


@pytest.mark.parametrize("yaml_text, parts", [
    ("router:\n  queue_max: lots\n", [":2", "router.queue_max", "lots", "1000000"]),
    ("router:\n  queue_maxx: 3\n", [":2", "queue_maxx", "queue_max"]),
    ("router:\n  audit_mode: sometimes\n", [":2", "audit_mode", "sometimes", "fail-closed"]),
    ("router: [1, 2]\n", [":1", "router"]),
    ("log:\n  level: info\n  level: warn\n", [":3", "level"]),
    ("gateway:\n\tlisten: x\n", [":2"]),
    ("workers:\n  - name: a\n    backend: upstream\n", ["url"]),
    ("mesh: {", [":"]),
])
def test_bad_configuration_names_file_line_key_and_what_is_allowed(folder, yaml_text, parts):
    path = pathlib.Path(folder) / "bad.yaml"
    path.write_text(yaml_text)
    done = subprocess.run([BUILD / "bin/infermesh-router", "--check", "--config", path], capture_output=True, text=True, timeout=20)
    assert done.returncode == 2, done
    for part in ["bad.yaml", *parts]:
        assert part in done.stderr, (part, done.stderr)


def test_printed_configuration_can_be_read_back(folder):
    done = subprocess.run([BUILD / "bin/infermesh-router", "--print-config"], capture_output=True, text=True, timeout=20)
    path = pathlib.Path(folder) / "printed.yaml"
    path.write_text(done.stdout)
    assert done.returncode == 0 and "queue_max" in done.stdout
    check = subprocess.run([BUILD / "bin/infermesh-router", "--check", "--config", path], capture_output=True, text=True, timeout=20)
    assert check.returncode == 0, check.stderr


def test_key_files_that_others_can_read_are_refused(folder, instant):
    mesh = Mesh(f"{folder}/m", workers=one_worker(instant()))
    mesh.config_path.write_text(json.dumps(mesh.config))
    assert mesh.command("key", "create", "--name", "x").returncode == 0
    keys = mesh.state_dir / "keys"
    keys.chmod(0o644)
    done = subprocess.run([BUILD / "bin/infermesh-gateway", "--config", mesh.config_path], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "keys" in done.stderr and "chmod" in done.stderr, done.stderr


def test_gateway_without_keys_refuses_other_than_loopback(folder):
    mesh = Mesh(f"{folder}/m", config={"gateway": {"listen": "0.0.0.0:0"}})
    mesh.config_path.write_text(json.dumps(mesh.config))
    done = subprocess.run([BUILD / "bin/infermesh-gateway", "--config", mesh.config_path], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "insecure" in done.stderr and "key create" in done.stderr, done.stderr


def test_file_that_is_no_gguf_is_refused_by_name(folder):
    path = pathlib.Path(folder) / "not-a-model.gguf"
    path.write_bytes(b"this is no model" * 100)
    mesh = Mesh(f"{folder}/m", workers=[{"name": "w", "backend": "local", "model_file": str(path)}])
    mesh.config_path.write_text(json.dumps(mesh.config))
    done = subprocess.run([BUILD / "bin/infermesh-inference", "--config", mesh.config_path, "--name", "w"],
                          capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and "not-a-model.gguf" in done.stderr and "GGUF" in done.stderr, done.stderr


def test_log_on_a_full_disk_refuses_and_heals(folder, instant):
    disk = pathlib.Path(folder) / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=True)
    try:
        mesh = Mesh(f"{folder}/m", workers=one_worker(instant(1)),
                    config={"audit": {"dir": str(disk / "audit"), "segment_bytes": "1MiB"}}).start()
        try:
            assert load(mesh, 100, 4, body=WHOLE)["ok"] == 100
            with open(disk / "ballast", "wb") as f:
                try:
                    while True:
                        f.write(bytes(65536))
                        f.flush()
                except OSError:
                    pass
            # Space was set aside, so it takes a while until the log is full.
            full = load(mesh, 20000, 16, body=WHOLE)
            assert full["status"].get("503", 0) > 0 and full["ok"] + full["http_error"] == 20000, full
            text = mesh.chat({"model": "instant", "messages": [{"role": "user", "content": "hi"}]})[2]
            assert json.loads(text)["error"]["code"] == "audit_unavailable", text
            assert "takes records and cannot publish them" in mesh.processes["audit"].log()
            (disk / "ballast").unlink()
            wait_for(lambda: works(mesh), "requests succeed again")
            wait_for(lambda: mesh.status() and "publishes again" in mesh.processes["audit"].log(), "it says that it publishes")
            router = mesh.settled()
            report = mesh.verify()
            assert report["kinds"]["REQUEST"] == report["kinds"]["RESPONSE"] == router["admitted"]
        finally:
            mesh.stop()
    finally:
        subprocess.run(["umount", "-l", disk], check=True)

"""deploy/nginx: the real nginx in front of a real mesh, with TLS; a stream comes through token by token."""
import http.client
import json
import re
import ssl
import subprocess

import pytest

from mesh import ROOT, Process, free_port, wait_for

NGINX = "/usr/sbin/nginx"


@pytest.fixture
def nginx(tmp_path):
    """nginx(port of the gateway) → the port of nginx."""
    started = []

    def make(gateway):
        port = free_port()
        for name in ("body", "proxy", "fastcgi", "uwsgi", "scgi"):
            (tmp_path / name).mkdir()
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", tmp_path / "tls.key", "-out",
                        tmp_path / "tls.crt"], check=True, capture_output=True)
        conf = (ROOT / "deploy/nginx/infermesh.conf").read_text()
        # The machine's own: ports and the certificate. Every replacement must find what it replaces.
        for old, new in ((r"server 127\.0\.0\.1:8080;", f"server 127.0.0.1:{gateway};"),
                         (r"listen 443 ssl http2;", f"listen 127.0.0.1:{port} ssl http2;"), (r"\n\tlisten \[::\]:443 ssl http2;", ""),
                         (r"/etc/nginx/infermesh\.crt", str(tmp_path / "tls.crt")),
                         (r"/etc/nginx/infermesh\.key", str(tmp_path / "tls.key"))):
            conf, n = re.subn(old, new, conf)
            assert n == 1, old
        temp = "".join(f"{k}_temp_path {tmp_path}/{v};\n" for k, v in {
            "client_body": "body", "proxy": "proxy", "fastcgi": "fastcgi", "uwsgi": "uwsgi", "scgi": "scgi"}.items())
        path = tmp_path / "nginx.conf"
        path.write_text(f"daemon off; worker_processes 1; pid {tmp_path}/pid; error_log stderr;\nevents {{ }}\n"
                        f"http {{ access_log off;\n{temp}{conf}}}\n")
        check = subprocess.run([NGINX, "-t", "-c", path], capture_output=True, text=True)
        assert check.returncode == 0 and "[warn]" not in check.stderr, check.stderr
        server = Process("nginx", [NGINX, "-c", path], tmp_path).start()
        started.append(server)
        wait_for(lambda: ask(tmp_path, port, "GET", "/livez")[0].status == 200, "nginx serves")
        return port

    yield make
    for server in started:
        assert server.stop() == 0, server.log()


def ask(folder, port, method, path, body=None, headers=None):
    """(the reply with its body unread, the connection), or a reply of status 0 while nobody listens."""
    trust = ssl.create_default_context(cafile=str(folder / "tls.crt"))
    conn = http.client.HTTPSConnection("localhost", port, timeout=20, context=trust)
    try:
        conn.request(method, path, body, headers or {})
    except ConnectionRefusedError:
        return type("Reply", (), {"status": 0}), conn
    return conn.getresponse(), conn


def test_a_stream_comes_through_nginx_as_it_is_made(start, instant, nginx, tmp_path):
    mesh = start(workers=[{"name": "w", "backend": "upstream", "url": instant(40, 50), "models": ["instant"]}])
    port = nginx(mesh.port)
    body = json.dumps({"model": "instant", "stream": True, "messages": [{"role": "user", "content": "hello"}]})
    headers = {"Authorization": f"Bearer {mesh.key}", "Content-Type": "application/json"}
    reply, conn = ask(tmp_path, port, "POST", "/v1/chat/completions", body, headers)
    assert reply.status == 200 and reply.getheader("content-type").startswith("text/event-stream")
    assert conn.sock is None or conn.sock.version() == "TLSv1.3"
    first = reply.readline()
    # Forty tokens at 50 ms each are far from over: what was read came while the worker was at it.
    assert mesh.metrics("router")['infermesh_worker_inflight{worker="w"}'] == 1, first
    text = reply.read().decode()
    assert text.rstrip().endswith("data: [DONE]") and text.count(" world") >= 38
    conn.close()


def test_a_caller_that_leaves_nginx_is_a_cancelled_call(start, instant, nginx, tmp_path):
    mesh = start(workers=[{"name": "w", "backend": "upstream", "url": instant(400, 50), "models": ["instant"]}])
    port = nginx(mesh.port)
    body = json.dumps({"model": "instant", "stream": True, "messages": [{"role": "user", "content": "hello"}]})
    reply, conn = ask(tmp_path, port, "POST", "/v1/chat/completions", body,
                      {"Authorization": f"Bearer {mesh.key}", "Content-Type": "application/json"})
    reply.readline()
    reply.close()
    conn.close()
    wait_for(lambda: mesh.metrics("router")['infermesh_worker_inflight{worker="w"}'] == 0, "the slot is free")
    mesh.settled()
    assert mesh.verify()["outcomes"]["CANCELLED"] == 1


def test_metrics_are_not_for_those_outside(start, instant, nginx, tmp_path):
    mesh = start(workers=[{"name": "w", "backend": "upstream", "url": instant(), "models": ["instant"]}])
    port = nginx(mesh.port)
    assert ask(tmp_path, port, "GET", "/metrics")[0].status == 404
    assert ask(tmp_path, port, "GET", "/readyz")[0].status == 200

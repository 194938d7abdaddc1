"""/metrics, /livez and /readyz of every daemon."""
import re
import signal

import pytest

from mesh import UnixConnection, wait_for

SAMPLE = re.compile(r'([a-zA-Z_:][a-zA-Z0-9_:]*)(\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (\S+)')


def page(path, url):
    conn = UnixConnection(path)
    conn.request("GET", url)
    reply = conn.getresponse()
    body = reply.read().decode()
    conn.close()
    return reply.status, reply.getheader("content-type"), body


def check_metrics(text):
    """The text format 0.0.4: every sample belongs to a family with HELP and TYPE; the names of the families."""
    families = set()
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            name = line.split()[2]
            assert name not in families, f"{name} twice"
            families.add(name)
        elif not line.startswith("#"):
            match = SAMPLE.fullmatch(line)
            assert match, line
            float(match.group(3))
            base = re.sub(r"_(bucket|sum|count)$", "", match.group(1))
            assert match.group(1) in families or base in families, line
    return families


def test_every_daemon_has_its_pages(start):
    mesh = start()
    for path in [mesh.admin(n) for n in ("router", "cache", "audit")] + [mesh.run_dir / "demo.http"]:
        assert page(path, "/livez")[0] == 200
        assert page(path, "/readyz")[0] == 200
        status, kind, text = page(path, "/metrics")
        assert status == 200 and kind.startswith("text/plain; version=0.0.4"), kind
        assert {"process_resident_memory_bytes", "infermesh_build_info"} <= check_metrics(text)
        assert page(path, "/nonesuch")[0] == 404
    assert mesh.get("/livez")[0] == mesh.get("/readyz")[0] == 200
    families = check_metrics(mesh.get("/metrics")[1])
    assert {"http_request_duration_seconds", "gen_ai_server_time_to_first_token_seconds", "infermesh_tokens_total"} <= families


@pytest.mark.parametrize("name", ["router", "audit"])
def test_ready_says_what_is_missing(start, name):
    """A gateway without its router, a router without audit: not ready, and the page says why; alive all the same."""
    mesh = start()
    mesh.processes[name].kill(signal.SIGKILL)
    ask = (lambda: mesh.get("/readyz")) if name == "router" else (lambda: page(mesh.admin("router"), "/readyz")[::2])
    wait_for(lambda: ask()[0] == 503, "not ready")
    assert name in ask()[1]
    assert mesh.get("/livez")[0] == 200
    mesh.start_daemon(name)
    wait_for(lambda: ask()[0] == 200, "ready again")

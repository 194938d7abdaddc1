"""A client that leaves frees the slot and the upstream's connection at once, and the record says CANCELLED."""
import json
import signal
import socket
import statistics
import time

import pytest

from mesh import PATIENCE, wait_for


def request(mesh, stream):
    body = json.dumps({"model": "instant", "stream": stream, "messages": [{"role": "user", "content": "a long one"}]})
    s = socket.create_connection(("127.0.0.1", mesh.port))
    s.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {mesh.key}\r\n"
              f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
    return s


@pytest.mark.short
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("single", [True, False])
def test_client_leaves_and_all_is_free(start, instant, stream, single):
    mesh = start(workers=[{"name": "w", "backend": "upstream", "url": instant(10000, 10), "models": ["instant"]}], single=single)
    took_ms = []
    for _ in range(7):
        s = request(mesh, stream)
        wait_for(lambda: gauge(mesh, 'infermesh_worker_inflight{worker="w"}') == 1, "the slot is taken")
        if stream:
            assert b"200 OK" in s.recv(65536)
        begin = time.monotonic()
        s.close()
        wait_for(lambda: gauge(mesh, 'infermesh_worker_inflight{worker="w"}') == 0, "the slot is free", step=0.001)
        took_ms.append((time.monotonic() - begin) * 1000)
    # The poll itself costs some ms; timing is shown, the bound is generous because machines are noisy.
    print(f"slot free after a client left: median {statistics.median(took_ms):.1f} ms")
    assert statistics.median(took_ms) <= 50 * PATIENCE
    mesh.settled()
    report = mesh.verify()
    assert report["outcomes"] == {"CANCELLED": 7}


def gauge(mesh, series):
    return mesh.metrics("router").get(series, 0)


@pytest.mark.parametrize("single", [True, False])
def test_what_a_stop_cuts_off_is_recorded(start, instant, single):
    """Streams that outlast the drain: each has its terminal record, also when the router is the first to be stopped."""
    mesh = start(workers=[{"name": "w", "backend": "upstream", "url": instant(10000, 10), "models": ["instant"]}],
                 config={"mesh": {"drain_ms": "300ms"}}, single=single)
    streams = [request(mesh, True) for _ in range(5)]
    wait_for(lambda: gauge(mesh, 'infermesh_worker_inflight{worker="w"}') == 5, "all are under way")
    mesh.processes["infermesh" if single else "router"].kill(signal.SIGTERM)
    wait_for(lambda: not mesh.processes["infermesh" if single else "router"].alive(), "it has ended")
    for s in streams:
        s.close()
    report = mesh.verify()
    assert report["kinds"]["REQUEST"] == report["kinds"]["RESPONSE"] == 5
    assert report["open"] == 0

"""Identical requests in flight share one generation: counted where it costs, at the upstream."""
import concurrent.futures
import json
import re
import socket
import threading

import pytest

from load import Load
from mesh import wait_for
from upstream import Upstream

SLOW = "tell me [[tokens=20 delay=0.05 first=1.5]]"


@pytest.fixture
def upstream():
    with Upstream() as up:
        yield up


def two_workers(start, upstream, single=False, **config):
    return start(workers=[{"name": name, "backend": "upstream", "url": upstream.url, "models": ["echo"]} for name in "ab"],
                 config=config, single=single)


def body(text, stream=True):
    return {"model": "echo", "stream": stream, "temperature": 0, "messages": [{"role": "user", "content": text}]}


def cache_of(headers):
    return {name.lower(): value for name, value in headers.items()}["x-infermesh-cache"]


def same(text):
    """Without what is each caller's own."""
    return re.sub(r'"created":\d+', "", re.sub(r"chatcmpl-[0-9a-f]{32}", "", text))


class Stream:
    """A streaming caller that reads in a thread of its own and can leave at any time."""

    def __init__(self, mesh, text):
        data = json.dumps(body(text))
        self.sock = socket.create_connection(("127.0.0.1", mesh.port))
        self.sock.sendall(f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
                          f"Authorization: Bearer {mesh.key}\r\nContent-Length: {len(data)}\r\n\r\n{data}".encode())
        self.bytes = b""
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        try:
            while piece := self.sock.recv(65536):
                self.bytes += piece
        except OSError:
            pass  # left

    def leave(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(10)
        self.sock.close()


def inflight(mesh):
    metrics = mesh.metrics("router")
    return sum(metrics[f'infermesh_worker_inflight{{worker="{name}"}}'] for name in "ab")


@pytest.mark.short
@pytest.mark.parametrize("single, cache", [(False, True), (False, False), (True, True)])
def test_hundred_identical_streams_cost_one_generation(start, upstream, single, cache):
    mesh = two_workers(start, upstream, single, cache={} if cache else {"addresses": "off"})
    with concurrent.futures.ThreadPoolExecutor(100) as pool:
        results = list(pool.map(lambda _: mesh.chat(body(SLOW)), range(100)))
    assert [r[0] for r in results] == [200] * 100
    assert upstream.state()["requests"] == 1
    assert results[0][2].rstrip().endswith("data: [DONE]") and "t19 " in results[0][2]
    assert len({same(text) for _, _, text in results}) == 1  # byte for byte, each chunk
    assert len({re.search("chatcmpl-[0-9a-f]{32}", text).group(0) for _, _, text in results}) == 100
    words = sorted(cache_of(headers) for _, headers, _ in results)
    assert words == sorted(["miss" if cache else "bypass"] + ["coalesced"] * 99)
    mesh.settled()
    assert mesh.verify()["outcomes"] == {"OK": 1, "COALESCED": 99}
    assert mesh.metrics("router")["infermesh_coalesced_total"] == 99


def test_whole_answers_join_a_stream(start, upstream):
    mesh = two_workers(start, upstream)
    first = Stream(mesh, SLOW)
    wait_for(lambda: inflight(mesh) == 1, "it has begun")
    status, headers, text = mesh.chat(body(SLOW, stream=False))
    assert status == 200 and cache_of(headers) == "coalesced"
    assert json.loads(text)["choices"][0]["message"]["content"] == "".join(f"t{i} " for i in range(20))
    first.thread.join(20)
    assert b"[DONE]" in first.bytes
    assert upstream.state()["requests"] == 1
    mesh.settled()


def test_leader_leaves_and_the_others_hear_the_rest(start, upstream):
    mesh = two_workers(start, upstream)
    leader = Stream(mesh, SLOW)
    wait_for(lambda: inflight(mesh) == 1, "it has begun")
    followers = [Stream(mesh, SLOW) for _ in range(3)]
    wait_for(lambda: b"t2 " in leader.bytes and all(b"t2 " in f.bytes for f in followers), "all hear it")
    leader.leave()
    followers[0].leave()
    for f in followers[1:]:
        f.thread.join(20)
        assert b"t19 " in f.bytes and b"[DONE]" in f.bytes
    state = upstream.state()
    assert (state["requests"], state["completed"], state["cancelled"]) == (1, 1, 0)
    mesh.settled()
    assert mesh.verify()["outcomes"] == {"CANCELLED": 2, "COALESCED": 2}


def test_all_leave_and_the_upstream_is_told(start, upstream):
    mesh = two_workers(start, upstream)
    text = "tell me [[tokens=1000 delay=0.05]]"
    callers = [Stream(mesh, text) for _ in range(5)]
    wait_for(lambda: all(b"t2 " in c.bytes for c in callers), "all hear it")
    assert upstream.state()["requests"] == 1
    for c in callers:
        assert upstream.state()["active"] == 1
        c.leave()
    wait_for(lambda: upstream.state()["active"] == 0 and inflight(mesh) == 0, "the upstream's connection and the slot are free")
    assert upstream.state()["cancelled"] == 1
    mesh.settled()
    assert mesh.verify()["outcomes"] == {"CANCELLED": 5}


def test_tenants_never_share(start, upstream):
    mesh = two_workers(start, upstream)
    made = mesh.command("key", "create", "--name", "stranger", "--tenant", "other")
    other = re.search(r"im-[A-Za-z0-9_-]{43}", made.stdout).group(0)
    key = {"Authorization": f"Bearer {other}"}
    wait_for(lambda: mesh.get("/v1/models", key)[0] == 200, "the key is known")
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        results = list(pool.map(lambda i: mesh.chat(body(SLOW), headers=key if i % 2 else None), range(20)))
    assert [r[0] for r in results] == [200] * 20
    assert upstream.state()["requests"] == 2
    mesh.settled()
    assert mesh.verify()["outcomes"] == {"OK": 2, "COALESCED": 18}


def test_failure_reaches_everybody_in_the_stream(start, upstream):
    mesh = two_workers(start, upstream)
    callers = [Stream(mesh, "tell me [[tokens=10 delay=0.2 error=3]]") for _ in range(5)]
    for c in callers:
        c.thread.join(20)
        assert b"t2 " in c.bytes and b'"error"' in c.bytes and b"[DONE]" not in c.bytes
    assert upstream.state()["requests"] == 1
    mesh.settled()
    assert mesh.verify()["outcomes"] == {"ERROR": 5}


@pytest.mark.short
def test_storm_of_identical_requests_is_counted_exactly(start, instant):
    """Random cancels and a worker that dies, with everybody sharing."""
    url = instant(20, 5)
    mesh = start(workers=[{"name": n, "backend": "upstream", "url": url, "models": ["instant"]} for n in "ab"],
                 config={"log": {"level": "warn"}, "cache": {"addresses": "off"}})
    same_body = '{"model":"instant","stream":true,"temperature":0,"messages":[{"role":"user","content":"question"}]}'
    running = Load(mesh, 2000, 64, body=same_body, cancel=0.3, cancel_ms=60)
    wait_for(lambda: mesh.metrics("router")["infermesh_coalesced_total"] > 100, "they share")
    mesh.processes["a"].kill()
    mesh.start_worker("a")
    result = running.result()
    assert result["broken"] == 0 and result["cancelled"] > 0, result
    mesh.wait_ready()
    router = mesh.settled()
    report = mesh.verify()
    assert report["kinds"]["REQUEST"] == report["kinds"]["RESPONSE"] == router["admitted"]
    assert report["outcomes"]["COALESCED"] > 100
    assert mesh.metrics("router")["infermesh_router_slots_leaked"] == 0

"""The byte rules of the streaming contract, read from a raw socket; curl; browsers' preflight."""
import json
import re
import socket
import subprocess

import pytest


@pytest.fixture(scope="module")
def mesh(shared, upstream):
    return shared(workers=[{"name": "w", "backend": "upstream", "url": upstream.url,
                            "models": ["echo", "echo-long", "cut", "tools", "hang"]}],
                  config={"gateway": {"keepalive_ms": "100ms"}})


def raw(mesh, body, path="/v1/chat/completions", method="POST", headers="", until=None):
    """All bytes that the gateway sends until it closes, or until 'until' is among them."""
    body = json.dumps(body) if body is not None else ""
    with socket.create_connection(("127.0.0.1", mesh.port), timeout=30) as s:
        s.sendall((f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {mesh.key}\r\n{headers}"
                   f"Content-Length: {len(body.encode())}\r\n" + ("" if until else "Connection: close\r\n") + f"\r\n{body}").encode())
        data = b""
        while piece := s.recv(65536):
            data += piece
            if until and until in data:
                break
        return data


def split(data):
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    return int(lines[0].split()[1]), {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:])}, body


def dechunk(body):
    """The payload and whether the chunked body ended cleanly."""
    out = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        n = int(size, 16)
        if n == 0:
            return out, rest == b"\r\n"
        out, body = out + rest[:n], rest[n + 2:]
    return out, False


def ask(content, model="echo", **kwargs):
    return {"model": model, "stream": True, "messages": [{"role": "user", "content": content}], **kwargs}


def test_stream_is_exactly_data_lines_and_done(mesh):
    status, headers, body = split(raw(mesh, ask("hello big world")))
    assert status == 200
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache" and headers["x-accel-buffering"] == "no"
    assert re.fullmatch(r"[0-9a-f]{32}", headers["x-request-id"]) and "content-encoding" not in headers
    payload, clean = dechunk(body)
    assert clean and b"\r" not in payload
    events = payload.split(b"\n\n")
    assert events[-2:] == [b"data: [DONE]", b""]
    chunks = []
    for event in events[:-2]:
        assert event.startswith(b"data: ") and b"\n" not in event, event
        chunks.append(json.loads(event[6:]))
    assert all("choices" in c and "usage" not in c for c in chunks)
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_usage_comes_once_when_asked_for(mesh):
    payload, _ = dechunk(split(raw(mesh, ask("hi", stream_options={"include_usage": True})))[2])
    chunks = [json.loads(e[6:]) for e in payload.split(b"\n\n")[:-2]]
    assert [c["usage"] for c in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] > 0


def test_cut_upstream_ends_in_an_error_and_never_cleanly(mesh):
    status, _, body = split(raw(mesh, ask("hi", model="cut")))
    payload, clean = dechunk(body)
    assert status == 200 and not clean and b"[DONE]" not in payload
    last = json.loads(payload.strip().split(b"\n\n")[-1][6:])
    assert set(last["error"]) == {"message", "type", "param", "code"} and last["error"]["code"] == "upstream_error"


def test_silent_stream_gets_keep_alive_comments(mesh):
    data = raw(mesh, ask("[[first=0.5]] slow"))
    payload, clean = dechunk(split(data)[2])
    assert clean and payload.count(b": keep-alive\n\n") >= 2
    assert payload.startswith(b": keep-alive\n\n"), "the headers came before the first token"


def test_cached_answer_is_replayed_as_a_stream(mesh):
    first = dechunk(split(raw(mesh, ask("cache me", temperature=0)))[2])[0]
    status, headers, body = split(raw(mesh, ask("cache me", temperature=0)))
    payload, clean = dechunk(body)
    assert headers["x-infermesh-cache"] == "hit-l1" and clean and payload.endswith(b"data: [DONE]\n\n")

    def text(p):
        chunks = [json.loads(e[6:]) for e in p.split(b"\n\n") if e.startswith(b"data: {")]
        return "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    assert text(payload) == text(first) == "cache me"


@pytest.mark.parametrize("method, path, status, code", [
    ("GET", "/v1/nonesuch", 404, None), ("POST", "/v1/responses", 404, None), ("GET", "/v1/chat/completions", 405, None),
    ("GET", "/v1/embeddings", 405, None), ("GET", "/v1/models/none/such", 404, "model_not_found"),
])
def test_errors_have_the_openai_shape(mesh, method, path, status, code):
    got, headers, body = split(raw(mesh, None, path, method))
    assert got == status and headers["content-type"] == "application/json"
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    assert code is None or error["code"] == code
    assert headers["x-should-retry"] == "false" and headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("body", ["", "{", "[]", '{"model":"echo"}', '{"model":1,"messages":[]}', '{"model":"echo","messages":[]}',
                                  '{"model":"echo","messages":[{"role":"user","content":"\\u0000"}]}',
                                  '{"model":"echo","messages":[{"role":"user","content":"\\ud800"}]}', '{"a":1}x', "[" * 10000])
def test_malformed_bodies_are_400(mesh, body):
    status, _, text = mesh.chat(body)
    assert status == 400 and json.loads(text)["error"]["type"] == "invalid_request_error", text


def test_preflight_needs_no_key_and_reflects_headers(mesh):
    with socket.create_connection(("127.0.0.1", mesh.port), timeout=30) as s:
        s.sendall(b"OPTIONS /v1/chat/completions HTTP/1.1\r\nHost: x\r\nOrigin: https://app.example\r\n"
                  b"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization,x-stainless-os\r\n"
                  b"Connection: close\r\n\r\n")
        data = b""
        while piece := s.recv(65536):
            data += piece
    status, headers, body = split(data)
    assert status == 204 and body == b""
    assert headers["access-control-allow-headers"] == "authorization,x-stainless-os"
    assert "POST" in headers["access-control-allow-methods"]


def test_without_the_prefix_and_chunked_as_nextchat_sends_it(mesh):
    body = json.dumps({"model": "echo", "messages": [{"role": "user", "content": "hi"}]}).encode()
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + 7]), body[i:i + 7]) for i in range(0, len(body), 7)) + b"0\r\n\r\n"
    with socket.create_connection(("127.0.0.1", mesh.port), timeout=30) as s:
        s.sendall(b"POST /chat/completions HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + mesh.key.encode() +
                  b"\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunks)
        data = b""
        while piece := s.recv(65536):
            data += piece
    status, _, reply = split(data)
    assert status == 200 and json.loads(reply)["choices"][0]["message"]["content"] == "hi"


def test_curl_streams(mesh):
    done = subprocess.run(["curl", "-sN", f"{mesh.url}/v1/chat/completions", "-H", f"Authorization: Bearer {mesh.key}",
                           "-H", "Content-Type: application/json", "-d", json.dumps(ask("hello curl"))],
                          capture_output=True, text=True, timeout=30)
    assert done.returncode == 0 and done.stdout.endswith("data: [DONE]\n\n")
    # A cut stream is an error for curl too: the transfer did not end.
    done = subprocess.run(["curl", "-sN", f"{mesh.url}/v1/chat/completions", "-H", f"Authorization: Bearer {mesh.key}",
                           "-d", json.dumps(ask("hi", model="cut"))], capture_output=True, text=True, timeout=30)
    assert done.returncode == 18, done

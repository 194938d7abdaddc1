"""Completions without messages through the whole mesh: of the demo model and of an upstream."""
import http.client
import json

import pytest

from mesh import wait_for
from upstream import Upstream


@pytest.fixture
def upstream():
    with Upstream() as up:
        yield up


@pytest.fixture
def mesh(start, upstream):
    return start(workers=[{"name": "up", "backend": "upstream", "models": ["echo", "echo-long", "deepseek-flash", "limit", "nodone"],
                           "url": upstream.url}, {"name": "own", "backend": "local"}])


def complete(mesh, body, path="/v1/completions"):
    status, headers, text = mesh.chat(body, path=path)
    return status, headers, text if body.get("stream") and status == 200 else json.loads(text)


def events(text):
    lines = [line[6:] for line in text.split("\n\n") if line.startswith("data: ")]
    assert lines[-1] == "[DONE]"
    return [json.loads(line) for line in lines[:-1]]


@pytest.mark.short
def test_both_backends_complete_whole_and_streamed(mesh, upstream):
    for model, prompt in (("echo", "once upon a time"), ("demo", "Where is my order")):
        body = {"model": model, "prompt": prompt, "temperature": 0, "max_tokens": 12}
        status, headers, whole = complete(mesh, body)
        assert status == 200 and whole["object"] == "text_completion" and whole["id"].startswith("cmpl-"), whole
        choice = whole["choices"][0]
        assert set(choice) == {"index", "text", "logprobs", "finish_reason"} and choice["text"]
        status, headers, text = complete(mesh, {**body, "stream": True, "stream_options": {"include_usage": True}}, "/completions")
        chunks = events(text)
        assert status == 200 and all(c["object"] == "text_completion" and "delta" not in text for c in chunks)
        assert "".join(c["choices"][0]["text"] for c in chunks if c["choices"]) == choice["text"]
        assert chunks[-2]["choices"][0]["finish_reason"] == choice["finish_reason"]
        assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] == whole["usage"]["total_tokens"]
    sent = upstream.state()["log"][0]
    assert sent["path"] == "/completions" and sent["body"]["prompt"] == "once upon a time" and "messages" not in sent["body"]
    router = mesh.settled()
    report = mesh.verify()
    assert report["kinds"]["REQUEST"] == report["kinds"]["RESPONSE"] == router["admitted"] == 4


def test_the_demo_model_takes_prompts_in_every_form(mesh):
    base = {"model": "demo", "temperature": 0, "max_tokens": 8}
    _, _, one = complete(mesh, {**base, "prompt": "Hello"})
    _, _, two = complete(mesh, {**base, "prompt": ["Hello", "Good"], "n": 2})
    assert [c["index"] for c in two["choices"]] == [0, 1, 2, 3]
    assert two["choices"][0]["text"] == two["choices"][1]["text"] == one["choices"][0]["text"]
    assert two["usage"]["prompt_tokens"] > one["usage"]["prompt_tokens"]
    _, _, echo = complete(mesh, {**base, "prompt": "Hello", "echo": True})
    assert echo["choices"][0]["text"] == "Hello" + one["choices"][0]["text"]
    _, _, only = complete(mesh, {**base, "prompt": "Hello", "echo": True, "max_tokens": 0})
    assert only["choices"][0]["text"] == "Hello" and only["choices"][0]["finish_reason"] == "length"
    _, _, probable = complete(mesh, {**base, "prompt": "Hello", "logprobs": 2})
    logprobs = probable["choices"][0]["logprobs"]
    count = probable["usage"]["completion_tokens"]
    assert {name: len(values) for name, values in logprobs.items()} == dict.fromkeys(
        ("tokens", "token_logprobs", "top_logprobs", "text_offset"), count)
    assert "".join(logprobs["tokens"]) == probable["choices"][0]["text"] == one["choices"][0]["text"]
    for token, value, top, offset in zip(logprobs["tokens"], logprobs["token_logprobs"], logprobs["top_logprobs"],
                                         logprobs["text_offset"]):
        assert len(top) == 2 and abs(top[token] - value) < 1e-9 and one["choices"][0]["text"][offset:].startswith(token)
    _, _, sixteen = complete(mesh, {"model": "demo", "prompt": "Hello", "seed": 3})
    assert sixteen["usage"]["completion_tokens"] <= 16
    for body, param in (({"suffix": "x"}, "suffix"), ({"best_of": 3}, "best_of"), ({"echo": True, "logprobs": 1}, "echo")):
        status, _, answer = complete(mesh, {**base, "prompt": "Hello", **body})
        assert status == 400 and (answer["error"]["code"], answer["error"]["param"]) == ("unsupported_parameter", param)
    status, _, answer = complete(mesh, {**base, "prompt": ["a", "order number " * 3000]})
    assert status == 400 and answer["error"]["code"] == "context_length_exceeded" and answer["error"]["param"] == "prompt[1]"


def test_failures_and_leaving_are_as_with_a_chat(mesh, upstream):
    status, _, answer = complete(mesh, {"model": "limit", "prompt": "a"})
    assert status == 429 and answer["error"]["code"] == "rate_limit_exceeded"
    status, _, answer = complete(mesh, {"model": "nodone", "prompt": "a"})
    assert status == 502 and answer["error"]["code"] == "upstream_error"
    upstream.reset()
    conn = http.client.HTTPConnection("127.0.0.1", mesh.port, timeout=20)
    conn.request("POST", "/v1/completions", json.dumps({"model": "echo-long", "prompt": "a", "stream": True}),
                 {"Authorization": f"Bearer {mesh.key}"})
    reply = conn.getresponse()
    assert reply.readline().startswith(b"data: ")
    reply.close()
    conn.close()
    wait_for(lambda: upstream.state()["cancelled"] == 1 and upstream.state()["active"] == 0, "the upstream sees it go")
    mesh.settled()
    mesh.verify()

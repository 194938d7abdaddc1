"""Cached answers through the mesh: whose they are, what may be kept, how they are told."""
import json
import re

import pytest

from mesh import wait_for
from upstream import Upstream


@pytest.fixture
def upstream():
    with Upstream() as up:
        yield up


@pytest.fixture
def mesh(start, upstream):
    return start(workers=[{"name": "w", "backend": "upstream", "url": upstream.url, "models": ["echo"]}],
                 config={"router": {"cache_rules": {"never": "off", "always": "all"}},
                         "routes": [{"model": name, "arms": {"echo": 1}} for name in ("never", "always")]}, single=True)


def ask(mesh, text, headers=None, **body):
    body = {"model": "echo", "temperature": 0, "messages": [{"role": "user", "content": text}], **body}
    status, got, answer = mesh.chat({k: v for k, v in body.items() if v is not None}, headers=headers)
    assert status == 200, answer
    return {name.lower(): value for name, value in got.items()}, answer


def word(*args, **kwargs):
    return ask(*args, **kwargs)[0]["x-infermesh-cache"]


def test_hit_replays_as_json_and_as_a_stream_with_its_usage(mesh):
    first, whole = ask(mesh, "a question")
    assert first["x-infermesh-cache"] == "miss" and "age" not in first
    hit, again = wait_for(lambda: (r := ask(mesh, "a question"))[0]["x-infermesh-cache"] == "hit-l1" and r, "a hit")
    assert int(hit["age"]) < 60
    whole, again = (json.loads(a) for a in (whole, again))
    assert again["choices"] == whole["choices"] and again["model"] == whole["model"]
    for name in ("prompt_tokens", "completion_tokens", "total_tokens"):
        assert again["usage"][name] == whole["usage"][name]
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] == again["usage"]["prompt_tokens"]
    headers, stream = ask(mesh, "a question", stream=True, stream_options={"include_usage": True})
    assert headers["x-infermesh-cache"] == "hit-l1" and headers["content-type"].startswith("text/event-stream")
    events = [line[6:] for line in stream.split("\n") if line.startswith("data: ")]
    assert events[-1] == "[DONE]"
    chunks = [json.loads(e) for e in events[:-1]]
    said = "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks if c["choices"])
    assert said == whole["choices"][0]["message"]["content"]
    assert [c["choices"][0]["finish_reason"] for c in chunks if c["choices"]][-1] == "stop"
    assert [c["usage"] for c in chunks if c.get("usage")] == [again["usage"]]


def test_two_tenants_never_share_an_entry(mesh):
    made = mesh.command("key", "create", "--name", "stranger", "--tenant", "other")
    mine, other = mesh.key, re.search(r"im-[A-Za-z0-9_-]{43}", made.stdout).group(0)

    def of(key, text="whose is it"):
        mesh.key = key
        return word(mesh, text)

    assert of(mine) == "miss"
    wait_for(lambda: of(mine) == "hit-l1", "a hit")
    wait_for(lambda: mesh.get("/v1/models", {"Authorization": f"Bearer {other}"})[0] == 200, "the key is known")
    assert of(other) == "miss"
    wait_for(lambda: of(other) == "hit-l1", "a hit of its own")
    assert of(mine) == "hit-l1"


def test_what_may_be_kept_follows_request_and_rules(mesh):
    def kept(text, **kwargs):
        first = word(mesh, text, **kwargs)
        if first == "bypass":
            assert word(mesh, text, **kwargs) == "bypass"
            return False
        wait_for(lambda: word(mesh, text, **kwargs) == "hit-l1", "a hit")
        return True

    def control(what):
        return {"Cache-Control": what}

    assert kept("cool", temperature=0.3)
    assert not kept("warm", temperature=0.31)
    assert kept("seeded", temperature=1.5, seed=7)
    assert not kept("of the model's own temperature", temperature=None)
    assert not kept("secret", headers=control("no-store"))
    assert kept("warm, and an old answer will do", temperature=1, headers=control("max-age=60"))
    assert not kept("a route whose answers change", model="never", seed=1)
    assert kept("a route whose answers do not", model="always", temperature=1.9)
    # no-cache asks for a new answer, which is kept for others.
    assert word(mesh, "fresh", headers=control("no-cache")) == "bypass"
    wait_for(lambda: word(mesh, "fresh") == "hit-l1", "what no-cache left")
    assert word(mesh, "fresh", headers=control("max-age=0")) == "bypass"


def test_answers_that_fail_or_break_off_are_not_kept(mesh, upstream):
    for text, status in (("[[status=500]] whole", 500), ("[[tokens=9 error=3]] half", 200), ("[[tokens=9 cut=3]] half", 200)):
        for _ in range(2):
            body = {"model": "echo", "temperature": 0, "stream": status == 200, "messages": [{"role": "user", "content": text}]}
            headers = {name.lower(): value for name, value in mesh.chat(body)[1].items()}
            assert not headers.get("x-infermesh-cache", "").startswith("hit"), text

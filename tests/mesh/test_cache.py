"""Cached answers through the mesh: whose they are, what may be kept, how they are told."""
import http.client
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
                 config={"router": {"cache_rules": {"never": "off", "always": "all"}, "breaker_failures": 0, "breaker_error_percent": 0},
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
    for text in ("[[status=500]] whole", "[[tokens=9 error=3]] half", "[[tokens=9 cut=3]] half"):
        for _ in range(3):
            before = upstream.state()["requests"]
            try:
                mesh.chat({"model": "echo", "temperature": 0, "stream": True, "messages": [{"role": "user", "content": text}]})
            except http.client.IncompleteRead:
                pass  # a stream that fails is broken off
            assert upstream.state()["requests"] > before, text


def cli(mesh, *args, status=0):
    done = mesh.command("cache", *args)
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout) if "--json" in args else done.stdout + done.stderr


def key_of(mesh, headers):
    done = mesh.command("explain", "--json", headers["x-request-id"])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["cache_key"]


def test_operator_looks_at_an_answer_and_purges_it(mesh):
    for text in ("one", "two", "three"):
        headers, _ = ask(mesh, text)
        wait_for(lambda: word(mesh, text) == "hit-l1", "a hit")
    key = key_of(mesh, headers)
    got = cli(mesh, "get", key, "--json")
    assert got["tier"] == "l1" and got["tenant"] == "acme" and got["model"] == "echo"
    assert "three" in got["choices"][0]["content"] and got["choices"][0]["finish_reason"] == "stop"
    assert "three" in cli(mesh, "get", key)
    tier = cli(mesh, "stats", "--json")["tiers"][0]
    assert tier["name"] == "l1" and tier["state"] == "ready" and tier["entries"] == 3 and tier["hits"] >= 3
    assert re.search(r"^l1 +ready ", cli(mesh, "stats"), re.M)

    for args in (["--tenant", "other"], ["--model", "other"], ["--older-than", "1h"], ["--tenant", "acme", "--model", "x"]):
        assert cli(mesh, "purge", *args, "--json")["tiers"] == [{"tier": "l1", "removed": 0, "error": ""}]
    assert cli(mesh, "purge", "--key", key, "--json")["tiers"][0]["removed"] == 1
    assert "no tier has it" in cli(mesh, "get", key, status=1)
    assert word(mesh, "one") == "hit-l1" and word(mesh, "three") == "miss"
    wait_for(lambda: word(mesh, "three") == "hit-l1", "a hit")
    assert "3 removed" in cli(mesh, "purge", "--tenant", "acme", "--model", "echo", "--older-than", "0s")
    assert word(mesh, "one") == "miss"
    assert "say what" in cli(mesh, "purge", status=2) and "say what" in cli(mesh, "purge", "--all", "--model", "x", status=2)
    assert "64 hexadecimal digits" in cli(mesh, "purge", "--key", "abc", status=2)
    assert "64 hexadecimal digits" in cli(mesh, "get", "xyz", status=2)

    def recorded():
        found = mesh.command("audit", "search", "--tenant", "operators", "--json")
        rules = [r.get("routing", {}).get("rule", "") for r in json.loads(found.stdout)["records"]]
        return [rule for rule in rules if rule.startswith("key=")]

    assert len(wait_for(lambda: len(recorded()) == 6 and recorded(), "a record of each purge")) == 6
    assert f"key={key} tenant=* model=* before_us=0" in recorded()


def test_warm_asks_what_callers_will_ask(mesh, folder):
    lines = [json.dumps({"model": "echo", "temperature": t, "messages": [{"role": "user", "content": text}]})
             for text, t in (("warm one", 0), ("warm two", 0), ("hot", 1.5))]
    path = f"{folder}/questions.jsonl"
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(lines) + "\n\n")
    first = cli(mesh, "warm", path, "--tenant", "acme", "--json")
    assert first == {"asked": 3, "answered": 2, "cached_before": 0, "not_cacheable": 1, "failed": 0}
    wait_for(lambda: word(mesh, "warm two") == "hit-l1", "a hit")
    assert word(mesh, "warm one") == "hit-l1"
    assert cli(mesh, "warm", path, "--tenant", "acme", "--json")["cached_before"] == 2
    with open(path, "a", encoding="utf-8") as f:
        f.write("{no json\n" + json.dumps({"model": "nobody", "messages": [{"role": "user", "content": "x"}]}) + "\n")
    said = cli(mesh, "warm", path, "--tenant", "acme", status=1)
    assert f"{path}:5: " in said and f"{path}:6: The model `nobody` does not exist" in said and "2 failed" in said
    assert "cannot be read" in cli(mesh, "warm", "/nowhere", status=1)

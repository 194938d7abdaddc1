"""The demo model answers through all five daemons, token by token, and in a terminal."""
import concurrent.futures
import http.client
import itertools
import json
import os
import pty
import re
import select
import time

import pytest

from mesh import PATIENCE, wait_for

ASK = {"model": "demo", "stream": True, "temperature": 0.7, "seed": 7, "max_tokens": 48,
       "messages": [{"role": "user", "content": "Hello, where is my order A12345?"}]}


def stream(mesh, body):
    """[(seconds since the request, parsed event or '[DONE]')]"""
    conn = http.client.HTTPConnection("127.0.0.1", mesh.port, timeout=60 * PATIENCE)
    begin = time.monotonic()
    conn.request("POST", "/v1/chat/completions", json.dumps(body), {"Authorization": f"Bearer {mesh.key}"})
    reply = conn.getresponse()
    assert reply.status == 200, reply.read()
    events = []
    for line in reply:
        if line.startswith(b"data: "):
            data = line[6:].decode().strip()
            events.append((time.monotonic() - begin, data if data == "[DONE]" else json.loads(data)))
    conn.close()
    return events


@pytest.mark.short
@pytest.mark.parametrize("single", [True, False])
def test_demo_model_streams_token_by_token(start, single):
    mesh = start(single=single)
    events = stream(mesh, ASK)
    assert events[-1][1] == "[DONE]"
    pieces = [(t, e["choices"][0]["delta"].get("content")) for t, e in events[:-1] if e["choices"]]
    pieces = [(t, p) for t, p in pieces if p]
    text = "".join(p for _, p in pieces)
    assert len(pieces) >= 5 and re.search(r"[A-Za-z]{3}", text), text
    # Not all at once: tokens come at different times. The model is fast and a busy client reads some of them together, so it
    # is enough to see it happen. A seed that was asked before is answered from the cache, which is at once.
    seeds = itertools.count(8)
    wait_for(lambda: len({round(t, 4) for t, e in stream(mesh, {**ASK, "seed": next(seeds)}) if e != "[DONE]"}) >= 3,
             "tokens come one by one")
    assert events[-2][1]["choices"][0]["finish_reason"] in ("stop", "length")
    again = "".join(e["choices"][0]["delta"].get("content") or "" for _, e in stream(mesh, ASK)[:-1] if e["choices"])
    assert again == text, "same seed, same answer"
    mesh.settled()
    report = mesh.verify()
    assert report["kinds"]["REQUEST"] == report["kinds"]["RESPONSE"] >= 3
    assert report["kinds"]["MODEL_LOAD"] >= 1


def test_same_seed_says_the_same_alone_among_eight_and_in_any_mesh(start):
    said = []
    for single in (True, False):
        mesh = start(single=single)

        def ask(n):
            body = {**ASK, "stream": False, "messages": [{"role": "user", "content": f"Hello, where is my order A{n}2345?"}]}
            status, headers, text = mesh.chat(body, headers={"Cache-Control": "no-store"})
            assert status == 200 and not headers.get("x-infermesh-cache", "").startswith("hit"), (headers, text)
            return json.loads(text)["choices"][0]["message"]["content"]

        alone = [ask(n) for n in range(8)]
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert list(pool.map(ask, range(8))) == alone
        said.append(alone)
    assert said[0] == said[1] and len(set(said[0])) == 8


def test_demo_model_answers_whole_with_usage(start):
    mesh = start()
    status, _, text = mesh.chat({**ASK, "stream": False})
    reply = json.loads(text)
    assert status == 200 and reply["object"] == "chat.completion"
    assert reply["choices"][0]["message"]["role"] == "assistant" and reply["choices"][0]["message"]["content"]
    usage = reply["usage"]
    assert usage["prompt_tokens"] > 0 and 0 < usage["completion_tokens"] <= 48
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_same_question_at_temperature_0_is_a_cache_hit(start):
    mesh = start()
    body = {**ASK, "temperature": 0}
    first = stream(mesh, body)
    status, headers, text = mesh.chat({**body, "stream": False})
    assert headers["x-infermesh-cache"] == "hit-l1"
    streamed = "".join(e["choices"][0]["delta"].get("content") or "" for _, e in first[:-1] if e["choices"])
    assert json.loads(text)["choices"][0]["message"]["content"] == streamed
    mesh.settled()
    assert mesh.verify()["outcomes"] == {"OK": 1, "CACHE_HIT": 1}


def test_chat_in_a_terminal(start):
    mesh = start()
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(str(mesh.program("infermesh")), ["infermesh", "chat", "--config", str(mesh.config_path)])
    seen = b""

    def read_until(pattern, what):
        nonlocal seen
        deadline = time.monotonic() + 30 * PATIENCE
        while not re.search(pattern, seen, re.S):
            assert time.monotonic() < deadline, f"no {what} in {seen!r}"
            if select.select([fd], [], [], 0.1)[0]:
                seen += os.read(fd, 4096)

    read_until(rb"> ?$|> ", "prompt")
    seen = b""
    os.write(fd, b"Hello, where is my order A12345?\n")
    read_until(rb"A12345\?.*?[A-Za-z]{3,}.*\n.*> ", "answer")
    os.write(fd, b"/quit\n")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    os.close(fd)


def test_chat_through_a_pipe(start):
    mesh = start()
    done = mesh.command("chat", "--temperature", "0", "Hello, where is my order A12345?")
    assert done.returncode == 0 and re.search(r"[A-Za-z]{3}", done.stdout), done
    done = mesh.command("chat", "-m", "nonesuch", "Hello")
    assert done.returncode == 1 and "nonesuch" in done.stderr


def test_demo_model_follows_a_schema_and_tells_its_odds(start):
    mesh = start()
    schema = {"type": "object", "required": ["found"], "properties": {"found": {"type": "boolean"}}, "additionalProperties": False}
    status, _, text = mesh.chat({**ASK, "stream": False, "logprobs": True, "top_logprobs": 2, "response_format": {
        "type": "json_schema", "json_schema": {"name": "order", "strict": True, "schema": schema}}})
    assert status == 200, text
    choice = json.loads(text)["choices"][0]
    assert isinstance(json.loads(choice["message"]["content"])["found"], bool)
    entries = choice["logprobs"]["content"]
    assert bytes(b for e in entries for b in e["bytes"]).decode() == choice["message"]["content"]
    assert all(len(e["top_logprobs"]) == 2 and e["logprob"] <= 0 for e in entries)
    status, _, text = mesh.chat({**ASK, "stream": False, "response_format": {
        "type": "json_schema", "json_schema": {"name": "order", "schema": {"type": "string", "pattern": "x"}}}})
    assert status == 400 and "pattern" in json.loads(text)["error"]["message"]


def test_logit_bias_reaches_the_model_and_is_part_of_the_question(start):
    mesh = start()
    body = {**ASK, "stream": False, "temperature": 0, "max_tokens": 2}

    def answer(bias):
        status, headers, text = mesh.chat({**body, "logit_bias": bias})
        assert status == 200, text
        return json.loads(text)["choices"][0]["message"]["content"], headers.get("x-infermesh-cache")

    plain, one, other = answer({}), answer({"70": 100}), answer({"71": 100})
    assert len({plain[0], one[0], other[0]}) == 3 and one[0] == 2 * one[0][0], "none of them is another one's cached answer"
    assert answer({"70": 100}) == (one[0], "hit-l1")
    for bias, says in (({"70": 101}, "-100 to 100"), ({"4000000": 1}, "tokens 0 to"), ([], "must be an object")):
        status, _, text = mesh.chat({**body, "logit_bias": bias})
        error = json.loads(text)["error"]
        assert status == 400 and error["param"] == "logit_bias" and says in error["message"], text

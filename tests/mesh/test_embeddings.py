"""Embeddings through the whole mesh: of the demo model and of an upstream, recorded, cached, limited and cancelled."""
import base64
import http.client
import json
import struct

import pytest

from mesh import ROOT, wait_for
from upstream import Upstream

BOTH = [{"name": "up", "backend": "upstream", "models": ["echo", "floats", "hang", "limit", "deepseek-flash"]},
        {"name": "own", "backend": "local"}]


@pytest.fixture
def upstream():
    with Upstream() as up:
        yield up


def workers(upstream):
    return [{**w, **({"url": upstream.url} if w["backend"] == "upstream" else {})} for w in BOTH]


def embed(mesh, body, path="/v1/embeddings"):
    status, headers, text = mesh.chat(body, path=path)
    return status, headers, json.loads(text)


def numbers(entry):
    raw = base64.b64decode(entry["embedding"], validate=True)
    return list(struct.unpack(f"<{len(raw) // 4}f", raw))


@pytest.mark.short
@pytest.mark.parametrize("single", [True, False])
def test_vectors_of_both_backends_in_both_forms(start, upstream, single):
    mesh = start(single=single, workers=workers(upstream))
    texts = ["Where is my order?", "Where is my parcel?", "Good morning"]
    status, headers, own = embed(mesh, {"model": "demo", "input": texts})
    assert status == 200 and own["object"] == "list" and own["model"] == "demo", own
    assert [e["index"] for e in own["data"]] == [0, 1, 2] and headers["x-infermesh-cache"] == "miss"
    assert own["usage"]["prompt_tokens"] == own["usage"]["total_tokens"] > 6
    vectors = [e["embedding"] for e in own["data"]]
    assert all(len(v) == 192 and abs(sum(x * x for x in v) - 1) < 1e-4 for v in vectors)

    def like(i, k):
        return sum(a * b for a, b in zip(vectors[i], vectors[k]))

    assert like(0, 1) > like(0, 2), "what means the same is closer"
    # The same once more: from the cache, to the bit, and as base64 too.
    status, headers, again = embed(mesh, {"model": "demo", "input": texts, "encoding_format": "base64"}, "/embeddings")
    assert status == 200 and headers["x-infermesh-cache"] == "hit-l1"
    for entry, vector in zip(again["data"], vectors):
        assert [struct.pack("<f", x) for x in numbers(entry)] == [struct.pack("<f", x) for x in vector]
    for model in ("echo", "floats"):
        status, _, up = embed(mesh, {"model": model, "input": ["a bc", [7, 8, 9]], "dimensions": 5})
        assert status == 200, up
        assert [e["embedding"] for e in up["data"]] == [[4, 2, 0, 1, 1], [3, 3, 1, 1, 1]]
        assert up["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
        sent = upstream.state()["log"][-1]
        assert sent["path"] == "/embeddings" and sent["body"]["encoding_format"] == "base64" and "stream" not in sent["body"]
    router = mesh.settled()
    report = mesh.verify()
    assert report["kinds"]["REQUEST"] == report["kinds"]["RESPONSE"] == router["admitted"] == 4
    assert report["outcomes"]["OK"] == 3 and report["outcomes"]["CACHE_HIT"] == 1


def test_what_is_wrong_is_said_and_the_next_one_goes_on(start, upstream):
    mesh = start(workers=workers(upstream))
    for body, status, code, param in [
            ({"model": "demo"}, 400, "missing_required_parameter", "input"),
            ({"model": "demo", "input": ["a", ""]}, 400, "invalid_value", "input[1]"),
            ({"model": "demo", "input": "a", "encoding_format": "hex"}, 400, "invalid_value", "encoding_format"),
            ({"model": "demo", "input": "a", "dimensions": 64}, 400, "unsupported_parameter", "dimensions"),
            ({"model": "demo", "input": [4000000]}, 400, "invalid_value", "input"),
            ({"model": "demo", "input": ["a", "order number " * 3000]}, 400, "context_length_exceeded", "input[1]"),
            ({"model": "nonesuch", "input": "a"}, 404, "model_not_found", None),
            ({"model": "limit", "input": "a"}, 429, "rate_limit_exceeded", None)]:
        got, _, answer = embed(mesh, body)
        assert (got, answer["error"]["code"]) == (status, code), answer
        assert param is None or answer["error"]["param"] == param, answer
    status, _, answer = embed(mesh, {"model": "demo", "input": "a", "dimensions": 192})
    assert status == 200 and len(answer["data"][0]["embedding"]) == 192
    mesh.settled()
    mesh.verify()


def test_a_client_that_leaves_cancels_the_embedding(start, upstream):
    mesh = start(workers=workers(upstream))
    upstream.reset()
    conn = http.client.HTTPConnection("127.0.0.1", mesh.port, timeout=20)
    conn.request("POST", "/v1/embeddings", json.dumps({"model": "hang", "input": "a"}), {"Authorization": f"Bearer {mesh.key}"})
    wait_for(lambda: upstream.state()["active"] == 1, "the upstream has it")
    conn.close()
    wait_for(lambda: upstream.state()["cancelled"] == 1 and upstream.state()["active"] == 0, "the upstream sees it go")
    mesh.settled()
    assert mesh.verify()["outcomes"]["CANCELLED"] == 1


def test_embeddings_are_limited_by_their_prompt_alone(start, upstream):
    mesh = start(workers=workers(upstream), config={"limits": [{"match": "global", "tokens_per_minute": 60, "tokens_burst": 200}]})
    status, headers, _ = embed(mesh, {"model": "echo", "input": "x" * 100})
    assert status == 200
    # Its upstream said 100 tokens; no answer was reserved beside them.
    status, headers, answer = embed(mesh, {"model": "echo", "input": "y" * 350})
    assert status == 429 and answer["error"]["type"] == "tokens", answer
    status, headers, answer = embed(mesh, {"model": "echo", "input": "z" * 2000})
    assert status == 400 and answer["error"]["code"] == "request_exceeds_limit", answer
    mesh.settled()
    assert mesh.verify()["kinds"]["REQUEST"] == 1


def test_no_other_model_answers_in_place_of_an_embedding(start, upstream):
    mesh = start(workers=workers(upstream),
                 config={"routes": [{"model": "vectors", "arms": {"limit": 1}, "fallback": ["demo"], "fallback_answer": "Sorry."}]})
    status, _, answer = embed(mesh, {"model": "vectors", "input": "a"})
    assert status == 429, answer
    status, headers, _ = mesh.chat({"model": "vectors", "messages": [{"role": "user", "content": "Hello"}]})
    assert status == 200 and headers["x-infermesh-fallback"] == "model:demo"
    mesh.settled()
    mesh.verify()


def test_model_without_a_chat_template_gives_vectors_and_does_not_chat(start, tmp_path):
    key = b"tokenizer.chat_template"
    (tmp_path / "plain.gguf").write_bytes((ROOT / "deploy/models/demo-q8_0.gguf").read_bytes().replace(key, key[:-1] + b"X", 1))
    mesh = start(workers=[{"name": "w", "backend": "local", "model_file": str(tmp_path / "plain.gguf")}])
    status, _, reply = embed(mesh, {"model": "plain", "input": ["Good morning", "Good evening"]})
    assert status == 200 and [len(numbers(e) if isinstance(e["embedding"], str) else e["embedding"]) for e in reply["data"]] == [192] * 2
    status, _, reply = embed(mesh, {"model": "plain", "prompt": "Where is my", "max_tokens": 4, "temperature": 0}, "/v1/completions")
    assert status == 200 and reply["choices"][0]["text"]
    status, _, reply = embed(mesh, {"model": "plain", "messages": [{"role": "user", "content": "hi"}]}, "/v1/chat/completions")
    assert status == 400 and reply["error"]["param"] == "model" and "has no chat template" in reply["error"]["message"], reply

"""The openai SDK (npm, pinned) against the gateway, the mesh and a controllable upstream: real on both ends."""
import os
import pathlib
import re
import subprocess

import pytest

from mesh import wait_for

HERE = pathlib.Path(__file__).parent
CASES = re.findall(r"^  async (\w+)\(", (HERE / "cases.mjs").read_text(), re.M)


@pytest.fixture(scope="module")
def mesh(shared, upstream):
    models = ["echo", "echo-long", "deepseek-flash", "vllm", "llama", "ollama", "tools", "json", "limit", "broken", "locked",
              "overlong", "cut", "reset", "error", "nodone"]
    mesh = shared(workers=[{"name": "w", "backend": "upstream", "url": upstream.url, "models": models}],
                  config={"limits": [{"match": "key:poor", "requests_per_minute": 20, "requests_burst": 2,
                                      "tokens_per_minute": 4000}]})
    made = mesh.command("key", "create", "--name", "poor", "--tenant", "acme")
    mesh.poor_key = re.search(r"im-[A-Za-z0-9_-]{43}", made.stdout).group(0)
    return mesh


def node(mesh, case):
    env = {**os.environ, "OPENAI_BASE_URL": f"{mesh.url}/v1", "OPENAI_API_KEY": mesh.key, "POOR_KEY": mesh.poor_key}
    return subprocess.run(["node", HERE / "cases.mjs", case], capture_output=True, text=True, timeout=120, env=env)


@pytest.mark.parametrize("case", CASES)
def test_openai(mesh, case):
    done = node(mesh, case)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", ["abort", "abort_whole"])
def test_openai_abort_closes_the_upstream_connection(mesh, upstream, case):
    before = upstream.state()["cancelled"]
    assert node(mesh, case).returncode == 0
    wait_for(lambda: upstream.state()["cancelled"] == before + 1 and upstream.state()["active"] == 0, "the upstream sees it")


def test_every_case_left_an_exact_log(mesh):
    router = mesh.settled()
    report = mesh.verify()
    assert report["kinds"]["REQUEST"] == report["kinds"]["RESPONSE"] == router["admitted"] > 20
    assert report["outcomes"]["CANCELLED"] >= 4


def test_what_the_upstream_is_sent(mesh, upstream):
    body = {"model": "echo", "messages": [{"role": "user", "content": "look"}], "top_k": 5, "vendor": {"id": 9007199254740993},
            "tools": [{"type": "function", "function": {"name": "f"}}], "user": "someone"}
    parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    status, _, _ = mesh.chat(body, headers={"traceparent": parent})
    assert status == 200
    entry = upstream.state()["log"][-1]
    assert entry["body"]["vendor"] == {"id": 9007199254740993}, "unknown members keep their digits"
    assert entry["body"]["tools"] == body["tools"] and entry["body"]["top_k"] == 5
    assert entry["body"]["stream"] is False and "stream_options" not in entry["body"], "a whole answer is asked for as one"
    assert entry["headers"]["traceparent"].split("-")[1] == parent.split("-")[1]
    assert mesh.key not in str(entry), "the caller's key never travels on"

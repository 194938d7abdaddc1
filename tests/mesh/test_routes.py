"""Routes, fallbacks, ramps and operators' commands over real processes: shares, stickiness, changes under load, restarts."""
import json

import pytest

from load import Load
from mesh import PATIENCE, wait_for
from upstream import Upstream

WHOLE = '{"model":"chat","messages":[{"role":"user","content":"question %d"}]}'


def worker(name, url, alias, model="instant", **more):
    return {"name": name, "backend": "upstream", "url": url, "models": [model], "aliases": {alias: model}, **more}


def two_arms(url):
    return [worker("a", url, "v1"), worker("b", url, "v2")]


# A busy disk is not what is tested here.
PATIENT = {"audit_ms": "9s"}


def route(**more):
    return {"routes": [{"model": "chat", "arms": {"v1": 90, "v2": 10}, **more}], "router": PATIENT}


def ask(mesh, text="hi", model="chat", stream=False, **headers):
    body = {"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}
    return mesh.chat(body, headers={k.replace("_", "-"): v for k, v in headers.items()})


def arm_of(mesh, session):
    status, _, text = ask(mesh, model="chat", x_infermesh_session=session)
    assert status == 200, text
    return json.loads(text)["model"]


def routes(mesh):
    done = mesh.command("route", "list", "--json")
    assert done.returncode == 0, done.stderr
    return {r["model"]: r for r in json.loads(done.stdout)["routes"]}


def explain(mesh, headers):
    done = mesh.command("explain", "--json", headers["x-request-id"])
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def run(mesh, *words):
    done = mesh.command(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def echo():
    """echo() → an upstream that can be told to misbehave."""
    running = []

    def make():
        running.append(Upstream().start())
        return running[-1]

    yield make
    for up in running:
        up.stop()


@pytest.fixture
def routed(start, instant):
    """A mesh with the route chat → v1 90, v2 10."""
    return start(workers=two_arms(instant(1)), config=route())


def test_route_splits_by_weight_and_each_session_keeps_its_arm(routed):
    arms = {f"s{i}": arm_of(routed, f"s{i}") for i in range(300)}
    to_v2 = sum(arm == "v2" for arm in arms.values())
    # The hash is fixed, so this is the same at each run: 10 % of 300, whose standard deviation is 5.2.
    assert 30 - 3 * 5.2 <= to_v2 <= 30 + 3 * 5.2, to_v2
    assert all(arm_of(routed, s) == arm for s, arm in list(arms.items())[:60])
    counts = {a["model"]: a["requests"] for a in routes(routed)["chat"]["arms"]}
    assert counts["v1"] + counts["v2"] == 360
    series = routed.metrics("router")
    assert series['infermesh_router_route_requests_total{route="chat",arm="v2"}'] == counts["v2"]
    # More for v2: nobody leaves v2 for v1.
    run(routed, "route", "set", "chat", "v1=50", "v2=50")
    moved = {s: arm_of(routed, s) for s in list(arms)[:100]}
    assert all(moved[s] == "v2" for s in moved if arms[s] == "v2")
    assert 30 <= sum(arm == "v2" for arm in moved.values()) <= 70


def test_route_is_a_model_of_the_list(routed):
    models = [m["id"] for m in json.loads(routed.get("/v1/models")[1])["data"]]
    assert "chat" in models and "v1" in models and models.count("chat") == 1


def test_route_set_under_load_fails_nobody(routed):
    running = Load(routed, 3000, 16, body=WHOLE)
    for i in range(8):
        run(routed, "route", "set", "chat", f"v1={10 + i}", f"v2={90 - i}")
    result = running.result()
    assert result["ok"] == 3000, result
    report = routed.verify()
    assert report["kinds"]["ROUTE_CHANGE"] == 8


def test_route_of_an_operator_survives_a_restart_until_it_is_reset(routed):
    run(routed, "route", "set", "chat", "v1=0", "v2=1", "--sticky", "caller")
    run(routed, "route", "set", "own", "v1=1")
    routed.processes["router"].stop()
    routed.start_daemon("router")
    routed.wait_ready()
    assert arm_of(routed, "any") == "v2"
    now = routes(routed)
    assert now["chat"]["by_operator"] and now["chat"]["sticky"] == "caller" and "own" in now
    assert now["chat"]["actor"].startswith("uid:")
    run(routed, "route", "reset", "chat")
    run(routed, "route", "reset", "own")
    now = routes(routed)
    assert list(now) == ["chat"] and not now["chat"]["by_operator"]
    assert [a["weight"] for a in now["chat"]["arms"]] == [90, 10]


def test_route_file_that_was_changed_stops_the_start_and_says_what_to_do(routed):
    run(routed, "route", "set", "chat", "v1=1")
    routed.processes["router"].stop()
    kept = routed.state_dir / "routes"
    kept.write_bytes(kept.read_bytes()[:-1] + b"x")
    done = routed.processes["router"]
    routed.start_daemon("router")
    wait_for(lambda: not routed.processes["router"].alive(), "the router refuses to start")
    assert "remove it to start without what operators changed" in routed.processes["router"].log()
    assert done is not routed.processes["router"]
    kept.unlink()
    routed.start_daemon("router")
    routed.wait_ready()


def test_route_ramp_walks_to_all_of_it(routed):
    run(routed, "route", "set", "chat", "--sticky", "off")  # all the load is one caller's
    running = Load(routed, 200000, 8, body=WHOLE)
    out = run(routed, "route", "ramp", "chat", "v2", "--step", "30", "--every", "300ms", "--min-requests", "20",
              "--max-error-rate", "1%", "--max-p99", "10s", "--watch")
    running.proc.kill()
    running.proc.communicate()
    assert "ramp to v2: done" in out, out
    now = routes(routed)["chat"]
    assert {a["model"]: a["weight"] for a in now["arms"]} == {"v1": 0, "v2": 10000}
    assert now["ramp"]["state"] == "done"
    routed.settled()
    assert routed.verify()["kinds"]["ROUTE_CHANGE"] == 5  # set; at 40 %, 70 %, 100 %; done
    assert "ramp" in routed.processes["router"].log()


@pytest.mark.parametrize("bad, options, why", [
    ({"status": "500"}, ["--max-error-rate", "5%"], "failed"),
    ({"first": "0.3"}, ["--max-p99", "100ms"], "p99"),
])
def test_route_ramp_rolls_back_by_itself(start, instant, echo, bad, options, why):
    good, sick = instant(1), echo()
    mesh = start(workers=[worker("a", good, "v1"), worker("b", sick.url, "v2", model="echo")],
                 config={**route(sticky="off"), "router": {**PATIENT, "retries": 0}})
    sick.always(**bad)
    running = Load(mesh, 200000, 8, body=WHOLE)
    done = mesh.command("route", "ramp", "chat", "v2", "--step", "20", "--every", "60s", "--min-requests", "10", *options,
                        "--watch")
    running.proc.kill()
    running.proc.communicate()
    assert done.returncode == 1 and "rolled back" in done.stdout and why in done.stdout, done
    assert [a["weight"] for a in routes(mesh)["chat"]["arms"]] == [90, 10]
    mesh.settled()


def test_route_ramp_goes_on_after_a_restart_and_can_be_aborted(routed):
    run(routed, "route", "ramp", "chat", "v2", "--step", "10", "--every", "1h")
    refused = routed.command("route", "ramp", "chat", "v2")
    assert refused.returncode == 1 and "route ramp chat --abort" in refused.stderr
    routed.processes["router"].stop()
    routed.start_daemon("router")
    routed.wait_ready()
    now = routes(routed)["chat"]
    assert now["ramp"]["state"] == "running" and now["ramp"]["percent"] == 20
    run(routed, "route", "ramp", "chat", "--abort")
    assert [a["weight"] for a in routes(routed)["chat"]["arms"]] == [90, 10]


@pytest.mark.parametrize("stream", [False, True])
def test_fallback_to_a_model_when_the_arm_fails_or_is_gone(start, instant, echo, stream):
    sick = echo()
    mesh = start(workers=[worker("a", sick.url, "v1", model="echo"), worker("b", instant(2), "small")],
                 config={"routes": [{"model": "chat", "arms": {"v1": 1}, "fallback": ["none", "small"]}],
                         "router": {**PATIENT, "retries": 0}})
    status, headers, text = ask(mesh, stream=stream)
    assert status == 200 and "x-infermesh-fallback" not in headers, text
    sick.always(status="500")
    status, headers, text = ask(mesh, stream=stream)
    assert status == 200 and headers["x-infermesh-fallback"] == "model:small", text
    why = explain(mesh, headers)
    assert why["route"] == "chat" and why["arm"] == "v1" and why["model"] == "small"
    assert why["fallback"] == "model:small" and why["failed"][0]["worker"] == "a" and why["worker"] == "b"
    said = run(mesh, "explain", headers["x-request-id"])
    assert "small instead of v1" in said
    mesh.processes["a"].kill()
    wait_for(lambda: {w["name"]: w["state"] for w in mesh.status()["workers"]}["a"] == "gone", "a is gone")
    status, headers, text = ask(mesh, stream=stream)
    assert status == 200 and headers["x-infermesh-fallback"] == "model:small", text
    assert routes(mesh)["chat"]["arms"][0]["failed"] == 2
    mesh.settled()


def test_fallback_answer_at_last_in_both_forms(start, instant):
    mesh = start(workers=[worker("a", instant(2), "v1")],
                 config={"routes": [{"model": "chat", "arms": {"v9": 1}, "fallback": ["v8"], "fallback_answer": "Später."}],
                         "router": PATIENT})
    status, headers, text = ask(mesh)
    reply = json.loads(text)
    assert status == 200 and headers["x-infermesh-fallback"] == "static"
    assert reply["choices"] == [{"index": 0, "message": {"role": "assistant", "content": "Später.", "refusal": None},
                                 "logprobs": None, "finish_reason": "stop"}]
    assert reply["object"] == "chat.completion" and reply["usage"]["total_tokens"] == 0
    status, headers, text = ask(mesh, stream=True)
    assert status == 200 and headers["x-infermesh-fallback"] == "static" and text.endswith("data: [DONE]\n\n")
    chunks = [json.loads(line[6:]) for line in text.splitlines() if line.startswith("data: {")]
    assert "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks) == "Später."
    assert chunks[-1]["choices"][0]["finish_reason"] == "stop"
    why = explain(mesh, headers)
    assert why["fallback"] == "static" and why["outcome"] == "OK" and why["worker"] == ""
    assert "fallback_answer" in run(mesh, "explain", headers["x-request-id"])
    mesh.settled()


def test_fallback_of_requests_that_would_share_a_generation(start, instant, echo):
    sick = echo()
    mesh = start(workers=[worker("a", sick.url, "v1", model="echo"), worker("b", instant(2), "small")],
                 config={"routes": [{"model": "chat", "arms": {"v1": 1}, "fallback": ["small"]}],
                         "router": {**PATIENT, "retries": 0}})
    sick.always(status="500", first="0.2")
    same = '{"model":"chat","temperature":0,"messages":[{"role":"user","content":"the same"}]}'
    result = Load(mesh, 8, 8, body=same).result()
    assert result["ok"] == 8, result
    mesh.settled()


def test_route_whose_model_nobody_serves_says_so(routed):
    assert "note:" not in run(routed, "route", "list")
    said = run(routed, "route", "set", "typo", "v1=1", "v22=1", "unused=0", "--fallback", "nope")
    assert "note: typo: no worker serves v22, nope now" in said
    assert said.splitlines()[-1] == run(routed, "route", "list").splitlines()[-1]
    run(routed, "route", "reset", "typo")


def test_worker_drain_finishes_what_runs_and_undrain_brings_it_back(start, instant):
    mesh = start(workers=two_arms(instant(20, 20)), config=route())
    body = '{"model":"instant","stream":true,"messages":[{"role":"user","content":"question %d"}]}'
    running = Load(mesh, 300, 30, body=body)
    slots = lambda: {w["name"]: w for w in mesh.status()["workers"]}["a"]  # noqa: E731
    wait_for(lambda: slots()["slots"] > 3, "a has work")
    run(mesh, "worker", "drain", "a")
    taken = wait_for(lambda: slots()["slots"] == 0 and slots(), "what a had has ended")
    assert taken["drained_by_operator"] and taken["state"] == "draining"
    result = running.result()
    assert result["ok"] == 300, result
    assert slots()["dispatched"] == taken["dispatched"]
    run(mesh, "worker", "undrain", "a")
    assert slots()["state"] in ("ready", "joining")
    out = run(mesh, "worker", "weight", "a", "7")
    assert "7*" in out and slots()["weight"] == 7 and slots()["weight_by_operator"]
    run(mesh, "worker", "weight", "a", "reset")
    assert slots()["weight"] == 100
    assert mesh.verify()["kinds"]["ROUTE_CHANGE"] == 4
    unknown = mesh.command("worker", "drain", "aa")
    assert unknown.returncode == 1 and "did you mean a?" in unknown.stderr


def test_status_shows_rates_latency_and_breakers(routed):
    for i in range(20):
        assert ask(routed, f"question {i}")[0] == 200
    status = routed.status()
    a = {w["name"]: w for w in status["workers"]}["a"]
    assert a["recent_requests"] > 0 and 0 < a["p50_us"] <= a["p99_us"] < 20e6 * PATIENCE
    assert {b["model"] for b in a["breakers"]} == {"instant", "v1"} and a["breakers"][0]["state"] == "closed"
    assert status["router"]["slots_leaked"] == 0
    assert sum(d["count"] for d in status["decisions"]) >= 20
    table = run(routed, "status")
    assert "P99" in table and "picks" in table
    assert run(routed, "worker", "list").startswith("WORKER")


def test_explain_says_why(start, instant, echo):
    sick = echo()
    mesh = start(workers=[worker("a", sick.url, "m", model="echo"), worker("b", instant(2), "m")],
                 config={"router": {**PATIENT, "retries": 3, "policy": "round_robin"}})
    sick.always(status="500")
    retried = None
    for i in range(4):
        status, headers, text = ask(mesh, f"question {i}", model="m")
        assert status == 200, text
        why = explain(mesh, headers)
        assert why["worker"] == "b" and why["policy"] == "round_robin" and why["seen"][0]["worker"] == "b"
        assert why["seen"][0]["state"] in ("ready", "joining") and why["seen"][0]["breaker"] == "closed"
        retried = headers if why["failed"] else retried
    assert explain(mesh, retried)["failed"] == [{"worker": "a", "reason": "upstream_error"}]
    said = run(mesh, "explain", f"chatcmpl-{retried['x-request-id']}")
    assert "chosen by round_robin" in said and "a: upstream_error" in said and "attempt 2" in said
    assert "answered by b" in said
    body = {"model": "m", "temperature": 0, "messages": [{"role": "user", "content": "cached"}]}
    assert mesh.chat(body)[0] == 200
    hit = wait_for(lambda: (r := mesh.chat(body))[1]["x-infermesh-cache"] == "hit-l1" and r[1], "a cache hit")
    assert "the cache: no worker was asked" in run(mesh, "explain", hit["x-request-id"])
    mesh.settled()
    mesh.processes["router"].stop()
    mesh.processes["audit"].stop()
    assert "chosen by round_robin" in run(mesh, "explain", retried["x-request-id"])  # the mesh is down
    nothing = mesh.command("explain", "0" * 32)
    assert nothing.returncode == 1 and "x-request-id" in nothing.stderr and "--log DIR" in nothing.stderr
    wrong = mesh.command("explain", "abc")
    assert wrong.returncode == 2 and "32 hexadecimal digits" in wrong.stderr


def test_operators_methods_are_refused_to_others_and_errors_name_the_fix(routed):
    missing = routed.command("route", "set", "chta")
    assert missing.returncode == 2 and "v1=90 v2=10" in missing.stderr
    near = routed.command("route", "reset", "chta")
    assert near.returncode == 1 and "did you mean chat?" in near.stderr
    for words, hint in ((("route", "set", "chat", "v1=ten"), "MODEL=WEIGHT"),
                        (("route", "set", "chat", "v1=1", "--sticky", "maybe"), "session, caller or off"),
                        (("route", "ramp", "chat", "v2", "--every", "soon"), "--every"),
                        (("route", "ramp", "chat", "v2", "--max-error-rate", "200%"), "--max-error-rate"),
                        (("worker", "weight", "a", "0"), "1 to 10000")):
        done = routed.command(*words)
        assert done.returncode == 2 and hint in done.stderr, done
    assert routed.command("route", "set", "chat", "v1=0").returncode == 1

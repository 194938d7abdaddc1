"""deploy/compose really run: the README's promises on real containers. Run by deploy/compose/test.sh."""
import concurrent.futures
import hashlib
import io
import json
import os
import re
import subprocess
import tarfile
import threading
import time

from stack import DAEMONS, PROJECT, ROOT, run, wait_for


def ask_all(stack, model, count, what="question", **more):
    """'count' at once; a list of futures of Stack.ask(). The slow model says as many tokens as 'what' asks for."""
    pool = concurrent.futures.ThreadPoolExecutor(count)
    futures = [pool.submit(stack.ask, model, f"{what} {i} {time.time()}", **more) for i in range(count)]
    pool.shutdown(wait=False)
    return futures


def results(futures):
    return [f.result(timeout=90) for f in futures]


def workers(stack, model):
    return {w["name"]: w for w in stack.status()["workers"] if w["state"] != "gone" and w["name"].startswith(f"{model}-")}


def settled(stack):
    """Every admitted request has its record, as the router counts."""
    def quiet():
        r = stack.status()["router"]
        return (r["calls"], r["records_pending"]) == (0, 0) and r["admitted"] == r["ended"]
    wait_for(quiet, "all requests have ended", 30, 0.2)


def verified(stack):
    """The log on its volume is as it was written, and balances with what the routers admitted."""
    for command in ("verify", "reconcile"):
        done = stack.cli(command, service="log", check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def answers_again(stack, seconds=30):
    wait_for(lambda: stack.get("/readyz")[0] == 200, "the gateway is ready", seconds, 0.05)
    wait_for(lambda: stack.ask("demo", f"again {time.time()}")[0] == 200, "an answer", seconds, 0.05)


def test_containers_are_as_confined_as_the_file_says(stack):
    for c in stack.inspect(*stack.all()):
        service, host = c["Config"]["Labels"]["com.docker.compose.service"], c["HostConfig"]
        if service in ("upstream", "slow"):
            continue
        assert c["Config"]["User"] not in ("", "root", "0"), service
        assert host["ReadonlyRootfs"] and host["CapDrop"] == ["ALL"], service
        assert host["SecurityOpt"] == ["no-new-privileges:true"], service
        assert host["Memory"] > 0 and host["NanoCpus"] > 0 and host["PidsLimit"] > 0, service
        assert host["RestartPolicy"]["Name"] == "unless-stopped", service
        assert not [e for e in c["Config"]["Env"] if re.search(r"KEY|SECRET|TOKEN|PASSWORD", e)], service
        published = [p for ports in c["NetworkSettings"]["Ports"].values() for p in ports or []]
        assert published == ([{"HostIp": "127.0.0.1", "HostPort": str(stack.port)}] if service == "gateway" else []), service
    networks = json.loads(run("docker", "network", "inspect", f"{PROJECT}_mesh").stdout)
    assert networks[0]["Internal"] is True


def test_five_daemons_need_less_than_60_mib_without_the_model(stack):
    """VmRSS of each, idle; of the inference daemon that of the one without a model in its process."""
    total = {}
    for service in ("gateway", "router", "slow", "cache", "audit"):
        status = run("docker", "exec", stack.containers(service)[0], "cat", "/proc/1/status").stdout
        total[service] = int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) / 1024
    demo = run("docker", "exec", stack.containers("inference")[0], "cat", "/proc/1/status").stdout
    stack.say("RSS in MiB:", {k: round(v, 1) for k, v in total.items()}, "together", round(sum(total.values()), 1),
          "; inference with the demo model", round(int(re.search(r"VmRSS:\s+(\d+)", demo).group(1)) / 1024, 1))
    assert sum(total.values()) < 60, total


def test_an_openai_sdk_streams_an_answer(stack):
    env = {**os.environ, "OPENAI_BASE_URL": f"http://127.0.0.1:{stack.port}/v1", "OPENAI_API_KEY": stack.key}
    done = subprocess.run(["node", ROOT / "tests/compose/sdk.mjs"], capture_output=True, text=True, timeout=60, env=env)
    assert done.returncode == 0 and done.stdout, done.stdout + done.stderr


def test_without_the_key_nothing_is_answered(stack):
    key, stack.key = stack.key, "im-" + "A" * 43
    try:
        assert stack.ask("demo", "hello")[0] == 401
    finally:
        stack.key = key


def test_prometheus_reaches_every_daemon(stack):
    def all_up():
        up = stack.query("up")
        jobs = sorted(re.search(r'job="(\w+)"', labels).group(1) for labels, _ in up)
        return jobs == sorted([*DAEMONS, "inference"]) and all(value == 1 for _, value in up)
    wait_for(all_up, "every target is up", 40, 0.3)
    rules = run("docker", "run", "--rm", "--network=none", "-v", f"{ROOT}/deploy/prometheus:/rules:ro", "infermesh-prometheus:test",
                "promtool", "test", "rules", "/rules/rules_test.yml")
    assert "SUCCESS" in rules.stdout + rules.stderr
    check = run("docker", "exec", stack.containers("prometheus")[0], "promtool", "check", "config", "/etc/prometheus/prometheus.yml")
    assert "FAILED" not in check.stdout + check.stderr


def test_a_key_in_env_adds_the_worker_of_deepseek(stack):
    assert workers(stack, "deepseek") == {} and stack.ask("deepseek-flash", "hello")[0] == 404
    stack.path("key").write_text("sk-of-the-test\n")
    stack.path("key").chmod(0o640)
    run("docker", "run", "--rm", "--network=none", "--user=0", "-v", f"{stack.path('key')}:/key", "infermesh:test", "chgrp", "10001", "/key")
    env = (ROOT / "deploy/compose/.env.example").read_text()
    for line, instead in (("COMPOSE_PROFILES=deepseek",) * 2,
                          ("DEEPSEEK_API_KEY_FILE=./secrets/deepseek.key", f"DEEPSEEK_API_KEY_FILE={stack.path('key')}")):
        assert f"\n#{line}\n" in env
        env = env.replace(f"\n#{line}\n", f"\n{instead}\n")
    stack.path("env").write_text(env)
    try:
        stack.compose("--env-file", stack.path("env"), "up", "-d", "--no-recreate", timeout=180)
        wait_for(lambda: len(workers(stack, "deepseek")) == 1, "it has joined", 40, 0.2)
        # By the name that ended in 2026, too.
        for model in ("deepseek-flash", "deepseek-chat"):
            assert stack.ask(model, f"hello {time.time()}")[0:2] == (200, "Hello world world world"), model
        assert "sk-of-the-test" not in json.dumps(stack.inspect(*stack.containers("deepseek")))
    finally:
        stack.compose("--env-file", stack.path("env"), "rm", "-s", "-f", "deepseek", "deepseek-api")


def test_four_workers_share_forty_requests_evenly(stack):
    stack.compose("up", "-d", "--no-recreate", "--scale", "inference=4", "--scale", "slow=4", timeout=180)
    stack.wait_healthy()
    wait_for(lambda: len(workers(stack, "slow")) == len(workers(stack, "demo")) == 4, "the router knows all", 30, 0.2)
    # Slow start is over: each gets its whole share.
    wait_for(lambda: all(w["state"] == "ready" for w in workers(stack, "slow").values()), "all are ready", 30, 0.2)
    demo = ask_all(stack, "demo", 40, max_tokens=60)
    assert [r for r in results(demo) if r[0] != 200] == []
    shares = [w["dispatched"] for w in workers(stack, "demo").values()]
    stack.say("shares of the demo workers:", shares)
    assert all(share > 0 for share in shares), shares
    # Each takes three seconds, so all forty are in flight together.
    before = {name: w["dispatched"] for name, w in workers(stack, "slow").items()}
    assert [r for r in results(ask_all(stack, "slow", 40, stream=True)) if r[0] != 200 or r[2]] == []
    shares = [w["dispatched"] - before[name] for name, w in workers(stack, "slow").items()]
    stack.say("shares of the slow workers:", shares)
    assert shares == [10, 10, 10, 10]


def test_a_killed_worker_fails_its_own_streams_only(stack):
    streams = ask_all(stack, "slow", 8, "tokens-600", stream=True)  # twelve seconds: time to look, and to kill
    others = ask_all(stack, "demo", 8)
    wait_for(lambda: sum(w["slots"] for w in workers(stack, "slow").values()) == 8, "all are in flight", 10, 0.05)
    victim = stack.containers("slow")[0]
    name = f"slow-{victim[:12]}"
    had = wait_for(lambda: workers(stack, "slow").get(name, {}).get("slots"), "it has streams", 10, 0.05)
    run("docker", "kill", "-s", "KILL", victim)
    ended = results(streams)
    broken = [r for r in ended if r[2]]
    stack.say(f"{len(broken)} streams of {had} were cut off: {broken[0][2]}")
    assert 1 <= len(broken) <= had and all(r[0] == 200 for r in ended), ended
    assert len([r for r in ended if not r[2]]) == 8 - len(broken)
    assert [r for r in results(others) if r[0] != 200] == []
    assert [r for r in results(ask_all(stack, "slow", 6, stream=True)) if r[0] != 200 or r[2]] == []


def test_a_rule_fires_for_the_worker_that_was_lost(stack):
    name = f"slow-{stack.containers('slow')[0][:12]}"
    alert = wait_for(lambda: stack.query(f'ALERTS{{alertname="InfermeshWorkerLost",alertstate="firing",worker="{name}"}}'),
                     "the alert fires", 30, 0.3)
    assert alert[0][1] == 1
    run("docker", "start", stack.containers("slow")[0])
    wait_for(lambda: name in workers(stack, "slow"), "it is back", 20, 0.2)


def test_rules_ask_for_series_that_there_are(stack):
    """But for those of witnesses, which this stack has not, and of GPUs."""
    text = re.sub(r"^ *#.*|summary:.*|do:.*", "", (ROOT / "deploy/prometheus/rules.yml").read_text(), flags=re.M)
    asked = set(re.findall(r"\b(?:infermesh|http|gen_ai)_[a-z_]+", text)) - {"gen_ai_request_model", "infermesh_audit_witness_alarm"}
    found = stack.query('count by (__name__) ({__name__=~"infermesh_.+|http_.+|gen_ai_.+"})')
    names = {re.search(r'__name__="(\w+)"|^(\w+)', labels).group(1) or labels.split("{")[0] for labels, _ in found}
    assert len(asked) >= 10 and asked <= names, asked - names


def test_redis_may_die(stack):
    redis = stack.containers("redis")[0]
    up = "infermesh_ratelimit_redis_up"
    wait_for(lambda: stack.page("router")[up] == 1, "the router has its Redis", 20, 0.2)
    run("docker", "kill", "-s", "KILL", redis)
    wait_for(lambda: stack.page("router")[up] == 0, "the router has noticed", 20, 0.2)
    assert [r for r in results(ask_all(stack, "demo", 4)) if r[0] != 200] == []
    run("docker", "start", redis)
    wait_for(lambda: stack.page("router")[up] == 1, "the router has found it again", 30, 0.2)


def test_without_its_log_the_mesh_answers_nothing_and_no_record_is_lost(stack):
    audit = stack.containers("audit")[0]
    stop, seen = threading.Event(), []

    def keep_asking(i):
        while not stop.is_set():
            seen.append(stack.ask("demo", f"meanwhile {i} {time.time()}"))

    askers = [threading.Thread(target=keep_asking, args=(i,)) for i in range(4)]
    for asker in askers:
        asker.start()
    try:
        wait_for(lambda: len([r for r in seen if r[0] == 200]) >= 8, "answers", 30, 0.05)
        run("docker", "kill", "-s", "KILL", audit)
        wait_for(lambda: any(r[0] == 503 for r in seen), "refusals", 20, 0.05)
        at = len(seen)
        # While it is away every new request is refused.
        wait_for(lambda: len(seen) >= at + 20, "more of them", 30, 0.05)
        assert {(r[0], r[2]) for r in seen[at + 4:]} == {(503, "audit_unavailable")}, set(r[0::2] for r in seen[at + 4:])
        run("docker", "start", audit)
        wait_for(lambda: seen[-1][0] == 200, "answers again", 30, 0.05)
    finally:
        stop.set()
        for asker in askers:
            asker.join(60)
    settled(stack)
    verified(stack)


def test_the_log_is_looked_at_from_outside_of_its_container(stack):
    found = json.loads(stack.cli("search", "--kind", "RESPONSE", "--limit", "1", "--json", service="log").stdout)["records"]
    assert found[0]["request_id"] in stack.cli("show", found[0]["request_id"], service="log").stdout
    key = stack.compose("run", "--rm", "-T", "--entrypoint", "cat", "log", "/var/lib/infermesh-keys/audit.key").stdout
    assert "signer" in key, "the key can be kept elsewhere"


def network(verb, container, *args):
    run("docker", "network", verb, *args, f"{PROJECT}_mesh", container)


def test_links_heal_when_networks_are_cut_and_joined(stack):
    worker, router = stack.containers("slow")[1], stack.containers("router")[0]
    name = f"slow-{worker[:12]}"
    network("disconnect", worker)
    wait_for(lambda: workers(stack, "slow")[name]["state"] == "suspect", "it is missed", 30, 0.1)
    assert stack.ask("slow", "who is left?", stream=True)[0::2] == (200, None)
    network("disconnect", router)
    wait_for(lambda: stack.ask("demo", "is there a router?")[0] == 503, "the gateway says so", 30, 0.2)
    network("connect", router, "--alias", "router")
    network("connect", worker, "--alias", "slow")
    answers_again(stack, 40)
    wait_for(lambda: workers(stack, "slow").get(name, {}).get("state") in ("joining", "ready"), "the worker is back", 40, 0.2)
    wait_for(lambda: len(workers(stack, "slow")) == len(workers(stack, "demo")) == 4, "all workers are back", 40, 0.2)
    settled(stack)
    verified(stack)


def test_the_image_is_small_and_says_what_is_in_it(stack):
    sizes = {name: json.loads(run("docker", "image", "inspect", name).stdout)[0]["Size"] / 1e6
             for name in ("debian:bookworm-slim", "infermesh:test")}
    over = sizes["infermesh:test"] - sizes["debian:bookworm-slim"]
    stack.say(f"image: {over:.1f} MB over the base")
    assert over <= 40
    sbom = json.loads(run("docker", "exec", stack.containers("gateway")[0], "cat", "/usr/share/infermesh.spdx.json").stdout)
    assert sbom["spdxVersion"] == "SPDX-2.3"
    ids = [p["SPDXID"] for p in sbom["packages"]]
    assert len(ids) == len(set(ids)) and all(re.fullmatch(r"SPDXRef-[A-Za-z0-9.-]+", i) for i in ids)
    assert {r["relatedSpdxElement"] for r in sbom["relationships"]} == set(ids)
    listed = {p["name"] for p in sbom["packages"]}
    installed = run("docker", "exec", stack.containers("gateway")[0], "dpkg-query", "-W", "-f", "${Package}\n").stdout.split()
    assert set(installed) < listed and {"infermesh", "llama.cpp", "libnng1"} <= listed


def entry(layer, m):
    """What a member of a layer says; of a mark that a file is gone only that, and a folder's time is the engine's."""
    if "/.wh." in m.name:
        return m.name, "gone"
    digest = hashlib.sha256(layer.extractfile(m).read()).hexdigest() if m.isfile() else ""
    return m.name, m.type, m.mode, m.uid, m.gid, m.linkname, 0 if m.isdir() else m.mtime, digest


def layers(image):
    """Of each layer of an image: what is in it, file by file."""
    saved = subprocess.run(["docker", "save", image], capture_output=True, timeout=120, check=True).stdout
    with tarfile.open(fileobj=io.BytesIO(saved)) as outer:
        for name in json.load(outer.extractfile("manifest.json"))[0]["Layers"]:
            with tarfile.open(fileobj=io.BytesIO(outer.extractfile(name).read())) as layer:
                yield [entry(layer, m) for m in layer]


# A second image, built without docker's cache, is there with --all only.
if os.environ.get("INFERMESH_TESTS_ALL", "0") == "1":
    def test_the_same_commit_gives_the_same_layers():
        once, again = list(layers("infermesh:test")), list(layers("infermesh:again"))
        assert len(once) == len(again) > 2
        for a, b in zip(once, again):
            assert a == b, sorted(set(a) ^ set(b))[:10]


def test_down_ends_all_in_time_and_cleanly(stack):
    settled(stack)
    ids = stack.all()
    containers = stack.inspect(*ids)
    assert [c["Name"] for c in containers if c["RestartCount"] > 0] == [], "nobody had to be started anew but whom a test killed"
    names = {c["Id"]: c["Name"] for c in containers}
    waits = {i: subprocess.Popen(["docker", "wait", i], stdout=subprocess.PIPE, text=True) for i in ids}
    # docker wait says nothing when it has begun; a container that is removed before counts as failed below.
    began = time.monotonic()
    stack.compose("stop", "-t", "10")
    stack.say(f"down in {time.monotonic() - began:.1f} s")
    # Docker kills what has not ended 10 s after it was told to: then its code is 137.
    codes = {names[i]: int(p.communicate(timeout=30)[0]) for i, p in waits.items()}
    assert set(codes.values()) == {0}, codes
    stack.down()
    assert stack.all() == []

"""Several cache daemons: each has its share of the keys; one that is gone makes its share misses, and nothing else."""
import json

import pytest
import yaml

from mesh import Process, wait_for
from test_cache import cli, key_of, word, ask
from upstream import Upstream

QUESTIONS = [f"question {n}" for n in range(40)]


@pytest.fixture
def upstream():
    with Upstream() as up:
        yield up


def start_cache(mesh, n):
    """Another daemon, of a configuration of its own, as on another machine."""
    path = mesh.folder / f"cache-{n}.yaml"
    path.write_text(yaml.safe_dump({**mesh.config, "cache": {
        "listen": mesh.config["cache"]["addresses"][n], "admin": f"unix:{mesh.admin(f'cache-{n}')}"}}))
    mesh.processes[f"cache-{n}"] = Process(f"cache-{n}", [mesh.program("infermesh-cache"), "--config", path], mesh.folder).start()


@pytest.fixture
def mesh(start, upstream, folder):
    addresses = [f"ipc://{folder}/c{n}.ipc" for n in range(3)]
    made = start(workers=[{"name": "w", "backend": "upstream", "url": upstream.url, "models": ["echo"]}],
                 config={"cache": {"addresses": addresses, "listen": addresses[0]}, "router": {"cache_ms": "5s", "audit_ms": "1m"},
                         "mesh": {"heartbeat_ms": "1m"}})  # a machine that stalls is no matter here
    yield made
    for n in (1, 2):
        if made.processes[f"cache-{n}"].alive():
            assert made.processes[f"cache-{n}"].stop() == 0


def state(mesh):
    return mesh.router()["cache"]


def entries(mesh):
    """{address: answers that it keeps}."""
    return {t["cache"]: t["entries"] for t in cli(mesh, "stats", "--json")["tiers"]}


def test_one_that_is_gone_makes_its_share_misses_until_it_is_back(mesh):
    addresses = mesh.config["cache"]["addresses"]
    assert state(mesh) == "partial" and word(mesh, QUESTIONS[0]) == "miss"
    start_cache(mesh, 1)
    start_cache(mesh, 2)
    wait_for(lambda: state(mesh) == "connected", "the router reaches all of them")
    for text in QUESTIONS:
        word(mesh, text)
    wait_for(lambda: all(word(mesh, text) == "hit-l1" for text in QUESTIONS), "all are cached")
    share = entries(mesh)
    assert set(share) == set(addresses) and sum(share.values()) == len(QUESTIONS)
    assert all(n > 0 for n in share.values()), share

    mesh.processes["cache-1"].kill()
    wait_for(lambda: state(mesh) == "partial", "the router says that one is gone")
    hits = [text for text in QUESTIONS if word(mesh, text) == "hit-l1"]
    assert len(hits) == len(QUESTIONS) - share[addresses[1]]
    gone = [text for text in QUESTIONS if text not in hits]
    assert [word(mesh, text) for text in gone] == ["miss"] * len(gone)  # nobody stands in for it
    said = mesh.command("cache", "stats", "--json")
    told = json.loads(said.stdout)
    assert said.returncode == 1 and {t["cache"] for t in told["tiers"]} == {addresses[0], addresses[2]}
    assert [u["cache"] for u in told["unreached"]] == [addresses[1]] and "not reached" in told["unreached"][0]["error"]
    assert f"{addresses[1]}: " in cli(mesh, "stats", status=1)

    start_cache(mesh, 1)
    wait_for(lambda: state(mesh) == "connected", "the router reaches it again")
    assert word(mesh, gone[0]) == "miss"
    wait_for(lambda: all(word(mesh, text) == "hit-l1" for text in QUESTIONS), "all are cached again")
    assert entries(mesh) == share


def test_operator_reaches_all_of_them(mesh, folder):
    start_cache(mesh, 1)
    start_cache(mesh, 2)
    wait_for(lambda: state(mesh) == "connected", "the router reaches all of them")
    path = f"{folder}/questions.jsonl"
    with open(path, "w", encoding="utf-8") as f:
        for text in QUESTIONS:
            f.write(json.dumps({"model": "echo", "temperature": 0, "messages": [{"role": "user", "content": text}]}) + "\n")
    cli(mesh, "warm", path, "--tenant", "acme")
    wait_for(lambda: sum(entries(mesh).values()) == len(QUESTIONS), "all are kept")
    assert all(n > 0 for n in entries(mesh).values())
    for text in QUESTIONS[:6]:  # some of each
        assert text in cli(mesh, "get", key_of(mesh, ask(mesh, text)[0]))
    assert cli(mesh, "stats").count("OF MIB") == 3
    assert mesh.status()["cache"]["entries"] == len(QUESTIONS)
    mesh.processes["cache-2"].kill()
    kept = entries_of_two(mesh)
    done = cli(mesh, "purge", "--tenant", "acme", "--json", status=1)
    assert {t["cache"]: t["removed"] for t in done["tiers"]} == kept
    assert [u["cache"] for u in done["unreached"]] == [mesh.config["cache"]["addresses"][2]]
    start_cache(mesh, 2)
    wait_for(lambda: state(mesh) == "connected", "the router reaches it again")
    assert [t["removed"] for t in cli(mesh, "purge", "--all", "--json")["tiers"]] == [0, 0, 0]


def entries_of_two(mesh):
    return {t["cache"]: t["entries"] for t in cli(mesh, "stats", "--json", status=1)["tiers"]}

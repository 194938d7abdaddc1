"""Several models in one worker: what operators see of them, and weights that are replaced under requests."""
import json
import os
import pathlib
import signal
import subprocess
import threading

import pytest

from mesh import ROOT, wait_for

DEMO = (ROOT / "deploy/models/demo-q8_0.gguf").read_bytes()


def put(folder, name, data):
    """As an operator should: weights in use are mapped."""
    fresh = folder / f"{name}.new"
    fresh.write_bytes(data)
    fresh.rename(folder / name)


def other_weights():
    """The demo model with another digest: a letter of its name is a capital."""
    at = DEMO.index(b"general.name") + len("general.name") + 12
    return DEMO[:at] + bytes([DEMO[at] ^ 0x20]) + DEMO[at + 1:]


@pytest.fixture
def models(start, tmp_path):
    folder = tmp_path / "models"
    folder.mkdir()
    put(folder, "a.gguf", DEMO)
    put(folder, "cut.gguf", DEMO[:2000000])
    (folder / "models.yaml").write_text(
        "models:\n  - {name: a, file: a.gguf}\n  - {name: b, file: a.gguf, context: 512, load: false}\n"
        "  - {name: bad, file: cut.gguf}\n")
    mesh = start(workers=[{"name": "w", "backend": "local", "manifest": str(folder / "models.yaml"), "max_batch_size": 4,
                           "exact": True}])
    mesh.models = folder
    # The worker is there before its models are.
    wait_for(lambda: all(m["state"] != "loading" for m in listed(mesh).values()), "the models are loaded, or are not")
    wait_for(lambda: served(mesh) == ["a"], "the router knows")
    return mesh


def model(mesh, *args, status=0):
    done = mesh.command("model", *args)
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout) if "--json" in args else done.stdout + done.stderr


def listed(mesh):
    workers = model(mesh, "list", "--json")["workers"]
    assert [w["worker"] for w in workers] == ["w"]
    return {m["name"]: m for m in workers[0]["models"]}


def served(mesh):
    return sorted(m["id"] for m in json.loads(mesh.get("/v1/models")[1])["data"])


def ask(mesh, name, seed=7):
    status, _, text = mesh.chat({"model": name, "temperature": 1, "seed": seed, "max_tokens": 24,
                                 "messages": [{"role": "user", "content": "Where is my order A12345?"}]},
                                headers={"Cache-Control": "no-store"})
    return status, json.loads(text)["choices"][0]["message"]["content"] if status == 200 else text


def records(mesh, *args):
    done = mesh.command("audit", "search", "--json", *args)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_models_are_listed_loaded_and_unloaded(models):
    mesh = models
    seen = listed(mesh)
    assert (seen["a"]["state"], seen["b"]["state"], seen["bad"]["state"]) == ("ready", "unloaded", "failed")
    assert "cut.gguf: it has 2000000 bytes" in seen["bad"]["error"]
    assert len(seen["a"]["digest"]) == 64 and "a.gguf" in model(mesh, "list")
    assert ask(mesh, "a")[0] == 200 and ask(mesh, "b")[0] == 404

    assert model(mesh, "load", "b", "--json") == {"worker": "w", "model": "b", "before": "", "after": seen["a"]["digest"]}
    wait_for(lambda: served(mesh) == ["a", "b"], "the router hears of b")
    assert ask(mesh, "b")[0] == 200
    assert "cut.gguf" in model(mesh, "load", "bad", status=1)
    assert "is loaded" in model(mesh, "load", "b", status=1)
    assert "no model 'z'" in model(mesh, "load", "z", status=1)
    assert "no local worker 'x'" in model(mesh, "unload", "b", "--worker", "x", status=1)
    model(mesh, "unload", "a")
    wait_for(lambda: served(mesh) == ["b"], "the router hears that a is gone")
    assert ask(mesh, "a")[0] == 404
    model(mesh, "unload", "b", "--worker", "w")
    wait_for(lambda: served(mesh) == [], "the router hears that nothing is served")
    model(mesh, "load", "a")
    wait_for(lambda: ask(mesh, "a")[0] == 200, "a is back")
    found = wait_for(lambda: (lambda t: t if t.count("model-load") >= 2 and t.count("model-unload") >= 2 else None)(
        records(mesh, "--kind", "CONFIG")), "the log has it")
    assert seen["a"]["digest"] in found


def test_reloads_lose_no_request(models):
    mesh = models
    answers, stop = [], threading.Event()
    expected = {seed: ask(mesh, "a", seed) for seed in range(3)}
    assert all(status == 200 for status, _ in expected.values())

    def client(n):
        while not stop.is_set():
            seed = (n + len(answers)) % 3
            answers.append((seed, ask(mesh, "a", seed)))

    clients = [threading.Thread(target=client, args=(n,)) for n in range(4)]
    for t in clients:
        t.start()
    digests = [listed(mesh)["a"]["digest"]]
    try:
        for i in range(6):
            before = len(answers)
            put(mesh.models, "a.gguf", DEMO if i % 2 else other_weights())
            done = wait_for(lambda: (lambda d: d if d.returncode == 0 else None)(
                mesh.command("model", "reload", "a", "--json")), "older weights are free, and the new ones are loaded")
            assert json.loads(done.stdout)["before"] == digests[-1]
            digests.append(json.loads(done.stdout)["after"])
            assert digests[-1] != digests[-2]
            wait_for(lambda: len(answers) >= before + 4, "answers go on")
    finally:
        stop.set()
        for t in clients:
            t.join(60)
    assert [a for a in answers if a[1] != expected[a[0]]] == []
    put(mesh.models, "a.gguf", DEMO[:100000])
    assert "a.gguf" in model(mesh, "reload", "a", status=1)
    assert "a.gguf" in model(mesh, "verify", "a", status=1)
    assert ask(mesh, "a", 0) == expected[0]
    put(mesh.models, "a.gguf", other_weights())
    assert "other weights are in use" in model(mesh, "verify", "a", status=1)
    put(mesh.models, "a.gguf", DEMO)
    assert "is whole" in model(mesh, "verify", "a")
    wait_for(lambda: listed(mesh)["a"]["retiring"] == 0, "the old weights are gone")
    found = wait_for(lambda: (lambda t: t if t.count("model-reload") >= 6 else None)(records(mesh, "--kind", "CONFIG")),
                     "the log has each reload")
    assert f"before={digests[0]} after={digests[1]}" in found
    assert digests[1] in records(mesh, "--kind", "MODEL_RELOAD")
    mesh.settled()
    mesh.verify()


def test_a_request_that_crosses_an_unload_is_finished_or_not_found(models):
    mesh = models
    answers, stop = [], threading.Event()
    expected = {seed: ask(mesh, "a", seed) for seed in range(3)}

    def client(n):
        while not stop.is_set():
            seed = (n + len(answers)) % 3
            answers.append((seed, ask(mesh, "a", seed)))

    clients = [threading.Thread(target=client, args=(n,)) for n in range(6)]
    for t in clients:
        t.start()
    try:
        for verb, status in 6 * [("unload", 404), ("load", 200)]:
            before = len(answers)
            wait_for(lambda: mesh.command("model", verb, "a").returncode == 0, f"{verb}, once no older weights are in use")
            wait_for(lambda: sum(a[1][0] == status for a in answers[before:]) >= 6, f"requests end with {status}")
    finally:
        stop.set()
        for t in clients:
            t.join(60)
    assert [a for a in answers if a[1][0] == 200 and a[1] != expected[a[0]]] == []
    assert [a for a in answers if a[1][0] != 200 and (a[1][0] != 404 or '"model_not_found"' not in a[1][1])] == []
    mesh.settled()
    mesh.verify()


def test_the_demo_worker_is_asked_too(start):
    mesh = start(single=True)
    workers = model(mesh, "list", "--json")["workers"]
    assert [m["name"] for m in workers[0]["models"]] == ["demo"]
    done = model(mesh, "reload", "demo", "--json")
    assert done["before"] == done["after"] == workers[0]["models"][0]["digest"]
    assert "is whole" in model(mesh, "verify", "demo")
    assert pathlib.Path(workers[0]["models"][0]["file"]).exists()


def encrypt(mesh, *args, status=0, **kwargs):
    done = subprocess.run([mesh.program("infermesh"), "model", "encrypt", *map(str, args)], capture_output=True, text=True,
                          timeout=60, **kwargs)
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout) if "--json" in args else done.stdout + done.stderr


def test_encrypted_models_are_served_from_memory_only(models):
    mesh, folder = models, models.models
    key, other = folder / "models.key", folder / "other.key"
    said = encrypt(mesh, folder / "a.gguf", folder / "s.imdl", "--key-file", key, "--new-key", "--json")
    assert said["sha256"] == listed(mesh)["a"]["digest"] and key.stat().st_mode & 0o777 == 0o600
    assert "--force replaces it" in encrypt(mesh, folder / "a.gguf", folder / "s.imdl", "--key-file", key, status=1)
    assert "--new-key makes one" in encrypt(mesh, folder / "a.gguf", folder / "t.imdl", "--key-file", other, status=1)
    assert "no GGUF" in encrypt(mesh, folder / "models.yaml", folder / "t.imdl", "--key-file", other, "--new-key", status=1)
    assert not other.exists()  # nothing was encrypted with it
    encrypt(mesh, folder / "a.gguf", folder / "t.imdl", "--key-file", other, "--new-key")
    assert "sha256: " + said["sha256"] in encrypt(mesh, folder / "a.gguf", folder / "u.imdl", "--key-file", key)
    assert (folder / "u.imdl").read_bytes() != (folder / "s.imdl").read_bytes()  # each has its own salt

    expected = ask(mesh, "a")
    put(folder, "models.yaml", (
        "models:\n  - {name: a, file: s.imdl, key_file: models.key, sha256: " + said["sha256"] + "}\n"
        "  - {name: wrong, file: t.imdl, key_file: models.key}\n  - {name: keyless, file: s.imdl}\n").encode())
    assert model(mesh, "reload", "a", "--json")["after"] == said["sha256"]
    (folder / "a.gguf").unlink()
    assert expected[0] == 200 and ask(mesh, "a") == expected
    assert "another key" in model(mesh, "load", "wrong", status=1)
    assert "it is encrypted" in model(mesh, "load", "keyless", status=1)
    assert "is whole" in model(mesh, "verify", "a")
    assert listed(mesh)["a"]["file"].endswith("s.imdl")
    # A part of the weights stands nowhere on disk where the mesh could have put it.
    part = DEMO[1500000:1500032]
    assert not [p for p in mesh.folder.rglob("*") if p.is_file() and p != folder / "cut.gguf" and part in p.read_bytes()]
    assert not list(folder.glob("*.tmp"))

    damaged = bytearray((folder / "s.imdl").read_bytes())
    damaged[2000000] ^= 1
    put(folder, "s.imdl", bytes(damaged))
    assert "chunk 1 " in model(mesh, "verify", "a", status=1)
    assert "chunk 1 " in model(mesh, "reload", "a", status=1)
    assert ask(mesh, "a") == expected
    mesh.settled()
    mesh.verify()


def test_encrypting_that_is_interrupted_leaves_nothing(models):
    folder = models.models

    def interrupted():
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        os.kill(os.getpid(), signal.SIGINT)

    assert "given up" in encrypt(models, folder / "a.gguf", folder / "s.imdl", "--key-file", folder / "models.key", "--new-key",
                                 status=1, preexec_fn=interrupted)
    assert sorted(p.name for p in folder.iterdir()) == ["a.gguf", "cut.gguf", "models.yaml"]

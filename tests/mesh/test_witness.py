"""Witnesses: a mesh whose log is cosigned by real witness daemons, one of which is away, dies and comes back; and a log folder that
is rolled back behind the service's back."""
import json
import os
import pathlib
import shutil
import signal

import pytest

from mesh import wait_for
from witness import ORIGIN, Witness

QUESTION = {"model": "m", "messages": [{"role": "user", "content": "who saw it?"}]}


@pytest.fixture
def cosigned(start, instant, folder):
    """cosigned(single=…) → a mesh with three witnesses of which two must cosign; the third one never answers."""
    made = []

    def make(single=False):
        witnesses = [Witness(pathlib.Path(folder) / "w", f"w{i}", tls=i == 0) for i in range(3)]
        made.extend(witnesses)
        named = {w.url: w.vkey for w in witnesses}
        mesh = start(single=single, workers=[{"name": "w", "backend": "upstream", "url": instant(), "models": ["m"]}],
                     config={"audit": {"publish_ms": "50ms", "witness_ms": "50ms", "witnesses": named, "witness_quorum": 2,
                                       "witness_ca_file": str(witnesses[0].certificate)}})
        key = mesh.status()["audit"]["vkey"]
        for w in witnesses[:2]:
            w.start({ORIGIN: key})
        return mesh, witnesses, key

    yield make
    for w in made:
        w.stop()


def ask(mesh):
    status, _, text = mesh.chat(QUESTION)
    assert status == 200, text
    mesh.settled()


def show(mesh, status=0):
    done = mesh.command("audit", "witness", "--json")
    assert done.returncode == status, done.stdout + done.stderr
    return by_name(done.stdout)


def by_name(text):
    """Ports are what they are, and the order of witnesses is that of their addresses."""
    shown = json.loads(text)
    shown["witnesses"].sort(key=lambda w: w["name"])
    return shown


def wait_cosigned(mesh):
    """Until what is published is cosigned; its size."""
    def all_of_it():
        shown, audit = show(mesh), mesh.status()["audit"]
        return audit["published_size"] == audit["size"] == shown["cosigned_size"] and shown["cosigned_size"]
    return wait_for(all_of_it, "all records are cosigned", 60, 0.05)


def state(mesh, i):
    done = mesh.command("audit", "witness", "--json")
    return by_name(done.stdout)["witnesses"][i]["state"] if done.stdout else None


def verify(mesh, *args, status=0):
    done = mesh.command("audit", "verify", "--json", *args)
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


def by_key(witnesses, quorum):
    return [arg for w in witnesses for arg in ("--witness", w.vkey)] + ["--quorum", str(quorum)]


@pytest.mark.parametrize("single", [False, True])
def test_two_of_three_witnesses_are_enough_and_one_may_die(cosigned, single):
    mesh, witnesses, key = cosigned(single)
    ask(mesh)
    size = wait_cosigned(mesh)
    shown = show(mesh)
    assert [w["state"] for w in shown["witnesses"]] == ["fine", "fine", "silent"]
    audit = mesh.status()["audit"]
    assert (audit["cosigned_size"], audit["witnesses"], audit["witnesses_fine"]) == (size, 3, 2)
    assert f"; cosigned {size}, 2 of 3 witnesses fine" in mesh.command("status").stdout
    assert shown["quorum"] == 2 and "no answer" in shown["witnesses"][2]["why"]

    # Anybody with the keys can tell, from the files alone.
    folder = mesh.state_dir / "audit"
    report = verify(mesh, str(folder), "--vkey", key, *by_key(witnesses, 2))
    assert report["verified"] and report["cosigned"]["count"] == 2 and report["cosigned"]["size"] == size
    assert all(w["time_s"] > 1.6e9 for w in report["cosigned"]["witnesses"] if w["cosigned"])
    assert not verify(mesh, str(folder), "--vkey", key, *by_key(witnesses, 3), status=1)["verified"]
    text = mesh.command("audit", "verify")
    assert text.returncode == 0 and f"the first {size} records, by 2 of 3 witnesses; 2 are needed" in text.stdout
    proof = mesh.folder / "x.tlog-proof"
    assert mesh.command("audit", "prove", "1", "-o", str(proof)).returncode == 0
    assert mesh.command("audit", "check", str(proof), "--vkey", key, *by_key(witnesses, 2)).returncode == 0
    refused = mesh.command("audit", "check", str(proof), "--vkey", key, *by_key(witnesses, 3))
    assert refused.returncode == 1 and "2 of the 3 witnesses have cosigned, and 3 are needed" in refused.stdout

    for wrong, says in ((["--quorum", "0", "--witness", witnesses[0].vkey], "--quorum is more than the witnesses"),
                        (["--quorum", "two", "--witness", witnesses[0].vkey], "--quorum takes a number"),
                        (["--witness", witnesses[0].vkey, "--witness", witnesses[0].vkey], "the same key twice"),
                        (["--witness", key], "--witness: not a verifier key: it reads NAME+HASH+KEY, with the Ed25519 key of a witness")):
        done = mesh.command("audit", "verify", str(folder), "--vkey", key, *wrong)
        assert done.returncode == 2 and says in done.stderr, done.stderr
    assert mesh.command("audit", "witness", "keys").returncode == 2

    # Without a quorum the mesh goes on as before; the file says what it said.
    witnesses[1].process.kill(signal.SIGKILL)
    for _ in range(3):
        ask(mesh)
    wait_for(lambda: state(mesh, 1) == "silent", "the dead one is noticed")
    assert show(mesh)["cosigned_size"] == size
    metrics = mesh.metrics("audit")
    assert metrics['infermesh_audit_witness_lag_seconds{witness="w1.example/witness"}'] > 0
    assert metrics["infermesh_audit_cosigned_size"] == size < metrics["infermesh_audit_published_size"]
    assert verify(mesh)["verified"]

    # It comes back with what it knew, and goes on from there.
    witnesses[1].start({ORIGIN: key})
    assert f'infermesh_witness_size{{origin="{ORIGIN}"}} {size}' in witnesses[1].page("/metrics")[1]
    assert wait_cosigned(mesh) > size
    assert "fork" not in witnesses[1].process.log()


def copy(a, b):
    shutil.rmtree(b, ignore_errors=True)
    shutil.copytree(a, b, symlinks=True)


def test_log_folder_that_was_rolled_back_is_told_by_witnesses(cosigned):
    mesh, witnesses, key = cosigned()
    folder, old, new = mesh.state_dir / "audit", mesh.folder / "old", mesh.folder / "new"
    ask(mesh)
    wait_cosigned(mesh)
    mesh.processes["audit"].stop()
    copy(folder, old)
    mesh.start_daemon("audit")
    for _ in range(10):
        wait_for(lambda: mesh.chat(QUESTION)[0] == 200, "answers")
    mesh.settled()
    size = wait_cosigned(mesh)
    mesh.processes["audit"].stop()
    copy(folder, new)

    # Yesterday's backup comes back: each record in it is right, and so is each signature.
    copy(old, folder)
    assert verify(mesh)["verified"]
    kept = mesh.folder / "kept"
    shutil.copy(new / "checkpoint.cosigned", kept)
    assert not verify(mesh, "--seen", str(kept), status=1)["verified"]
    mesh.start_daemon("audit")
    wait_for(lambda: state(mesh, 0) == state(mesh, 1) == "rolled_back", "both witnesses say so", 60)
    shown = show(mesh, status=1)
    assert f"it has cosigned size {size}" in shown["witnesses"][0]["why"] or size <= int(
        shown["witnesses"][0]["why"].split("size ")[1].split(";")[0])
    assert mesh.metrics("audit")['infermesh_audit_witness_alarm{witness="w0.example/witness"}'] == 1
    assert "the folder was rolled back" in mesh.processes["audit"].log()

    # It does not help to go on: no witness cosigns another history.
    for _ in range(20):
        wait_for(lambda: mesh.chat(QUESTION)[0] == 200, "answers")
    wait_for(lambda: state(mesh, 0) == state(mesh, 1) == "forked", "both witnesses say so", 60)
    assert "does not continue what was cosigned" in witnesses[0].process.log()
    assert show(mesh, status=1)["cosigned_size"] < size

    # Who keeps that one file has the service refuse at once, before anything is written.
    mesh.processes["audit"].stop()
    shutil.copy(kept, folder / "checkpoint.cosigned")
    mesh.start_daemon("audit")
    assert mesh.processes["audit"].proc.wait(20) == 1
    assert "checkpoint.cosigned does not fit the log" in mesh.processes["audit"].log()
    copy(new, folder)
    mesh.start_daemon("audit")
    mesh.wait_ready()
    ask(mesh)
    assert wait_cosigned(mesh) > size
    assert os.listdir(witnesses[0].folder / "s" / "witness")


def test_witnesses_cosign_a_new_shard_when_they_know_its_key(cosigned):
    mesh, witnesses, key = cosigned()
    ask(mesh)
    wait_cosigned(mesh)
    rotated = mesh.command("audit", "keys", "rotate", "--json")
    assert rotated.returncode == 0, rotated.stderr
    new = mesh.status()["audit"]
    assert new["origin"].startswith(ORIGIN + "/") and new["vkey"] == json.loads(rotated.stdout)["vkey"]
    ask(mesh)
    wait_for(lambda: state(mesh, 0) == state(mesh, 1) == "refused", "they do not know the shard", 60)
    # What was cosigned before still counts for the records before.
    report = verify(mesh, *by_key(witnesses, 2))
    assert report["cosigned"]["enough"] and report["cosigned"]["size"] < report["size"]

    for w in witnesses[:2]:
        w.stop()
        w.start({ORIGIN: key, new["origin"]: new["vkey"]})
    wait_for(lambda: state(mesh, 0) == state(mesh, 1) == "fine", "they cosign the shard", 60)
    ask(mesh)
    wait_for(lambda: (a := mesh.status()["audit"])["published_size"] == a["size"], "all is published")

    def all_of_it():
        report = verify(mesh, "--vkey", key, *by_key(witnesses, 2))
        return report["cosigned"]["enough"] and report["cosigned"]["size"] == report["size"]

    wait_for(all_of_it, "all shards are covered", 60, 0.05)
    proof = mesh.folder / "x.tlog-proof"
    last = mesh.status()["audit"]["size"] - 1
    assert mesh.command("audit", "prove", str(last), "-o", str(proof)).returncode == 0
    assert mesh.command("audit", "check", str(proof), "--vkey", new["vkey"], *by_key(witnesses, 2)).returncode == 0

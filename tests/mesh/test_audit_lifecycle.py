"""What an operator does to a kept log while the mesh answers: open a record, erase a person, and the log stays provable."""
import hashlib
import hmac
import json
import os
import signal
import subprocess

import pytest

from mesh import PATIENCE, wait_for

FIELDS = {"input": "input_commitment", "output": "output_commitment"}


def ask(mesh, text, key=None):
    """One question; its id and the body as it was sent."""
    body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": text}], "max_tokens": 4})
    headers = {"Authorization": f"Bearer {key}"} if key else None
    status, head, _ = mesh.chat(body, headers=headers)
    assert status == 200
    head = {name.lower(): value for name, value in head.items()}
    return head["x-request-id"].replace("-", ""), body.encode()


def open_record(mesh, index, *more):
    return mesh.command("audit", "open", str(index), "--json", *more)


def find(mesh, request_id):
    """The index of the REQUEST: openings name the request, so that no other tool is needed."""
    size = mesh.status()["audit"]["size"]
    for index in reversed(range(size)):
        done = open_record(mesh, index)
        if done.returncode == 0 and json.loads(done.stdout)["request_id"] == request_id:
            return index
    raise AssertionError(f"no record of {request_id} opens")


def erase(mesh, subject, *more):
    return mesh.command("audit", "erase", "--subject", subject, "--yes", "--json", *more)


def second_key(mesh):
    made = mesh.command("key", "create", "--name", "other", "--tenant", "acme")
    assert made.returncode == 0
    key = made.stdout.strip()
    wait_for(lambda: mesh.get("/v1/models", {"Authorization": f"Bearer {key}"})[0] == 200, "the gateway takes the key")
    return key


@pytest.mark.parametrize("single", [False, True])
def test_erased_subject_opens_no_more_and_the_log_still_verifies(start, single):
    mesh = start(single=single)
    mine, body = ask(mesh, "what I say")
    other, other_body = ask(mesh, "what another one says", second_key(mesh))
    mesh.settled()
    index, other_index = find(mesh, mine), find(mesh, other)

    # The opening proves to anybody with HMAC what was asked.
    opened = json.loads(open_record(mesh, index).stdout)
    made = hmac.new(bytes.fromhex(opened["opening"]), b"audit/input/v1\0" + hashlib.sha256(body).digest(), "sha256")
    assert made.hexdigest() == opened["commitment"]
    assert opened["derived"] is False

    done = erase(mesh, "acme/tester")
    assert done.returncode == 0, done.stderr
    first = json.loads(done.stdout)
    assert first["before"] is False
    for field in FIELDS:
        refused = open_record(mesh, index + (field == "output"), "--field", field)
        assert refused.returncode == 1
        assert f"was erased, as record {first['index']} says" in refused.stderr or "has no" in refused.stderr
    refused = open_record(mesh, index)
    assert (refused.returncode, refused.stdout) == (1, "") and "was erased" in refused.stderr
    opened = json.loads(open_record(mesh, other_index).stdout)
    made = hmac.new(bytes.fromhex(opened["opening"]), b"audit/input/v1\0" + hashlib.sha256(other_body).digest(), "sha256")
    assert made.hexdigest() == opened["commitment"]

    # Again: the same answer and no second record.
    again = json.loads(erase(mesh, "acme/tester").stdout)
    assert again == {**first, "before": True}
    # Who comes back has another key.
    later, _ = ask(mesh, "and I am back")
    mesh.settled()
    assert open_record(mesh, find(mesh, later)).returncode == 0
    assert open_record(mesh, index).returncode == 1
    report = mesh.verify()
    assert report["problems"] == 0 and report["kinds"]["ERASE"] == 1


def test_erasing_needs_a_known_subject_an_operator_and_a_running_service(start):
    mesh = start()
    request, _ = ask(mesh, "hello")
    mesh.settled()
    index = find(mesh, request)
    unknown = erase(mesh, "acme/nobody")
    assert unknown.returncode == 1 and "'nobody' in 'acme'" in unknown.stderr
    assert erase(mesh, "nameless").returncode == 2
    silent = mesh.command("audit", "erase", "--subject", "acme/tester", stdin=-3)
    assert silent.returncode == 2 and "--yes" in silent.stderr
    key_file = mesh.state_dir / "audit.key"
    os.rename(key_file, f"{key_file}.away")
    refused = open_record(mesh, index)
    assert refused.returncode == 1 and "only who may read the log's key file" in refused.stderr
    os.rename(f"{key_file}.away", key_file)
    mesh.settled()
    mesh.processes["audit"].stop()
    down = erase(mesh, "acme/tester")
    assert down.returncode == 1 and "start the mesh with 'infermesh up'" in down.stderr
    assert open_record(mesh, index).returncode == 0  # needs no service
    mesh.start_daemon("audit")
    wait_for(lambda: erase(mesh, "acme/tester").returncode == 0, "the service is back")
    assert mesh.verify()["problems"] == 0


def test_service_killed_around_an_erasure_keeps_it(start):
    mesh = start()
    for n in range(4):
        request, _ = ask(mesh, f"question {n}")
        mesh.settled()
        index = find(mesh, request)
        argv = [str(mesh.program("infermesh")), "audit", "erase", "--subject", "acme/tester", "--yes", "--json",
                "--config", str(mesh.config_path)]
        erasing = subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        if n % 2 == 0:  # else it is killed before, in the middle or after, as it happens
            said, _ = erasing.communicate(timeout=60 * PATIENCE)
        mesh.processes["audit"].kill(signal.SIGKILL)
        mesh.start_daemon("audit")
        if n % 2 == 1:
            said, _ = erasing.communicate(timeout=60 * PATIENCE)
        wait_for(lambda: mesh.status()["audit"], "audit is back")
        again = erase(mesh, "acme/tester")
        assert again.returncode == 0, again.stderr
        assert open_record(mesh, index).returncode == 1
        if said:
            assert json.loads(again.stdout) == {**json.loads(said), "before": True}
        mesh.wait_ready()
    report = mesh.verify()
    assert report["problems"] == 0 and report["kinds"]["ERASE"] == 4


def prune(mesh, *args):
    return mesh.command("audit", "prune", "--json", *args)


def test_pruned_log_verifies_answers_and_goes_on(start):
    mesh = start()
    first, _ = ask(mesh, "the first")
    mesh.settled()
    index = find(mesh, first)
    for n in range(300):
        ask(mesh, f"question {n}")
    mesh.settled()
    assert json.loads(prune(mesh).stdout) == {"was": 0, "min_index": 0, "entries": 0, "dry_run": False}
    for wrong in (["--before", "yesterday"], ["--keep", "soon"], ["--keep", "1", "--before", "2026-01-01"]):
        assert prune(mesh, *wrong).returncode == 2
    # 600 records and a few, all of them older than now.
    wait_for(lambda: mesh.metrics("audit")["infermesh_audit_published_size"] >= 600, "all is published")
    dry = json.loads(prune(mesh, "--keep", "0", "--dry-run").stdout)
    assert (dry["was"], dry["min_index"], dry["dry_run"]) == (0, 512, True)
    done = json.loads(prune(mesh, "--keep", "0").stdout)
    assert (done["min_index"], done["entries"]) == (512, 512) and done["index"] >= 600
    entries = mesh.state_dir / "audit/tile/entries"
    wait_for(lambda: not (entries / "000").exists() and not (entries / "001").exists(), "the bundles are deleted")
    assert (mesh.state_dir / "audit/tile/0/000").exists()
    gone = open_record(mesh, index)
    assert gone.returncode == 1 and gone.stderr
    report = mesh.verify()
    assert report["problems"] == 0 and report["kinds"]["PRUNE"] == 1
    # Over a crash too.
    mesh.processes["audit"].kill(signal.SIGKILL)
    mesh.start_daemon("audit")
    mesh.wait_ready()
    later, _ = ask(mesh, "the last")
    mesh.settled()
    assert open_record(mesh, find(mesh, later)).returncode == 0
    assert json.loads(prune(mesh, "--keep", "0").stdout)["was"] == 512
    assert mesh.verify()["problems"] == 0


def test_proof_given_out_before_holds_after_erasing_and_pruning(start):
    mesh = start()
    request, body = ask(mesh, "my contract says so")
    for n in range(140):
        ask(mesh, f"question {n}")
    mesh.settled()
    index = find(mesh, request)
    wait_for(lambda: mesh.metrics("audit")["infermesh_audit_published_size"] >= 280, "all is published")
    content, lie, proof = mesh.folder / "request.json", mesh.folder / "lie.json", mesh.folder / "x.tlog-proof"
    content.write_bytes(body)
    lie.write_bytes(body.replace(b"contract", b"contrast"))
    assert mesh.command("audit", "prove", str(index), "-o", str(proof)).returncode == 0
    opening = json.loads(open_record(mesh, index).stdout)["opening"]

    def check(file):
        return mesh.command("audit", "check", str(proof), "--content", str(file), "--opening", opening).returncode

    assert (check(content), check(lie)) == (0, 1)
    assert erase(mesh, "acme/tester").returncode == 0
    assert json.loads(prune(mesh, "--keep", "0").stdout)["min_index"] == 256
    wait_for(lambda: not (mesh.state_dir / "audit/tile/entries/000").exists(), "the bundle is deleted")
    # What was disclosed stays disclosed, and proved; nothing new can be.
    assert (check(content), check(lie)) == (0, 1)
    assert mesh.command("audit", "check", str(proof)).returncode == 0
    assert open_record(mesh, index).returncode == 1
    report = mesh.verify()
    assert report["problems"] == 0 and report["pruned"] == 256

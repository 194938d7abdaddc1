"""Witnesses of others and logs of others: Tessera's log asks our witness, torchwood's litewitness cosigns our log, and readers that
nobody here wrote accept what both cosigned."""
import base64
import hashlib
import json
import shutil
import sqlite3
import subprocess

import pytest

from conftest import INTEROP
from mesh import Process, free_port, wait_for
from witness import ORIGIN, Witness

SKEY = "PRIVATE+KEY+example.com/log/testdata+33d7b496+AeymY/SZAX0jZcJ8enZ5FY1Dz+wTML2yWSkK+9DSF3eg"
VKEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
OTHERS = "litewitness.example/w"


@pytest.fixture
def witness(tmp_path):
    w = Witness(tmp_path, "ours")
    yield w
    w.stop()


def test_our_witness_cosigns_tesseras_log_and_no_second_one_of_its_name(verifier, witness, tmp_path):
    witness.start({"example.com/log/testdata": VKEY})
    said = verifier("witness", "log", tmp_path / "log", SKEY, 1000, 120, witness.url, witness.vkey)
    assert said == "Tessera's log of 1000 entries, cosigned by ours.example/witness"
    page = witness.page("/metrics")[1]
    assert 'infermesh_witness_size{origin="example.com/log/testdata"} 1000' in page
    assert 'infermesh_witness_requests_total{result="inconsistent"} 0' in page
    # The same key, another history: shorter than what was cosigned, and longer.
    refused = verifier("witness", "log", tmp_path / "fork", SKEY, 50, 120, witness.url, witness.vkey, accepts=False)
    assert "replied with x.tlog.size 1000" in refused
    verifier("witness", "log", tmp_path / "fork", SKEY, 1500, 120, "none")
    refused = verifier("witness", "log", tmp_path / "fork", SKEY, 50, 5, witness.url, witness.vkey, accepts=False)
    assert "deadline exceeded" in refused  # Tessera goes on asking, and publishes nothing
    page = witness.page("/metrics")[1]
    assert 'infermesh_witness_requests_total{result="inconsistent"} 0' not in page
    assert 'infermesh_witness_size{origin="example.com/log/testdata"} 1000' in page
    assert "does not continue what was cosigned" in witness.process.log()


@pytest.fixture
def litewitness(tmp_path):
    """litewitness(origin, vkey) → its address; .vkey is its key."""
    for name in ("witness", "litewitness"):
        if not (INTEROP / name).exists():
            pytest.fail(f"{name} could not be built, so this was NOT checked:\n{(INTEROP / 'witness.log').read_text()}")
    socket, port, running = tmp_path / "agent", free_port(), []
    agent = subprocess.Popen([str(INTEROP / "witness"), "agent", str(socket), OTHERS], stdout=subprocess.PIPE, text=True)
    fingerprint, vkey = agent.stdout.readline().split()

    def start(origin, log_key):
        db = sqlite3.connect(tmp_path / "litewitness.db")
        db.executescript("""CREATE TABLE log (origin TEXT PRIMARY KEY, tree_size INTEGER NOT NULL, tree_hash TEXT NOT NULL);
            CREATE TABLE key (origin TEXT NOT NULL, key TEXT NOT NULL, FOREIGN KEY(origin) REFERENCES log(origin));""")
        db.execute("INSERT INTO log VALUES (?, 0, ?)", (origin, base64.b64encode(hashlib.sha256(b"").digest()).decode()))
        db.execute("INSERT INTO key VALUES (?, ?)", (origin, log_key))
        db.commit()
        db.close()
        running.append(Process("litewitness", [INTEROP / "litewitness", "-name", OTHERS, "-db", tmp_path / "litewitness.db",
                                               "-ssh-agent", socket, "-listen", f"127.0.0.1:{port}", "-key", fingerprint],
                               tmp_path).start())

    start.url, start.vkey = f"http://127.0.0.1:{port}", vkey
    yield start
    for p in running:
        p.kill()
    agent.kill()
    agent.wait(10)
    agent.stdout.close()


def test_litewitness_and_our_witness_cosign_the_log_of_a_mesh(verifier, witness, litewitness, instant, tmp_path):
    from mesh import Mesh

    workers = [{"name": "w", "backend": "upstream", "url": instant(), "models": ["m"]}]
    named = {witness.url: witness.vkey, litewitness.url: litewitness.vkey}
    mesh = Mesh(tmp_path / "m", workers=workers, config={"audit": {"publish_ms": "50ms", "witness_ms": "50ms", "witnesses": named,
                                                                   "witness_quorum": 2}}).start()
    try:
        key = mesh.status()["audit"]["vkey"]
        witness.start({ORIGIN: key})
        litewitness(ORIGIN, key)

        def cosigned():
            shown = json.loads(mesh.command("audit", "witness", "--json").stdout)
            return shown["cosigned_size"] == shown["published_size"] == mesh.status()["audit"]["size"] and shown

        for n in range(5):  # growth from several sizes, over the first tiles
            for _ in range(60):
                assert mesh.chat({"model": "m", "messages": [{"role": "user", "content": f"question {n}"}]})[0] == 200
            mesh.settled()
            shown = wait_for(cosigned, "both have cosigned everything", 60, 0.05)
        size = shown["cosigned_size"]
        assert size >= 601 and [w["state"] for w in shown["witnesses"]] == ["fine", "fine"]
        keys = [witness.vkey, litewitness.vkey]
        file = mesh.state_dir / "audit/checkpoint.cosigned"
        assert verifier("witness", "cosigned", file, key, *keys) == f"checkpoint of {size}, cosigned by 2"
        proof = tmp_path / "x.tlog-proof"
        assert mesh.command("audit", "prove", "300", "-o", str(proof)).returncode == 0
        assert verifier("witness", "proof", proof, key, 2, *keys) == "torchwood accepts the proof, cosigned by 2 of 2"
        # One bit of a cosignature, or the cosignature of one witness under the name of the other.
        changed = tmp_path / "changed"
        lines = file.read_text().splitlines(keepends=True)
        at = next(i for i, line in enumerate(lines) if OTHERS in line)
        line = lines[at]
        lines[at] = line[:-8] + ("A" if line[-8] != "A" else "B") + line[-7:]
        changed.write_text("".join(lines))
        assert verifier("witness", "cosigned", changed, key, *keys, accepts=False)
        lines[at] = line.replace(OTHERS, "ours.example/witness")
        changed.write_text("".join(lines))
        assert verifier("witness", "cosigned", changed, key, *keys, accepts=False)
        shutil.copy(file, changed)
        assert verifier("witness", "cosigned", changed, key, *keys)
    finally:
        statuses = mesh.stop()
    assert not any(statuses.values()), statuses

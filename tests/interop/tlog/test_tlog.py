"""Others' software accepts what we write, and refuses it when a byte of it is changed."""
import json
import shutil

import pytest

from conftest import INTEROP
from mesh import wait_for

VKEY = "example.com/log/testdata+33d7b496+AeHTu4Q3hEIMHNqc6fASMsq3rKNx280NI+oO5xCFkkSx"
SAID = {"testdata": (15, 15), "leaves": (70000, 11)}
ROOTS = {  # sizes of "leaf 0", "leaf 1", …: the known answers of the design
    "256": "z17/2xHQknou31Ow5zx4N/ZZQU4AU32l2Q61xMSf8nQ=",
    "70000": "2gUy/3su5W9AZxEPyWTp8ntZWflSe//z+lAap1hN6vM=",
}


def test_every_proof_up_to_300_is_accepted_by_sumdb(verifier, vectors):
    assert verifier("sumdb", "proofs", vectors / "proofs") == "300 roots, 45150 inclusion and 45150 consistency proofs"


def test_every_proof_up_to_300_is_accepted_by_transparency_dev_merkle(verifier, vectors):
    assert verifier("merkle", "proofs", vectors / "proofs") == "45150 inclusion and 45150 consistency proofs"


@pytest.mark.parametrize("name", ["sumdb", "merkle"])
def test_a_changed_proof_is_refused(verifier, vectors, tmp_path, name):
    lines = (vectors / "proofs").read_text().splitlines()[:5000]
    at = next(i for i in range(4000, 5000) if lines[i].startswith("i "))
    lines[at] = lines[at][:-1] + ("0" if lines[at][-1] != "0" else "1")
    (tmp_path / "proofs").write_text("\n".join(lines))
    assert " ".join(lines[at].split()[:3]) + ":" in verifier(name, "proofs", tmp_path / "proofs", accepts=False)


@pytest.mark.parametrize("folder", SAID)
def test_folder_of_known_entries_is_accepted(verifier, vectors, folder):
    entries, checkpoints = SAID[folder]
    dir, older = vectors / folder, vectors / f"{folder}-checkpoints"
    assert verifier("sumdb", "folder", dir, VKEY, older) == f"{entries} entries, {checkpoints} older checkpoints"
    assert verifier("merkle", "folder", dir) == f"{entries} entries have the checkpoint's root"
    assert verifier("tessera", "folder", dir, VKEY, older) == f"fsck of {entries} entries, {checkpoints} older checkpoints"


def test_tesseras_test_log_is_ours_byte_for_byte(verifier, vectors):
    assert (INTEROP / "testdata").exists(), "tessera could not be built, so this was NOT checked"
    testdata = (INTEROP / "testdata").read_text().strip()
    said = verifier("tessera", "same", vectors / "testdata", vectors / "testdata-checkpoints", testdata)
    assert said == "46 files of Tessera's test log, byte for byte"


@pytest.mark.parametrize("size", ROOTS)
def test_root_of_known_leaves(vectors, size):
    assert (vectors / "leaves-checkpoints" / size).read_text().splitlines()[2] == ROOTS[size]


def test_log_of_a_mesh_is_accepted(verifier, log):
    assert log.size() >= 601  # START, and two a request: full and partial tiles on two levels
    sizes = f"{log.size()} entries, 12 older checkpoints"
    assert verifier("sumdb", "folder", log.dir, log.vkey, log.checkpoints) == sizes
    assert verifier("merkle", "folder", log.dir) == f"{log.size()} entries have the checkpoint's root"
    assert verifier("tessera", "folder", log.dir, log.vkey, log.checkpoints) == f"fsck of {sizes}"


def test_log_that_the_daemon_serves_is_accepted_by_tesseras_http_client(verifier, log):
    said = verifier("tessera", "folder", log.url, log.vkey, log.checkpoints)
    assert said == f"fsck of {log.size()} entries, 12 older checkpoints"


def test_proof_files_of_a_mesh_are_accepted_by_sumdb_and_torchwood(verifier, log, tmp_path):
    size = log.size()
    for index in (0, 1, 255, 256, size - 1):
        file = tmp_path / "x.tlog-proof"
        done = log.mesh.command("audit", "prove", str(index), "-o", str(file))
        assert done.returncode == 0, done.stderr
        assert verifier("sumdb", "proof", file, log.vkey) == f"record {index} of {size}"
        assert verifier("tessera", "proof", file, log.vkey).startswith("torchwood accepts the proof of a record of ")
        file.write_text(file.read_text().replace(f"index {index}\n", f"index {index + 1}\n"))
        assert verifier("sumdb", "proof", file, log.vkey, accepts=False)
        assert verifier("tessera", "proof", file, log.vkey, accepts=False)


@pytest.mark.parametrize("name", ["checkpoint", "tile/0/000", "tile/0/001", "tile/entries/000", "tile/entries/001"])
def test_log_of_a_mesh_with_one_bit_changed_is_refused(verifier, log, tmp_path, name):
    shutil.copytree(log.dir, tmp_path / "log", ignore=shutil.ignore_patterns("wal", "lock"))
    data = bytearray((tmp_path / "log" / name).read_bytes())
    data[len(data) // 2] ^= 4
    (tmp_path / "log" / name).write_bytes(data)
    for checker in ("sumdb", "tessera"):
        assert verifier(checker, "folder", tmp_path / "log", log.vkey, accepts=False)


def test_each_shard_of_a_mesh_and_the_link_between_them_is_accepted(verifier, log):
    """The last test here: the log goes on in another shard from now on."""
    done = log.mesh.command("audit", "keys", "rotate", "--json")
    assert done.returncode == 0, done.stderr
    rotated = json.loads(done.stdout)
    status, _, text = log.mesh.chat({"model": "m", "messages": [{"role": "user", "content": "under the new key"}]})
    assert status == 200, text
    shard = log.dir / rotated["origin"].rsplit("/", 1)[1]
    wait_for(lambda: int((shard / "checkpoint").read_text().splitlines()[1]) >= 3, "the new shard is published")
    log.mesh.settled()
    size = log.size()
    assert size == rotated["index"] + 1
    assert verifier("tessera", "folder", log.dir, log.vkey, log.checkpoints) == f"fsck of {size} entries, 12 older checkpoints"
    assert verifier("merkle", "folder", shard).endswith("entries have the checkpoint's root")
    for folder in (shard, f"{log.url}/{shard.name}"):
        assert "fsck of " in verifier("tessera", "folder", folder, rotated["vkey"])
    link = log.dir / "next.tlog-proof"
    assert verifier("sumdb", "proof", link, log.vkey) == f"record {size - 1} of {size}"
    assert verifier("tessera", "proof", link, log.vkey).startswith("torchwood accepts the proof of a record of ")

"""'infermesh model quantize': a model file becomes a smaller one, whole or not at all."""
import hashlib
import json
import os
import shutil
import signal
import subprocess

import pytest

from mesh import BUILD, PATIENCE, ROOT, wait_for

DEMO = ROOT / "deploy/models/demo-q8_0.gguf"


def quantize(*args, program=BUILD / "bin/infermesh", status=0):
    done = subprocess.run([program, "model", "quantize", *args], capture_output=True, text=True, timeout=60 * PATIENCE)
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout if status == 0 else done.stderr


@pytest.fixture
def f16(tmp_path):
    quantize(DEMO, tmp_path / "f16.gguf", "--type", "f16", "--requantize")
    return tmp_path / "f16.gguf"


def test_a_model_is_quantized_and_served(start, tmp_path, f16):
    small = tmp_path / "small.gguf"
    told = json.loads(quantize(f16, small, "--type", "q4_k_m", "--threads", "2", "--json"))
    assert told["type"] == "q4_k_m" and told["out"] == str(small)
    assert told["in_sha256"] == hashlib.sha256(f16.read_bytes()).hexdigest() and told["in_bytes"] == f16.stat().st_size
    assert told["out_sha256"] == hashlib.sha256(small.read_bytes()).hexdigest() and told["out_bytes"] == small.stat().st_size
    assert small.stat().st_size < 0.4 * f16.stat().st_size
    mask = os.umask(0)
    os.umask(mask)
    assert small.stat().st_mode & 0o777 == 0o666 & ~mask
    assert "sha256: " in quantize(f16, small, "--type", "q8_0", "--force"), "replaced"
    assert sorted(p.name for p in tmp_path.glob("*.gguf*")) == ["f16.gguf", "small.gguf"], "nothing is left beside"
    (tmp_path / "models.yaml").write_text(f"models:\n  - {{name: small, file: small.gguf, sha256: {sha(small)}}}\n")
    mesh = start(workers=[{"name": "w", "backend": "local", "manifest": str(tmp_path / "models.yaml"), "max_batch_size": 2}])
    wait_for(lambda: "small" in mesh.get("/v1/models")[1], "it is loaded")
    status, _, text = mesh.chat({"model": "small", "temperature": 0, "max_tokens": 24,
                                 "messages": [{"role": "user", "content": "Where is my order A12345?"}]})
    assert status == 200 and "A12345" in json.loads(text)["choices"][0]["message"]["content"]


def sha(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_cannot_be_quantized_is_said_and_nothing_is_left(tmp_path, f16):
    cut, text, there = tmp_path / "cut.gguf", tmp_path / "text", tmp_path / "there.gguf"
    cut.write_bytes(f16.read_bytes()[:3000000])
    text.write_text("no model" * 10)
    there.write_bytes(b"mine")
    (tmp_path / "again.gguf").symlink_to(f16)
    before = {p.name: (p.stat().st_ino, sha(p)) for p in tmp_path.iterdir() if p.is_file()}
    out = tmp_path / "out.gguf"

    def says(word, *args, status=1):
        assert word in quantize(*args, status=status), word

    says("the type is missing; give --type one of f32, f16,", f16, out, status=2)
    says("there is no type 'q4'; give --type one of f32", f16, out, "--type", "q4", status=2)
    says("OUT is missing", f16, "--type", "q8_0", status=2)
    says("--threads is a number from 1 to 1024", f16, out, "--type", "q8_0", "--threads", "0", status=2)
    says("No such file", tmp_path / "gone.gguf", out, "--type", "q8_0")
    says("is no file", tmp_path, out, "--type", "q8_0")
    says("this is no GGUF file", text, out, "--type", "q8_0")
    says("it was cut", cut, out, "--type", "q8_0")
    says("the same file", f16, tmp_path / "again.gguf", "--type", "q8_0", "--force")
    says("--force replaces it", f16, there, "--type", "q8_0")
    says("is no file", f16, tmp_path, "--type", "q8_0", "--force")
    says("cannot be written: No such file", f16, tmp_path / "none/out.gguf", "--type", "q8_0")
    says("weights of q8_0 already", DEMO, out, "--type", "q4_0")
    assert before == {p.name: (p.stat().st_ino, sha(p)) for p in tmp_path.iterdir() if p.is_file()}


@pytest.fixture
def broken(tmp_path):
    """broken(script) → 'infermesh' with a quantizer that begins to write, and goes on with 'script'."""
    def make(script):
        folder = tmp_path / "bin"
        folder.mkdir()
        shutil.copy2(BUILD / "bin/infermesh", folder / "infermesh")
        tool = folder / "infermesh-inference"
        tool.write_text(f'#!/bin/sh\necho half >"$6"\necho $$ >{tmp_path}/pid\necho "tensor 3 10"\n{script}\n')
        tool.chmod(0o755)
        return folder / "infermesh"
    return make


@pytest.mark.parametrize("script, says", [
    ("kill -ABRT $$", "the quantizer was ended by signal 6 (ABRT)"),
    ("exit 0", "the quantizer failed with status 0"),
    ("echo 'error the disk is full'; exit 1", "the disk is full"),
])
def test_a_quantizer_that_dies_leaves_nothing(tmp_path, broken, script, says):
    out = tmp_path / "out.gguf"
    out.write_bytes(b"mine")
    assert says in quantize(DEMO, out, "--type", "q8_0", "--force", program=broken(script), status=1)
    assert out.read_bytes() == b"mine" and [p.name for p in tmp_path.glob("out*")] == ["out.gguf"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_leaves_nothing(tmp_path, broken, number):
    program = broken("while :; do sleep 1; done")
    p = subprocess.Popen([program, "model", "quantize", DEMO, tmp_path / "out.gguf", "--type", "q8_0"], text=True,
                         stderr=subprocess.PIPE)
    wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("\n"), "it writes")
    p.send_signal(number)
    _, told = p.communicate(timeout=60 * PATIENCE)
    assert p.returncode == 1 and "ended before it was done" in told
    assert not list(tmp_path.glob("out*"))
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_a_file_that_came_meanwhile_is_not_replaced(tmp_path, broken):
    out = tmp_path / "out.gguf"
    program = broken(f"echo mine >{out}\necho 'after 00'")
    assert "came to be meanwhile" in quantize(DEMO, out, "--type", "q8_0", program=program, status=1)
    assert out.read_text() == "mine\n" and [p.name for p in tmp_path.glob("out*")] == ["out.gguf"]

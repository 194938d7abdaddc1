"""Internal services: the REQ/REP door from Python's nng binding, and libinfermesh from a C program."""
import os
import pathlib
import struct
import subprocess
import sys

import pytest

from mesh import BUILD, ROOT

sys.path[:0] = [str(ROOT / ".cache/python"), str(ROOT / "build/proto-python")]
import pynng  # noqa: E402
from infermesh.v1 import inference_pb2, router_pb2  # noqa: E402


@pytest.fixture(scope="module")
def mesh(shared, upstream):
    return shared(workers=[{"name": "w", "backend": "upstream", "url": upstream.url, "models": ["echo", "cut", "tools"]}])


def ask(mesh, request):
    with pynng.Req0(dial=f"ipc://{mesh.run_dir}/door.ipc", send_timeout=10000, recv_timeout=20000) as door:
        door.send(request if isinstance(request, bytes) else request.SerializeToString())
        return router_pb2.GenerateReply.FromString(door.recv())


def question(text, model="echo"):
    return inference_pb2.GenerateRequest(model=model, messages=[inference_pb2.Message(role="user", content=text)])


def test_door_answers(mesh):
    reply = ask(mesh, question("hello from python"))
    assert not reply.HasField("error"), reply
    assert reply.choices[0].content == "hello from python" and reply.choices[0].finish_reason == "stop"
    assert reply.usage.completion_tokens == 3 and len(reply.request_id) == 32 and reply.model == "echo"


def test_door_gives_tool_calls(mesh):
    reply = ask(mesh, question("use them", "tools"))
    assert [(c.id, c.name) for c in reply.choices[0].tool_calls] == [("call_0", "tool_0"), ("call_1", "tool_1")]


def test_door_gives_vectors(mesh):
    request = inference_pb2.GenerateRequest(model="echo", operation="OPERATION_EMBEDDING",
                                            inputs=[inference_pb2.Input(text="a bc"), inference_pb2.Input(tokens=[7, 8, 9])])
    reply = ask(mesh, request)
    assert not reply.HasField("error"), reply
    assert reply.dimensions == 4 and struct.unpack("<8f", reply.choices[0].embedding) == (4, 2, 0, 1, 3, 3, 1, 1)


@pytest.mark.parametrize("request_bytes, reason, word", [
    (question("x", "nonesuch").SerializeToString(), "model_not_found", "nonesuch"),
    (question("x", "cut").SerializeToString(), "upstream_error", "upstream"),
    (b"\xff\xff\xff", "", "malformed"),
    (b"", "", "model"),
])
def test_door_errors_are_replies(mesh, request_bytes, reason, word):
    reply = ask(mesh, request_bytes)
    assert reply.HasField("error") and reply.error.code != 0 and not reply.choices
    assert reply.error.reason == reason and word in reply.error.message.lower(), reply


@pytest.fixture(scope="module")
def example(tmp_path_factory):
    """The C example, built as a user would: against the installed library, found by pkg-config."""
    prefix = tmp_path_factory.mktemp("prefix")
    subprocess.run(["cmake", "--install", BUILD], check=True, capture_output=True, env={**os.environ, "DESTDIR": str(prefix)})
    pc = next(prefix.rglob("infermesh.pc")).parent
    env = {**os.environ, "PKG_CONFIG_PATH": str(pc), "PKG_CONFIG_SYSROOT_DIR": str(prefix)}
    flags = subprocess.run(["pkg-config", "--cflags", "--libs", "infermesh"], check=True, capture_output=True, text=True, env=env)
    program = prefix / "chat"
    subprocess.run(["cc", "-Wall", "-Werror", "-o", program, ROOT / "client/examples/chat.c", *flags.stdout.split()], check=True)
    lib = next(p.parent for p in prefix.rglob("libinfermesh.so*"))
    return program, {**os.environ, "LD_LIBRARY_PATH": str(lib)}


def test_c_example_streams(mesh, example):
    program, env = example
    done = subprocess.run([program, f"ipc://{mesh.run_dir}/router.ipc", "echo", "hello from C"], capture_output=True, text=True,
                          timeout=30, env=env)
    assert done.returncode == 0 and "hello from C" in done.stdout, done


def test_c_example_says_what_is_wrong(mesh, example):
    program, env = example
    done = subprocess.run([program, f"ipc://{mesh.run_dir}/router.ipc", "nonesuch", "hi"], capture_output=True, text=True,
                          timeout=30, env=env)
    assert done.returncode != 0 and "nonesuch" in done.stderr, done
    done = subprocess.run([program, f"ipc://{mesh.run_dir}/nobody.ipc", "echo", "hi"], capture_output=True, text=True,
                          timeout=60, env=env)
    assert done.returncode != 0 and "nobody.ipc" in done.stderr, done


def test_installed_programs_say_their_version(example):
    prefix = next(pathlib.Path(example[0]).parent.rglob("bin"))
    for name in ("infermesh", "infermesh-gateway", "infermesh-router", "infermesh-inference", "infermesh-cache", "infermesh-audit"):
        done = subprocess.run([prefix / name, "--version"], capture_output=True, text=True, timeout=20)
        assert done.returncode == 0 and "0.1.0" in done.stdout, (name, done)

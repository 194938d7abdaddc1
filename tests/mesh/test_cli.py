"""The command line as people meet it: what it says, where, and with which exit status."""
import http.client
import os
import pathlib
import pty
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading

import pytest
import yaml

from mesh import BUILD, PATIENCE, Mesh, Process, wait_for

PROGRAM = BUILD / "bin/infermesh"
COMMANDS = ("up", "status", "chat", "cache stats", "cache purge", "audit verify", "audit open", "audit erase", "audit prune", "key create", "completion", "help")


def run(*args, env=None, **kwargs):
    return subprocess.run([PROGRAM, *args], capture_output=True, text=True, timeout=60 * PATIENCE,
                          env={**os.environ, **(env or {})}, **{"stdin": subprocess.DEVNULL, **kwargs})


@pytest.fixture
def quiet(folder):
    """A mesh that is configured and not started; 'infermesh up' is started with up()."""
    mesh = Mesh(f"{folder}/q", config={"gateway": {}})
    mesh.config_path.write_text(yaml.safe_dump(mesh.config))
    return mesh


@pytest.fixture
def up(quiet):
    """up(*options) → 'infermesh up' when it has said that it is ready; ended by SIGTERM, with status 0."""
    running = []

    def start(*options):
        p = Process("up", [PROGRAM, "up", "--config", quiet.config_path, *options], quiet.folder).start()
        running.append(p)
        wait_for(lambda: "infermesh is ready at" in p.log() or not p.alive(), "the banner")
        assert p.alive(), p.log()
        quiet.key = (quiet.state_dir / "local.key").read_text().strip()
        return p

    yield start
    for p in running:
        assert p.stop() == 0, p.log()[-3000:]


def test_help_explains_each_command():
    overview = run("--help")
    assert overview.returncode == 0 and overview.stderr == ""
    for command in COMMANDS:
        assert re.search(rf"^  {command}  +\S", overview.stdout, re.M), command
        page, same = run(*command.split(), "--help"), run("help", *command.split())
        assert page.returncode == 0 and page.stderr == "", command
        assert page.stdout == same.stdout
        for part in ("NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "EXAMPLES"):
            assert f"\n{part}\n" in "\n" + page.stdout, (command, part)


def test_help_of_a_first_word_lists_its_commands():
    bare, page, same = run("route"), run("route", "--help"), run("help", "route")
    assert (bare.returncode, page.returncode, same.returncode) == (2, 0, 0)
    assert bare.stdout == page.stdout == same.stdout
    for command in COMMANDS:
        assert bool(re.search(rf"^  {command}  +\S", page.stdout, re.M)) == command.startswith("route "), command


@pytest.mark.parametrize("args, says", [
    (["statsu"], "no command 'statsu'; did you mean 'infermesh status'?"),
    (["audit", "verfy"], "no command 'audit verfy'; did you mean 'infermesh audit verify'?"),
    (["help", "nope"], "no command 'nope'; 'infermesh help' lists them"),
    (["xyzzy"], "no command 'xyzzy'; 'infermesh help' lists them"),
    ([""], "no command ''; 'infermesh help' lists them"),
    (["help", "chta"], "did you mean 'infermesh chat'?"),
    (["status", "--jsn"], "no option --jsn; did you mean --json?"),
    (["status", "more"], "unexpected argument 'more'"),
    (["chat", "--model"], "--model needs a value"),
    (["chat", "--temperature", "x", "hi"], "found 'x', allowed: a number from 0 to 2"),
    (["chat", "--max-tokens", "0", "hi"], "found '0', allowed: a whole number from 1"),
    (["completion", "tcsh"], "bash, zsh or fish"),
    (["up", "--config", "/nonexistent"], "/nonexistent: cannot read the configuration: No such file"),
])
def test_a_mistake_is_named_with_its_remedy(args, says):
    done = run(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr and done.stderr.count("\n") == 1


def test_print_config_can_be_read_back(folder):
    printed = run("up", "--print-config")
    assert printed.returncode == 0 and "gateway:" in printed.stdout
    again = pathlib.Path(folder, "again.yaml")
    again.write_text(printed.stdout)
    checked = run("up", "--check", "--config", again)
    assert (checked.returncode, checked.stdout) == (0, f"{again}: ok\n")
    again.write_text("mesh:\n  rundir: /x\n")
    wrong = run("up", "--check", "--config", again)
    assert wrong.returncode == 2 and f'{again}:2: mesh: "rundir" is no key here; did you mean "run_dir"?' in wrong.stderr


def test_check_names_a_file_that_is_not_there(folder):
    path, model = pathlib.Path(folder, "files.yaml"), pathlib.Path(folder, "model.gguf")
    path.write_text(f"workers:\n  - name: a\n    backend: local\n    model_file: {model}\n")
    wrong = run("up", "--check", "--config", path)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert f'{path}:4: workers[].model_file: found "{model}", allowed: a file that can be read (No such file' in wrong.stderr
    model.write_text("GGUF")
    assert run("up", "--check", "--config", path).stdout == f"{path}: ok\n"


def test_completion_is_taken_by_bash():
    script = run("completion", "bash")
    assert script.returncode == 0
    done = subprocess.run(["bash", "--norc", "-c", script.stdout + """
        complete -p infermesh
        COMP_WORDS=(infermesh st); COMP_CWORD=1; COMP_LINE='infermesh st'; COMP_POINT=12; _infermesh
        echo "reply ${COMPREPLY[*]}"
        COMP_WORDS=(infermesh up --print); COMP_CWORD=2; COMP_LINE='infermesh up --print'; COMP_POINT=20; _infermesh
        echo "reply ${COMPREPLY[*]}" """], capture_output=True, text=True, timeout=20)
    assert "complete -F _infermesh infermesh" in done.stdout, done
    assert "reply status" in done.stdout and "reply --print-config" in done.stdout


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_names_every_command_and_option(shell):
    done = run("completion", shell)
    assert done.returncode == 0 and done.stderr == ""
    assert not re.search(r"[^\t\n -~]", done.stdout)
    for command in COMMANDS:
        assert command.split()[-1] in done.stdout
        for option in re.findall(r"^  (?:-\w, |    )--([\w-]+)", run("help", *command.split()).stdout, re.M):
            assert re.search(rf"-l {option}\b" if shell == "fish" else rf"--{option}\b", done.stdout), (command, option)


def test_commands_without_a_mesh_say_how_to_start_it(quiet):
    for args in (["status"], ["chat", "hi"]):
        done = quiet.command(*args)
        assert (done.returncode, done.stdout) == (1, "")
        assert "start the mesh with 'infermesh up'" in done.stderr


def test_up_makes_a_key_and_says_how_to_use_it(quiet, up):
    p = up()
    banner = p.log()
    key_file = quiet.state_dir / "local.key"
    assert key_file.stat().st_mode & 0o777 == 0o600
    assert f"infermesh is ready at {quiet.url}\n" in banner
    assert f"key   {quiet.key} (made for this machine, kept in {key_file})" in banner
    assert f"chat  {PROGRAM} chat --config {quiet.config_path}\n" in banner  # PATH does not find it
    curl = re.search(r"try   (curl .*?\}')\n", banner, re.S).group(1)
    answer = subprocess.run(["bash", "-c", curl], capture_output=True, text=True, timeout=60 * PATIENCE)
    assert '"role":"assistant"' in answer.stdout, answer
    second = quiet.command("up")
    assert second.returncode == 1 and "a mesh is running already" in second.stderr
    assert p.alive() and quiet.gateway_ready()


def test_up_that_cannot_start_ends_with_the_reason(quiet):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", quiet.port))
        taken.listen()
        done = quiet.command("up")
    assert done.returncode == 1 and "is ready" not in done.stdout
    last = done.stderr.rstrip().splitlines()[-1]
    assert last.startswith(f"infermesh up: cannot start gateway: gateway.listen: cannot listen on 127.0.0.1:{quiet.port}")
    assert "choose another port" in last


@pytest.mark.parametrize("sign", ["instance\":\"audit", "instance\":\"gateway", "audit log open", "worker joined"])
def test_up_that_is_stopped_while_it_starts_ends_cleanly(quiet, sign):
    p = Process("up", [PROGRAM, "up", "--config", quiet.config_path], quiet.folder).start()
    wait_for(lambda: sign in p.log(), sign, step=0.001)
    assert p.stop() == 0, p.log()
    assert '"log.level":"error"' not in p.log()
    verified = quiet.command("audit", "verify")
    assert verified.returncode == 0 or "there is no audit log" in verified.stderr, verified


def test_up_restarts_what_dies(quiet, up):
    p = up()

    def child(role):
        found = subprocess.run(["ps", "--ppid", str(p.pid), "-o", "pid=,args="], capture_output=True, text=True).stdout
        return next((int(line.split()[0]) for line in found.splitlines() if f"infermesh-{role}" in line), None)

    for role in ("gateway", "router", "inference", "cache", "audit"):
        before = child(role)
        os.kill(before, signal.SIGKILL)
        wait_for(lambda: child(role) not in (None, before), f"{role} is back")
        wait_for(lambda: quiet.command("chat", "hello").returncode == 0, f"an answer after {role} died", 30, 0.2)
    quiet.settled()
    report = quiet.verify()
    assert report["problems"] == 0 and report["open"] == 0


def terminal(argv, says, then, env=None):
    """Run argv on a terminal; when it has said 'says', send 'then'. (status, everything it said)."""
    said = bytearray()
    pid, fd = pty.fork()
    if pid == 0:
        os.execve(str(argv[0]), [str(a) for a in argv], {**os.environ, "TERM": "xterm", **(env or {})})

    def read():
        try:
            while piece := os.read(fd, 65536):
                said.extend(piece)
        except OSError:
            pass  # the terminal is gone

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for text, keys in zip(says, then):
            wait_for(lambda: text.encode() in said, f"{text!r} after {said[-2000:]!r}")
            os.write(fd, keys.encode())
        end = wait_for(lambda: [e for e in [os.waitpid(pid, os.WNOHANG)] if e[0]], "its end")[0]
    except BaseException:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        raise
    finally:
        reader.join(5)
        os.close(fd)
    return os.waitstatus_to_exitcode(end[1]), said.decode(errors="replace").replace("\r\n", "\n")


def test_up_on_a_terminal_is_for_people(quiet):
    status, said = terminal([PROGRAM, "up", "--config", quiet.config_path], ["stop  Ctrl-C"], ["\x03"], {"NO_COLOR": "1"})
    assert status == 0, said
    assert re.search(r"^\d\d:\d\d:\d\d router +worker joined name=demo backend=local", said, re.M), said
    assert '"@timestamp"' not in said and "\x1b[" not in said


def test_chat_is_a_conversation_on_a_terminal(start):
    mesh = start()
    status, said = terminal(
        [PROGRAM, "chat", "--temperature", "0", "--config", mesh.config_path],
        ["> ", "Everything else", "A new", "model is now nope", "This mesh has: demo", "model is now demo", "how can I help you"],
        ["/help\r", "/new \r", "/model nope\r", "hi\r", "/model demo\r", "Hello\r", "/quit\r"])
    assert status == 0, said


def test_chat_takes_text_from_a_pipe(start):
    mesh = start(single=True)
    once = mesh.command("chat", "--temperature", "0", "-", input="Hello")
    lines = mesh.command("chat", "--temperature", "0", input="Hello\n/model\n/foo\n")
    assert once.returncode == lines.returncode == 0
    assert once.stdout == lines.stdout and len(once.stdout) > 1 and once.stderr == ""
    assert "The model is demo" in lines.stderr and "no command like this" in lines.stderr
    nope = mesh.command("chat", "-m", "nope", "hi")
    assert nope.returncode == 1 and "`nope` does not exist" in nope.stderr and "This mesh has: demo" in nope.stderr


def test_status_names_workers_and_watches(start):
    mesh = start()
    shown = mesh.command("status")
    assert shown.returncode == 0 and re.search(r"^demo +local +ready ", shown.stdout, re.M)
    watch = Process("watch", [PROGRAM, "status", "--watch", "--config", mesh.config_path], mesh.folder).start()
    wait_for(lambda: watch.log().count("WORKER") >= 2, "two tables")
    watch.proc.send_signal(signal.SIGINT)
    assert watch.proc.wait(10 * PATIENCE) == 0


def test_key_create_gives_a_key_that_is_taken(start):
    mesh = start()
    keys = []
    for _ in range(2):
        made = mesh.command("key", "create", "--name", "alice")
        assert made.returncode == 0 and re.fullmatch(r"im-[A-Za-z0-9_-]{43}\n", made.stdout)
        keys.append(made.stdout.strip())
    assert keys[0] != keys[1]
    assert all(key not in (mesh.state_dir / "keys").read_text() for key in keys)
    for key in keys:
        wait_for(lambda: mesh.get("/v1/models", {"Authorization": f"Bearer {key}"})[0] == 200, "the gateway takes the key")
    assert mesh.get("/v1/models", {"Authorization": "Bearer " + "im-" + "a" * 43})[0] == 401
    wrong = mesh.command("key", "create", "--name", "a b")
    assert (wrong.returncode, wrong.stdout) == (1, "") and 'found "a b"' in wrong.stderr


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_audit_verify_tells_what_was_tampered_with(start):
    mesh = start(config={"audit": {"publish_ms": "20ms"}})
    for i in range(3):
        assert mesh.command("chat", f"Hello {i}").returncode == 0
    vkey = mesh.status()["audit"]["vkey"]
    log = mesh.state_dir / "audit"
    mesh.stop()
    good = mesh.command("audit", "verify")
    assert good.returncode == 0 and f"checked against this machine's key, {vkey}" in good.stdout
    assert mesh.command("audit", "verify", "--vkey", vkey).returncode == 0
    elsewhere = mesh.command("audit", "verify", str(log))
    assert elsewhere.returncode == 0 and "signature: not checked" in elsewhere.stdout
    # Of the write-ahead log its first frame (a damaged last one is what a crash leaves); of the checkpoint its signature.
    victims = [(p, p.stat().st_size // 2) for p in log.glob("tile/**/*") if p.is_file()]
    victims += [(p, 150) for p in log.glob("wal/*.wal")] + [(log / "checkpoint", -12)]
    assert len(victims) >= 4
    for path, at in victims:
        whole = path.read_bytes()
        flip(path, at)
        bad = mesh.command("audit", "verify")
        path.write_bytes(whole)
        assert bad.returncode == 1 and "WRONG:" in bad.stdout and "NOT VERIFIED" in bad.stdout, (path, at, bad)
        named = path.name if path.parent.name == "wal" else str(path.relative_to(log))
        assert named in bad.stdout, (path, bad.stdout)
    assert mesh.command("audit", "verify").returncode == 0


def test_audit_verify_refuses_what_is_no_log_or_no_key(start, folder):
    mesh = start()
    empty = pathlib.Path(folder, "empty")
    empty.mkdir()
    none = mesh.command("audit", "verify", str(empty))
    assert none.returncode == 1 and f"there is no audit log in {empty}" in none.stderr
    other = start()
    vkey = other.status()["audit"]["vkey"]
    mesh.stop()  # publishes
    foreign = mesh.command("audit", "verify", "--vkey", vkey)
    assert foreign.returncode == 1 and "there is no signature of" in foreign.stdout
    assert "records:" not in foreign.stdout
    nonsense = mesh.command("audit", "verify", "--vkey", "nonsense")
    assert nonsense.returncode == 2 and "NAME+HASH+KEY" in nonsense.stderr


def certificate(folder):
    cert, key = pathlib.Path(folder, "cert.pem"), pathlib.Path(folder, "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", key, "-out", cert],
                   check=True, capture_output=True)
    key.chmod(0o600)
    return cert, key


def test_https_is_tls_1_3_and_nothing_older(quiet, up, folder):
    cert, key = certificate(folder)
    quiet.config["gateway"].update(tls_cert=str(cert), tls_key=str(key))
    quiet.config_path.write_text(yaml.safe_dump(quiet.config))
    banner = up().log()
    assert f"ready at https://127.0.0.1:{quiet.port}" in banner and f"--cacert '{cert}'" in banner
    context = ssl.create_default_context(cafile=str(cert))
    conn = http.client.HTTPSConnection("127.0.0.1", quiet.port, context=context, timeout=20 * PATIENCE)
    conn.request("GET", "/v1/models", headers={"Authorization": f"Bearer {quiet.key}"})
    assert conn.getresponse().status == 200 and conn.sock.version() == "TLSv1.3"
    conn.close()
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError, match="(?i)protocol"):
        http.client.HTTPSConnection("127.0.0.1", quiet.port, context=context, timeout=20 * PATIENCE).connect()
    with pytest.raises((http.client.HTTPException, OSError)):
        plain = http.client.HTTPConnection("127.0.0.1", quiet.port, timeout=20 * PATIENCE)
        plain.request("GET", "/v1/models")
        plain.getresponse()


def test_https_with_the_wrong_key_does_not_start(quiet, folder):
    cert, key = certificate(folder)
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True, capture_output=True)
    key.chmod(0o600)
    quiet.config["gateway"].update(tls_cert=str(cert), tls_key=str(key))
    quiet.config_path.write_text(yaml.safe_dump(quiet.config))
    done = quiet.command("up")
    assert done.returncode == 1
    assert f"TLS key {key} is not the key of the certificate in {cert}" in done.stderr.rstrip().splitlines()[-1]


def test_an_installed_tree_that_was_moved_finds_its_model(quiet, folder):
    made, moved = pathlib.Path(folder, "made"), pathlib.Path(folder, "moved")
    subprocess.run(["cmake", "--install", BUILD], check=True, capture_output=True, env={**os.environ, "DESTDIR": str(made)})
    shutil.move(next(made.rglob("bin")).parent, moved)
    p = Process("moved", [moved / "bin/infermesh", "up", "--single-process", "--config", quiet.config_path], quiet.folder).start()
    try:
        wait_for(lambda: "infermesh is ready at" in p.log() or not p.alive(), "the banner")
        maps = pathlib.Path(f"/proc/{p.pid}/maps").read_text()
        assert str(moved / "share/infermesh/models/demo-q8_0.gguf") in maps
    finally:
        assert p.stop() == 0, p.log()[-3000:]

"""A real mesh for tests: five daemons, or one process, in a folder of their own, on free ports, stopped by pid.

Tests use it through the fixtures of conftest.py. Nothing here sleeps for luck: it polls a condition with a deadline.
"""
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("INFERMESH_BUILD", ROOT / "build/release"))
# Sanitizers make everything several times slower.
PATIENCE = float(os.environ.get("INFERMESH_PATIENCE", "1"))
DAEMONS = ("audit", "cache", "router", "inference", "gateway")


def wait_for(condition, what, seconds=20.0, step=0.01):
    """Poll until condition() gives something true, and return it."""
    deadline = time.monotonic() + seconds * PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds * PATIENCE:.0f} s in vain: {what}")
        time.sleep(step)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=5):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Process:
    """One daemon: its log is a file, its pid is known, it is reaped."""

    def __init__(self, name, argv, folder, env=None):
        self.name, self.argv, self.log_path = name, [str(a) for a in argv], folder / f"{name}.log"
        self.env = {**os.environ, **(env or {})}
        self.proc = None

    def start(self):
        with open(self.log_path, "ab") as log:
            self.proc = subprocess.Popen(self.argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.env)
        return self

    @property
    def pid(self):
        return self.proc.pid

    def alive(self):
        return self.proc is not None and self.proc.poll() is None

    def kill(self, sig=signal.SIGKILL):
        self.proc.send_signal(sig)
        if sig == signal.SIGKILL:
            self.proc.wait(10)

    def stop(self, seconds=20):
        """SIGTERM and wait; the exit status."""
        if self.alive():
            self.proc.send_signal(signal.SIGTERM)
        try:
            return self.proc.wait(seconds * PATIENCE)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait(10)
            raise AssertionError(f"{self.name} did not stop within {seconds * PATIENCE:.0f} s\n{self.log()[-3000:]}")

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def files(self):
        """What its descriptors are, sorted."""
        folder, found = f"/proc/{self.pid}/fd", []
        for fd in os.listdir(folder):
            try:
                found.append(os.readlink(f"{folder}/{fd}"))
            except FileNotFoundError:
                pass  # closed meanwhile
        return sorted(found)

    def fds(self):
        return len(self.files())

    def rss_kib(self):
        status = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1))


class Mesh:
    """workers: a list of entries of 'workers' in infermesh.yaml; None = the demo model."""

    def __init__(self, folder, workers=None, config=None, single=False):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.single = single
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.key = None
        self.processes = {}
        # Short: a path of a unix socket has at most 107 bytes.
        self.run_dir = self.folder / "r"
        self.state_dir = self.folder / "s"
        self.config = {
            "mesh": {"run_dir": str(self.run_dir), "state_dir": str(self.state_dir), "drain_ms": "5s"},
            "gateway": {"listen": f"127.0.0.1:{self.port}"},
            "router": {"admin": f"unix:{self.admin('router')}"},
            "cache": {"admin": f"unix:{self.admin('cache')}"},
            "audit": {"admin": f"unix:{self.admin('audit')}"},
        }
        self.workers = workers
        if workers is not None:
            self.config["workers"] = [{"admin": f"unix:{self.admin(w['name'])}", **w} for w in workers]
        for section, values in (config or {}).items():
            if isinstance(values, list):
                self.config[section] = values
            else:
                self.config.setdefault(section, {}).update(values)
        self.config_path = self.folder / "infermesh.yaml"

    def admin(self, name):
        return self.folder / f"{name}.http"

    def program(self, name):
        return BUILD / "bin" / name

    def command(self, *args, **kwargs):
        """Run the infermesh command line with this mesh's configuration."""
        return subprocess.run([str(self.program("infermesh")), *args, "--config", str(self.config_path)],
                              capture_output=True, text=True, timeout=60 * PATIENCE, **kwargs)

    def start(self):
        self.config_path.write_text(yaml.safe_dump(self.config))
        made = self.command("key", "create", "--name", "tester", "--tenant", "acme")
        assert made.returncode == 0, made.stderr
        self.key = re.search(r"im-[A-Za-z0-9_-]{43}", made.stdout).group(0)
        if self.single:
            self.processes["infermesh"] = Process("infermesh", [
                self.program("infermesh"), "up", "--single-process", "--config", self.config_path], self.folder).start()
        else:
            for name in ("audit", "cache", "router"):
                self.start_daemon(name)
            for worker in self.worker_names():
                self.start_worker(worker)
            self.start_daemon("gateway")
        self.wait_ready()
        return self

    def worker_names(self):
        return ["demo"] if self.workers is None else [w["name"] for w in self.workers]

    def start_daemon(self, name):
        argv = [self.program(f"infermesh-{name}"), "--config", self.config_path]
        self.processes[name] = Process(name, argv, self.folder).start()

    def start_worker(self, name):
        argv = [self.program("infermesh-inference"), "--config", self.config_path, "--name", name]
        self.processes[name] = Process(name, argv, self.folder).start()

    def wait_ready(self, seconds=30):
        def ready():
            for p in self.processes.values():
                assert p.alive(), f"{p.name} ended with {p.proc.returncode}:\n{p.log()[-3000:]}"
            return self.gateway_ready() and self.workers_ready()
        wait_for(ready, "the mesh is ready", seconds, 0.05)

    def gateway_ready(self):
        try:
            return self.get("/readyz")[0] == 200
        except OSError:
            return False

    def workers_ready(self):
        try:
            status = self.status()
        except AssertionError:
            return False
        states = {w["name"]: w["state"] for w in status["workers"]}
        return status["router"]["audit"] != "unavailable" and all(
            states.get(name) in ("ready", "joining") for name in self.worker_names())

    def get(self, path, headers=None):
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            conn.request("GET", path, headers=headers or {"Authorization": f"Bearer {self.key}"})
            reply = conn.getresponse()
            return reply.status, reply.read().decode()
        finally:
            conn.close()

    def chat(self, body, path="/v1/chat/completions", timeout=60, headers=None):
        """POST; (status, headers, text)."""
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout * PATIENCE)
        try:
            conn.request("POST", path, json.dumps(body) if isinstance(body, (dict, list)) else body,
                         {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json", **(headers or {})})
            reply = conn.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read().decode()
        finally:
            conn.close()

    def metrics(self, name):
        """{series: value} of a daemon's page."""
        if self.single or name == "gateway":
            text = self.get("/metrics")[1]
        else:
            conn = UnixConnection(self.admin(name))
            conn.request("GET", "/metrics")
            text = conn.getresponse().read().decode()
            conn.close()
        return {m.group(1): float(m.group(2)) for m in re.finditer(r"^([^#\s]\S*(?:\{.*\})?) (\S+)$", text, re.M)}

    def status(self):
        done = self.command("status", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def router(self):
        """The router's part of the status."""
        return self.status()["router"]

    def settled(self, seconds=20):
        """Wait until nothing is in flight and every admitted request has its terminal record; the router's status."""
        def quiet():
            try:
                r = self.router()
            except AssertionError:
                return None
            return r if (r["calls"], r["slots"], r["records_pending"]) == (0, 0, 0) and r["admitted"] == r["ended"] else None
        return wait_for(quiet, "slots are 0 and admitted = ended", seconds, 0.05)

    def verify(self):
        """infermesh audit verify; its report."""
        done = self.command("audit", "verify", "--json")
        assert done.returncode == 0, done.stdout + done.stderr
        return json.loads(done.stdout)

    def stop(self):
        """Stop in the order that lets every record land; the exit statuses."""
        order = ["gateway", "router", *self.worker_names(), "cache", "audit", "infermesh"]
        return {name: self.processes[name].stop() for name in order if name in self.processes}

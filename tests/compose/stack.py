"""The stack of deploy/compose as a test sees it: docker-compose, the published port, and what is asked inside."""
import http.client
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/mesh"))

from mesh import free_port, wait_for  # noqa: E402

PROJECT = "imtest"
DAEMONS = ("gateway", "router", "inference", "cache", "audit")


def run(*argv, timeout=120, check=True, **kwargs):
    done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=timeout, **kwargs)
    assert not check or done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


class Stack:
    figures = []  # what was measured, for the end of the run

    def __init__(self):
        self.port = free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="im-compose-")
        config = (ROOT / "deploy/compose/infermesh.yaml").read_text()
        assert "url: https://api.deepseek.com\n" in config
        self.path("infermesh.yaml").write_text(config.replace("https://api.deepseek.com\n", "http://deepseek-api:8000/v1\n"))
        self.env = {**os.environ, "INFERMESH_TEST_CONFIG": str(self.path("infermesh.yaml")),
                    "COMPOSE_PROJECT_NAME": PROJECT, "INFERMESH_TAG": "test", "COMPOSE_IGNORE_ORPHANS": "1",
                    "COMPOSE_FILE": f"{ROOT}/deploy/compose/docker-compose.yml:{ROOT}/tests/compose/slow.yml",
                    "INFERMESH_LISTEN": f"127.0.0.1:{self.port}"}
        self.key = None

    def path(self, name):
        """A file that containers may read."""
        pathlib.Path(self.folder.name).chmod(0o755)
        return pathlib.Path(self.folder.name) / name

    def say(self, *words):
        self.figures.append(" ".join(str(w) for w in words))

    def compose(self, *args, **kwargs):
        return run("docker-compose", *args, env=self.env, cwd=ROOT / "deploy/compose", **kwargs)

    def cli(self, *args, service="cli", check=True):
        return self.compose("run", "--rm", "--no-deps", "-T", service, *args, check=check)

    def make_key(self):
        self.key = re.search(r"im-[A-Za-z0-9_-]{43}", self.cli("key", "create", "--name", "tester", "--tenant", "acme").stdout).group(0)

    def containers(self, service):
        """Their ids, whether they run or not, in the order of their numbers."""
        out = run("docker", "ps", "-aq", "--no-trunc", "--filter", f"label=com.docker.compose.project={PROJECT}", "--filter",
                  f"label=com.docker.compose.service={service}", "--format", '{{.Label "com.docker.compose.container-number"}} {{.ID}}')
        return [line.split()[1] for line in sorted(out.stdout.splitlines(), key=lambda line: int(line.split()[0]))]

    def all(self):
        return run("docker", "ps", "-aq", "--no-trunc", "--filter", f"label=com.docker.compose.project={PROJECT}").stdout.split()

    def inspect(self, *ids):
        return json.loads(run("docker", "inspect", *ids).stdout)

    def wait_healthy(self, seconds=60):
        def healthy():
            states = {c["Name"]: c["State"] for c in self.inspect(*self.all())}
            assert all(s["Running"] or s["Restarting"] for s in states.values()), states
            return all(s.get("Health", {"Status": "healthy"})["Status"] == "healthy" for s in states.values())
        wait_for(healthy, "every container is healthy", seconds, 0.2)

    def get(self, path):
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        try:
            conn.request("GET", path, headers={"Authorization": f"Bearer {self.key}"})
            reply = conn.getresponse()
            return reply.status, reply.read().decode()
        finally:
            conn.close()

    def ask(self, model, content, timeout=60, **more):
        """(status, text, error's code): of a stream the text is what came, and the code that of the event that cut it off."""
        conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        body = {"model": model, "messages": [{"role": "user", "content": content}], **more}
        try:
            conn.request("POST", "/v1/chat/completions", json.dumps(body),
                         {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"})
            reply = conn.getresponse()
            try:
                text = reply.read().decode()
            except http.client.IncompleteRead as cut:  # after the event that tells of the error
                text = cut.partial.decode()
            if reply.status != 200:
                return reply.status, "", json.loads(text)["error"]["code"]
            if not more.get("stream"):
                return 200, json.loads(text)["choices"][0]["message"]["content"], None
            events = [line[6:] for line in text.splitlines() if line.startswith("data: ")]
            parts = [json.loads(e) for e in events if e != "[DONE]"]
            errors = [p["error"]["code"] for p in parts if "error" in p]
            assert bool(errors) == (events[-1] != "[DONE]"), text
            said = "".join(p["choices"][0]["delta"].get("content") or "" for p in parts if p.get("choices"))
            return 200, said, errors[0] if errors else None
        finally:
            conn.close()

    def status(self):
        return json.loads(run("docker", "exec", self.containers("gateway")[0], "infermesh", "status", "--json").stdout)

    def page(self, job):
        """{series: value}, as Prometheus would get them now."""
        if job == "gateway":
            text = self.get("/metrics")[1]
        else:
            port = {"router": 9101, "cache": 9102, "audit": 9103}[job]
            text = self.inside(job, port)
        return {m.group(1): float(m.group(2)) for m in re.finditer(r"^([^#\s]\S*(?:\{.*\})?) (\S+)$", text, re.M)}

    def inside(self, service, port):
        """GET /metrics from within a container: no other way leads to that port."""
        head = r"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        script = f"exec 3<>/dev/tcp/127.0.0.1/{port}; printf '{head}' >&3; cat <&3"
        return run("docker", "exec", self.containers(service)[0], "bash", "-c", script).stdout.partition("\n\n")[2]

    def query(self, expr):
        """[(labels as text, value)] from the Prometheus of the stack."""
        out = run("docker", "exec", self.containers("prometheus")[0], "promtool", "query", "instant", "http://127.0.0.1:9090", expr)
        return [(m.group(1), float(m.group(2))) for m in re.finditer(r"^(.*) => (\S+) @\[", out.stdout, re.M)]

    def down(self):
        run("docker-compose", "down", "-v", "-t", "10", env=self.env, cwd=ROOT / "deploy/compose")

    def logs(self):
        return self.compose("logs", "--no-color", "--tail=60", check=False).stdout

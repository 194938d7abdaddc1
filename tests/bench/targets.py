"""What the benchmarks of serving measure: an instant upstream, reached directly, through other proxies and through meshes, all up at once.

Each has an upstream of its own: ten thousand connections that one of them left behind would be ports that the next one lacks. Client, proxy and upstream share this machine, client and upstream its last core, which the proxy may use too.
"""
import json
import os
import pathlib
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/mesh"))
from mesh import BUILD, Mesh, free_port, wait_for  # noqa: E402

BODY = json.dumps({"model": "instant", "messages": [
    {"role": "system", "content": "You are a helpful assistant of a small shop. " * 8},
    {"role": "user", "content": "Where is my order number %d?"}]})
# Spare: connections to the other daemons, files, and those that are just being closed.
SPARE_FILES = 600
FILES = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
# Clients that one process can serve which has a connection to the upstream for each of them.
CLIENTS_MAX = min((FILES - SPARE_FILES) // 2, 12000)

# nginx hangs up on new clients when a sixteenth of its connections is left: so it has more than it may open files. Buffering is off as it has to be for streams, and one worker process: as many as the single process has.
NGINX = """
daemon off; worker_processes 1; worker_rlimit_nofile {files}; pid {dir}/nginx.pid; error_log {dir}/nginx.err;
events {{ worker_connections 26000; }}
http {{
  access_log off; client_body_temp_path {dir}/b; proxy_temp_path {dir}/p; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
  upstream up {{ server {upstream}; keepalive 1024; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096; keepalive_requests 1000000000; client_max_body_size 64m;
    location / {{
      proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; proxy_request_buffering off;
    }}
  }}
}}
"""
HAPROXY = """
global
  maxconn {clients}
  nbthread 1
defaults
  mode http
  maxconn {clients}
  timeout connect 10s
  timeout client 60s
  timeout server 60s
  http-reuse always
  option http-no-delay
frontend in
  bind 127.0.0.1:{port} backlog 4096
  default_backend up
backend up
  server up {upstream}
"""


def elsewhere(*command):
    """Who is on other machines in earnest shares one core: else the scheduler puts it on the proxy's at times, and that is what is measured."""
    return ["taskset", "-c", str(max(os.sched_getaffinity(0))), *command]


def load(target, seconds, connections, body=BODY, more=(), all_ok=True):
    """What infermesh-load found out, see its --help; with 'all_ok' every request must have succeeded."""
    out = subprocess.run([*elsewhere(str(BUILD / "bench/infermesh-load")), "-c", str(connections), "-t", str(seconds), "-k", target.key or "x",
                          "-p", target.path, "-b", body, *map(str, more), target.address], capture_output=True, text=True, check=True)
    result = json.loads(out.stdout)
    if all_ok and result["ok"] != result["requests"]:
        bad = {what: result[what] for what in ("http_error", "stream_error", "broken", "timeout") if result[what]}
        raise SystemExit(f"{target.name}: of {result['requests']} requests only {result['ok']} succeeded: {bad}, status {result['status']}")
    return result


def new_folder(top):
    """In a part of the disk of its own where the file system knows such a thing: beside thousands of files that were just deleted, as in the
    /tmp of a machine that builds or by an earlier run of this, ext4 without a journal takes ten times as long to make one. The
    part is chosen by the name, so that is a new one each time."""
    subprocess.run(["chattr", "+T", top], stderr=subprocess.DEVNULL, check=False)
    return tempfile.mkdtemp(dir=top)


def children(pid):
    found = [pid]
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            found += children(int(child))
    return found


class Target:
    """Something that answers at 'address', HOST:PORT; 'pids' gives its processes, or none when they are somebody else's."""

    def __init__(self, name, address, key=None, pids=list, path="/v1/chat/completions"):
        self.name, self.address, self.key, self.pids, self.path = name, address, key, pids, path

    @classmethod
    def peer(cls, text):
        """NAME=http://[KEY@]HOST:PORT/v1"""
        name, _, url = text.partition("=")
        at = urllib.parse.urlsplit(url)
        if not name or at.scheme != "http" or not at.hostname or not at.port:
            raise SystemExit(f"bench: --peer {text}: give NAME=http://[KEY@]HOST:PORT/v1, the host as a number")
        return cls(name, f"{at.hostname}:{at.port}", at.username, path=at.path.rstrip("/") + "/chat/completions")

    def cost(self):
        """What its processes have used since they began: µs of CPU and switches of threads; and their RSS now."""
        cpu = switches = rss = 0
        for pid in self.pids():
            proc = pathlib.Path(f"/proc/{pid}")
            fields = (proc / "stat").read_text().rsplit(")", 1)[1].split()
            cpu += (int(fields[11]) + int(fields[12])) * 1_000_000 // os.sysconf("SC_CLK_TCK")
            rss += int(re.search(r"VmRSS:\s+(\d+)", (proc / "status").read_text()).group(1))
            for task in (proc / "task").iterdir():
                try:
                    switches += sum(map(int, re.findall(r"ctxt_switches:\s+(\d+)", (task / "status").read_text())))
                except (FileNotFoundError, ProcessLookupError):
                    pass  # a thread that ended meanwhile
        return {"cpu_us": cpu, "switches": switches, "rss_kib": rss}


class Targets:
    """The upstream and what stands before it; use with 'with'. 'meshes': {name: (single process, audit mode)}; 'relays', which are kept apart: {name:
    how many processes in a row pass bytes on}."""

    def __init__(self, meshes, config=None, haproxy=False, peers=(), listen="127.0.0.1:0", relays=None):
        self.wanted, self.config, self.with_haproxy, self.with_relays = meshes, config or {}, haproxy, relays or {}
        self.peers, self.listen = peers, listen
        self.meshes, self.others, self.upstreams = {}, [], {}  # by name; all that is to be ended; a mesh's upstream
        self.list, self.relays = [], []

    def __enter__(self):
        self.top = tempfile.mkdtemp(prefix="im-bench-")
        self.folder = pathlib.Path(new_folder(self.top))
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        self.list.append(Target("direct", self.upstream(self.listen)))
        self.proxy("nginx", NGINX, "nginx", "-c")
        if self.with_haproxy:
            self.proxy("haproxy", HAPROXY, "haproxy", "-db", "-q", "-f")
        for name, (single, audit) in self.wanted.items():
            workers = [{"name": "w", "backend": "upstream", "url": f"http://{self.upstream()}/v1", "models": ["instant"], "capacity": 65536}]
            config = {"log": {"level": "warn"}, "router": {"audit_mode": audit}, **self.config}
            self.upstreams[name] = self.others[-1]
            mesh = Mesh(self.folder / str(len(self.meshes)), workers=workers, config=config, single=single)
            self.meshes[name] = mesh
            mesh.start()
            self.list.append(Target(name, f"127.0.0.1:{mesh.port}", mesh.key, lambda m=mesh: [p.pid for p in m.processes.values()]))
        self.list += self.peers
        self.relays = [self.relay(name, count) for name, count in self.with_relays.items()]
        for target in self.list + self.relays:
            wait_for(lambda: self.answers(target), f"the first answers of {target.name}", step=0.1)

    def upstream(self, listen="127.0.0.1:0"):
        return self.listening(elsewhere(str(BUILD / "bench/infermesh-upstream"), "-l", listen, "-n", "4"), listen)[0]

    def listening(self, command, listen):
        """The address that it says it listens on, and the process."""
        proc = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.others.append(proc)
        address = proc.stdout.readline().strip()
        if not address:
            raise SystemExit(f"bench: '{' '.join(command)}' cannot listen on {listen}")
        return address, proc

    def relay(self, name, count):
        """So many in a row, over Unix sockets among themselves, and where the scheduler puts them: as the processes of a mesh."""
        address, procs = self.upstream(), []
        for left in reversed(range(count)):
            listen = f"unix:{self.folder}/relay-{count}-{left}" if left else "127.0.0.1:0"
            address, proc = self.listening([str(BUILD / "bench/infermesh-relay"), listen, address], listen)
            procs.append(proc)
        return Target(name, address, pids=lambda: [proc.pid for proc in procs])

    def proxy(self, name, text, *command):
        port = free_port()
        conf = self.folder / f"{name}.conf"
        conf.write_text(text.format(dir=self.folder, upstream=self.upstream(), port=port, files=FILES, clients=CLIENTS_MAX))
        proc = subprocess.Popen([*command, str(conf)], stderr=subprocess.DEVNULL)
        self.others.append(proc)
        self.list.append(Target(name, f"127.0.0.1:{port}", pids=lambda: children(proc.pid)))

    def named(self, name):
        return next(target for target in self.list if target.name == name)

    @staticmethod
    def answers(target):
        try:
            return load(target, 0.2, 4)
        except (subprocess.CalledProcessError, SystemExit):
            return None

    def __exit__(self, *_):
        for mesh in self.meshes.values():
            mesh.stop()
        for proc in reversed(self.others):
            proc.terminate()
            proc.wait(20)
        shutil.rmtree(self.top, ignore_errors=True)

"""Where the time of one request goes: ./dev bench serving --only waterfall. Draws docs/img/waterfall.svg.

One connection sends one request after the other while perf notes when each thread of client, mesh and upstream begins and ends to wait, and when it writes to
the disk. Of all requests in that second the one of median length is shown: a row for each thread, filled while it works. What lies
between the end of one row's work and the beginning of another's is the kernel's: a message on its way, a thread that wakes up.
"""
import json
import pathlib
import re
import shutil
import subprocess
import time

import chart
from targets import BODY, BUILD, Targets, elsewhere

EVENTS = pathlib.Path("/sys/kernel/tracing/events/syscalls")
WAITS = ("epoll_wait", "epoll_pwait", "epoll_pwait2", "futex", "poll", "ppoll", "select", "pselect6", "clock_nanosleep")
DISK = ("fdatasync", "fsync", "pwrite64", "pwritev", "pwritev2")
SENDS, READS = ("sendto", "sendmsg", "write", "writev"), ("recvfrom", "recvmsg", "read", "readv")
LINE = re.compile(r"^\s*(\d+)/(\d+)\s+(\d+\.\d+):\s+syscalls:sys_(enter|exit)_(\w+):")
SECONDS = 1
GLUE_US = 3  # waits that are shorter are none: a lock that was free
ORDER = ("client", "gateway", "router", "cache", "audit", "w", "infermesh", "upstream")
NAMES = {"w": "worker", "infermesh": "the process"}


def events():
    return [f"syscalls:sys_{edge}_{call}" for call in WAITS + DISK + SENDS + READS if (EVENTS / f"sys_enter_{call}").exists() for edge in ("enter", "exit")]


def record(target, pids, folder):
    """[(pid, tid, µs, "enter" or "exit", call)] of a second with one connection, and the client's own p50; 'pids' are {pid: name}, and the client's is added."""
    data = f"{folder}/waterfall.perf"
    client = subprocess.Popen([*elsewhere(str(BUILD / "bench/infermesh-load")), "-c", "1", "-t", str(SECONDS + 2), "-k", target.key, "-p", target.path,
                               "-b", BODY, target.address], stdout=subprocess.PIPE, text=True)
    pids[client.pid] = "client"
    time.sleep(0.7)
    subprocess.run(["perf", "record", "-q", "-o", data, "-p", ",".join(map(str, pids)), *(part for event in events() for part in ("-e", event)), "--", "sleep",
                    str(SECONDS)], check=True, stderr=subprocess.DEVNULL)
    result = json.loads(client.communicate()[0])
    text = subprocess.run(["perf", "script", "--ns", "-i", data, "-F", "pid,tid,time,event"], capture_output=True, text=True, check=True).stdout
    trace = [(int(m[1]), int(m[2]), float(m[3]) * 1e6, m[4], m[5]) for m in map(LINE.match, text.splitlines()) if m]
    return trace, result["latency_us"]["p50"]


def spans(trace):
    """{(pid, tid): [[from, to, "works" or "disk"]]}, in order of time."""
    found, since = {}, {}
    for pid, tid, at, edge, call in trace:
        if call not in WAITS + DISK:
            continue
        row = found.setdefault((pid, tid), [])
        if edge == "enter" and (pid, tid) in since:
            row.append([since[pid, tid], at, "works"])
        if call in DISK and edge == "enter":
            row.append([at, at, "disk"])
        elif call in DISK and row:
            row[-1][1] = at
        if edge == "exit":
            since[pid, tid] = at
    for row in found.values():
        glued = []
        for span in row:
            if glued and glued[-1][2] == span[2] and span[0] - glued[-1][1] < GLUE_US:
                glued[-1][1] = span[1]
            else:
                glued.append(span)
        row[:] = glued
    return found


def requests(trace, client):
    """[(from, to)] of each request: from its being sent to the last byte of its answer."""
    sent, last, found = None, None, []
    for pid, _, at, edge, call in trace:
        if pid != client:
            continue
        if call in SENDS and edge == "enter":
            if sent is not None and last is not None:
                found.append((sent, last))
            sent, last = at, None
        elif call in READS and edge == "exit":
            last = at
    return found


def measure(target, pids, folder):
    """The median request: its length, of how many it is the median, the client's own p50, and [(thread, [[from, to, what]])] with times from its beginning, in µs."""
    trace, p50 = record(target, pids, folder)
    every = sorted(requests(trace, next(pid for pid, name in pids.items() if name == "client")), key=lambda r: r[1] - r[0])
    begin, end = every[len(every) // 2]
    rows = {}
    for (pid, tid), row in spans(trace).items():
        mine = [[max(a, begin) - begin, min(b, end) - begin, what] for a, b, what in row if b > begin and a < end]
        if sum(b - a for a, b, _ in mine) >= 1:
            rows[ORDER.index(pids[pid]), tid != pid, tid] = (label(pids[pid], tid != pid, mine), mine)
    return {"us": end - begin, "p50_us": p50, "requests": len(every), "rows": [row for _, row in sorted(rows.items())]}


def label(process, another, row):
    name = NAMES.get(process, process)
    return name if not another else f"{name}, {'its log' if any(what == 'disk' for _, _, what in row) else 'another thread'}"


def text(found):
    lines = []
    for name, f in found.items():
        lines += [f"\n{name}: a request of {f['us']:.0f} µs, the median of {f['requests']} ({f['p50_us']} µs by the client's own clock, before and while perf looked on)\n"]
        lines += chart.table(["", "works", "waits for the disk", "begins at"],
                             [[row, *(f"{sum(b - a for a, b, what in spans if what == kind):.0f} µs" for kind in ("works", "disk")),
                               ", ".join(f"{a:.0f}" for a, _, _ in spans)] for row, spans in f["rows"]])
    return "\n".join(lines)


def run(meshes, as_json, svg):
    """Measure, print, draw into the file 'svg'; the exit status."""
    if shutil.which("perf") is None or not events():
        raise SystemExit("bench: waterfall needs perf and its tracepoints of system calls (root, and /sys/kernel/tracing mounted)")
    found = {}
    with Targets(meshes) as up:
        for name in meshes:
            pids = {proc.pid: who for who, proc in up.meshes[name].processes.items()}
            pids[up.upstreams[name].pid] = "upstream"
            found[name] = measure(up.named(name), pids, up.folder)
    svg.write_text(chart.waterfall("One request on one connection: what works when, in µs", found))
    print(json.dumps(found) if as_json else text(found))
    return 0

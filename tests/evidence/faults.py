#!/usr/bin/env python3
"""tests/evidence/faults.py BUILD [--every N] - faults of system calls, injected by strace into a real process.

audit-fault-worker keeps a log; a first run under strace lists every call that touches the log's folder, the key file or the
file of subjects' keys. Then, for each of these calls and each fault, the same run again with that one call failing or the
process killed there; afterwards the log is opened without faults and compared with what had been acknowledged. Two runs are
taken apart like this: the very first start, and one that recovers a log and goes on. --every N takes each Nth call only.
Prints one JSON object; ends with 1 if an invariant was broken.
"""
import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

CALLS = ("write", "pwrite64", "fdatasync", "fsync", "rename", "link", "openat", "unlink", "fallocate", "ftruncate", "mkdir")
FAULTS = {"EIO": "error=EIO", "ENOSPC": "error=ENOSPC", "EINTR": "error=EINTR", "SIGKILL": "signal=SIGKILL"}
RUNS = {"first start": (0, 8), "recovery": (8, 16)}  # frames from, to
KINDS = ("lost", "duplicated", "inconsistent")


class Faults:
    def __init__(self, build, home):
        self.worker, self.home = build / "evidence/audit-fault-worker", home

    def run(self, folder, *args, strace=(), acks=None):
        """The worker on 'folder'. Built with sanitizers it must not look for leaks below strace: it would trace itself."""
        env = {**os.environ, "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"} if strace else None
        return subprocess.run([*strace, self.worker, folder, *map(str, args)], input=acks, capture_output=True, text=True,
                              env=env)

    def start(self, name, folder):
        """The folder as the run finds it, and what was acknowledged before."""
        if name == "first start":
            folder.mkdir()
            return ""
        kept = self.home / "kept"
        if not kept.exists():
            kept.mkdir()
            self.acks = self.run(kept, 0, 8).stdout
        shutil.copytree(kept, folder)
        return self.acks

    def sites(self, name):
        """(call, its number, file) of each call that touches the folder, in a run without faults."""
        folder = self.home / "sites"
        self.start(name, folder)
        trace = self.home / "trace"
        done = self.run(folder, *RUNS[name], strace=["strace", "-y", "-o", trace, "-e", "trace=" + ",".join(CALLS)])
        assert done.returncode == 0, done.stderr
        numbers, found = collections.Counter(), []
        for line in trace.read_text().splitlines():
            call = re.match(r"(\w+)\(", line)
            if not call:
                continue
            numbers[call[1]] += 1
            path = re.search(re.escape(str(folder)) + r"(/[\w./-]*)?", line)
            if path:
                found.append((call[1], numbers[call[1]], path[1] or "/"))
        shutil.rmtree(folder)
        return found

    def inject(self, name, number, site, fault):
        """One run with one fault. Returns how it ended, and what is wrong afterwards."""
        call, at, path = site
        folder = self.home / f"run{number}"
        acks = self.start(name, folder)
        spec = f"inject={call}:{FAULTS[fault]}:when={at}"
        done = self.run(folder, *RUNS[name], strace=["strace", "-o", "/dev/null", "-e", "trace=" + call, "-e", spec])
        said = self.run(folder, "check", RUNS[name][1], acks=acks + done.stdout)
        shutil.rmtree(folder)
        wrong = [] if said.returncode == 0 else [f"{name}, {fault} at {call} {at} ({path}): {line}" for line in
                                                 said.stderr.splitlines() or [f"the check ended with {said.returncode}"]]
        if said.returncode not in (0, 1):
            wrong = [w.replace("): ", "): false alarm: ") for w in wrong]
        end = {0: "went on", 3: "did not start", 4: "gave up"}.get(done.returncode, "ended")
        if fault == "SIGKILL" and done.returncode == 0:
            wrong.append(f"{name}, {call} {at}: the kill did not come")
        return end, wrong


def main():
    args = argparse.ArgumentParser()
    args.add_argument("build", type=pathlib.Path)
    args.add_argument("--every", type=int, default=1)
    args = args.parse_args()
    began, ends, broken, by_call, sites, runs = time.monotonic(), collections.Counter(), [], collections.Counter(), 0, 0
    home = pathlib.Path(tempfile.mkdtemp(prefix="im-faults-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None))
    try:
        faults, jobs = Faults(args.build.resolve(), home), []
        for name in RUNS:
            found = faults.sites(name)[:: args.every]
            sites += len(found)
            by_call.update(site[0] for site in found)
            jobs += [(name, site, fault) for site in found for fault in FAULTS]
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            for end, wrong in pool.map(lambda job: faults.inject(job[1][0], job[0], *job[1][1:]), enumerate(jobs)):
                ends[end] += 1
                broken += wrong
                runs += 1
    finally:
        shutil.rmtree(home)
    for line in broken[:10]:
        print(line, file=sys.stderr)
    counts = {kind: sum(f"BROKEN: {kind}" in line for line in broken) for kind in KINDS}
    counts["false_alarms"] = sum("false alarm" in line for line in broken)
    print(json.dumps({"sites": sites, "faults": len(FAULTS), "runs": runs, "by_call": by_call, "ends": ends, **counts,
                      "broken": len(broken), "seconds": round(time.monotonic() - began, 1)}))
    return 1 if broken or not runs else 0


if __name__ == "__main__":
    sys.exit(main())

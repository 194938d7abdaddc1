#!/usr/bin/env python3
"""Serving, measured against nginx and haproxy as reverse proxies and against no proxy, in interleaved rounds of one run.

Alike upstreams, instant, and one load generator for all. Client, proxy and upstream share this machine, client and upstream its last
core, which the proxy may use too. What counts are ratios; absolute figures only show the machine. See docs/performance.md.
"""
import argparse
import dataclasses
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import serving_floor
import serving_million
import serving_report
import serving_waterfall
import serving_workers
import syscalls
from targets import BODY, CLIENTS_MAX, FILES, ROOT, SPARE_FILES, Target, Targets, load

MESHES = {"single, audit off": (True, "off"), "single, fail-closed": (True, "fail-closed"), "five processes": (False, "fail-closed")}
LOGGED = [name for name, (_, audit) in MESHES.items() if audit != "off"]
KINDS = ("closed", "open", "stream", "slow", "cached", "large", "floor", "workers")
SHARES = (0.25, 0.5, 0.8)
STREAMS = 10000
PACE_MS, SLOW_MS = 10, 200
PACED_TIMES = 4  # a stream takes half of the usual time, so that alone has few first chunks: their p99 would be the last of all
SETTLE_S = 3  # daemons give back what only their start needed


@dataclasses.dataclass
class Case:
    kind: str
    name: str
    connections: int
    body: str = BODY
    more: tuple = ()
    once: bool = False  # not in every round
    times: int = 1  # as long as others


def streamed(tokens, delay_ms):
    asked = json.loads(BODY)
    asked["messages"][1]["content"] += f" tokens-{tokens} delay-{delay_ms}"
    return json.dumps({**asked, "stream": True}, separators=(",", ":"))


def long_body(size):
    return ("-z", size), json.dumps({"model": "instant", "messages": [{"role": "user", "content": "Read this, %d: %z"}]})


def cases(args):
    """All but the open loop, whose rates come of the closed one."""
    yield from (Case("closed", f"{n:,} connection{'s' * (n > 1)}", n) for n in (1, 64, 512, 1000))
    yield Case("stream", "64 streams of 64 chunks, at once", 64, streamed(64, 0))
    yield Case("stream", f"64 streams of 64 chunks, one each {PACE_MS} ms", 64, streamed(64, PACE_MS),
               times=1 if args.quick else PACED_TIMES)
    n, tokens = args.streams, 10 if args.quick else 25
    yield Case("slow", f"{n:,} streams of 5 tokens a second", n, streamed(tokens, SLOW_MS), ("-n", n, "-r", n / (1 if args.quick else 4), "-w", 120000), True)
    asked = {**json.loads(BODY.replace("%d", "1")), "temperature": 0}
    yield Case("cached", "64 connections, one question", 64, json.dumps(asked))
    for size, name, connections in ((100_000, "prompts of 100 KB, 16 connections", 16), (5_000_000, "bodies of 5 MB, 4 connections", 4)):
        more, body = long_body(size)
        yield Case("large", name, connections, body, more)
    yield Case("floor", "floor: 1 connection", 1)
    yield Case("floor", "floor: 64 connections", 64)
    yield Case("floor", f"floor: 64 streams of 64 chunks, one each {PACE_MS} ms", 64, streamed(64, PACE_MS))


class Watch:
    """The highest RSS of a target while something runs."""

    def __init__(self, target, every_s):
        self.target, self.every_s, self.over, self.peak = target, every_s, threading.Event(), 0
        self.thread = threading.Thread(target=self.look)

    def look(self):
        while not self.over.wait(self.every_s):
            self.peak = max(self.peak, self.target.cost()["rss_kib"])

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()


def measure(target, case, seconds):
    before = target.cost()
    with Watch(target, 0.25 if case.kind == "slow" else 3600) as watch:  # looking costs CPU
        result = load(target, seconds, case.connections, case.body, case.more)
    after = target.cost()
    n = max(1, result["requests"])
    return {"per_second": result["per_second"], "chunks_per_second": result["chunks_per_second"], "seconds": result["seconds"],
            **{f"{name}_{q}_us": result[f"{name}_us"][q] for name in ("latency", "first_byte", "gap") for q in ("p50", "p99", "max")},
            "cpu_us": (after["cpu_us"] - before["cpu_us"]) / n, "switches": (after["switches"] - before["switches"]) / n,
            "rss_kib": max(watch.peak, after["rss_kib"]), "rss_before_kib": before["rss_kib"]}


def middle(results):
    return {what: statistics.median(r[what] for r in results) for what in results[0]}


def rounds(args, targets, kind, todo, failed, say):
    """[{kind, name, rows: {target: the medians}}]; a target that failed a case has no row in it."""
    found = {case.name: {t.name: [] for t in targets} for case in todo}
    seconds = args.seconds if kind != "floor" else max(0.4, args.seconds / 2)  # enough for what does so little
    for i in range(args.rounds):
        say(f"{kind}, round {i + 1} of {args.rounds}")
        for case in todo:
            for target in targets if i % 2 == 0 else reversed(targets):
                if (case.once and i > 0) or (case.name, target.name) in failed:
                    continue
                try:
                    found[case.name][target.name].append(measure(target, case, seconds * case.times))
                except (SystemExit, subprocess.CalledProcessError) as why:
                    failed[case.name, target.name] = str(why)
    return [{"kind": kind, "name": case.name, "connections": case.connections,
             "rows": {t.name: middle(found[case.name][t.name]) for t in targets if found[case.name][t.name] and (case.name, t.name) not in failed}}
            for case in todo]


def open_cases(args, targets, closed):
    """Rates that every target can keep, as shares of what the slowest reached in a closed loop."""
    if closed is None:
        slowest = min(load(t, args.seconds, 64)["per_second"] for t in targets)
    else:
        slowest = min(row["per_second"] for row in closed["rows"].values())
    return [Case("open", f"{share * slowest:.0f} requests a second ({share:g} of the slowest)", 512, BODY, ("-r", share * slowest)) for share in SHARES]


def calls_per_request(how, targets, folder, seconds):
    """{target: system calls a request at 64 connections}"""
    found = {}
    for target in targets:
        done = []
        if target.pids():
            calls = syscalls.count(how, target.pids(), folder, lambda: done.append(load(target, seconds, 64)))
            if calls is not None:
                found[target.name] = calls / done[0]["requests"]
    return found


def sync_us(folder):
    """The median time of an fdatasync behind a record, where the logs are."""
    took = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(101):
            file.write(bytes(512))
            file.flush()
            begun = time.perf_counter()
            os.fdatasync(file.fileno())
            took.append(time.perf_counter() - begun)
    return statistics.median(took) * 1e6


def serve(args, failed, say):
    """All but the case 'workers', against targets that are all up at once: what the report has of them."""
    results, steps, notes = [], {}, []
    relays = serving_floor.RELAYS if "floor" in args.only else {}
    with Targets(MESHES, {"cache": {"ttl_ms": "1h"}}, haproxy=True, peers=args.peers, listen=args.upstream, relays=relays) as up:
        time.sleep(SETTLE_S)
        idle = {t.name: t.cost()["rss_kib"] for t in up.list}
        five = up.meshes["five processes"].processes
        core = {"idle": sum(p.rss_kib() for name, p in five.items() if name != "w")}
        todo = list(cases(args))
        for kind in KINDS:
            if kind not in args.only or kind == "workers":
                continue
            mine = [case for case in todo if case.kind == kind]
            if kind == "open":
                mine = open_cases(args, up.list, next((r for r in results if (r["kind"], r["connections"]) == ("closed", 64)), None))
            against = up.list if kind != "floor" else [up.named("direct"), up.named("nginx"), *up.relays]
            results += rounds(args, against, kind, mine, failed, say)
            if kind == "closed":
                core["64 connections"] = sum(p.rss_kib() for name, p in five.items() if name != "w")
            if kind == "floor":
                steps = serving_floor.steps(up.folder)
        say("system calls, and the disk")
        how, calls = syscalls.tool() if "closed" in args.only else None, {}
        if how is not None:
            calls = calls_per_request(how, up.list, up.folder, args.seconds)
        elif "closed" in args.only:
            notes.append("system calls were not counted: neither perf with its tracepoints nor strace is there")
        return {"cases": results, "syscalls": calls, "syscalls_by": how, "idle_rss_kib": idle, "mesh_rss_kib": core, "steps": steps,
                "fdatasync_us": sync_us(up.folder), "notes": notes}


def run(args):
    failed, workers, begun = {}, [], time.monotonic()

    def say(what):
        print(f"bench: {time.monotonic() - begun:3.0f} s: {what}", file=sys.stderr, flush=True)

    found = {"cases": [], "syscalls": {}, "idle_rss_kib": {}, "mesh_rss_kib": {}, "steps": {}, "notes": []}
    if args.only != ["workers"]:
        say("the targets start")
        found = serve(args, failed, say)
    if "workers" in args.only:
        say("workers")
        try:
            workers = serving_workers.run(args.rounds, args.seconds)
        except (AssertionError, SystemExit, subprocess.CalledProcessError) as why:
            failed["workers", "a mesh"] = str(why)
    say("done")
    notes = args.notes + found.pop("notes") + [f"{target} failed '{case}': {why}" for (case, target), why in failed.items()]
    return {"machine": f"{os.cpu_count()} processors, {platform.machine()}, kernel {platform.release()}", "load_before": args.load_before,
            "rounds": args.rounds, "seconds": args.seconds, "quick": args.quick, **found, "workers": workers, "streams": args.streams,
            "pace_us": PACE_MS * 1000, "notes": notes}


def main():
    args = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0], epilog="examples: ./dev bench serving --quick --only closed,cached; "
                                   "./dev bench serving --upstream 127.0.0.1:9000 --peer other=http://KEY@127.0.0.1:4000/v1, where the other gateway "
                                   "serves the model 'instant' from http://127.0.0.1:9000/v1")
    args.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    args.add_argument("--docs", action="store_true", help="write the figures into docs/performance.md and docs/img/serving.svg as well")
    args.add_argument("--quick", action="store_true", help="a short look: one round, short, and 1,000 slow streams")
    args.add_argument("--only", default=",".join(KINDS), help="some of " + ", ".join(KINDS) + ", with commas; or alone: million (memory over so many requests, some minutes), waterfall (a picture of one request)")
    args.add_argument("--rounds", type=int, help="interleaved (3)")
    args.add_argument("--seconds", type=float, help="of each measurement (1.3)")
    args.add_argument("--peer", action="append", default=[], metavar="NAME=URL", help="another gateway that runs already: http://[KEY@]HOST:PORT/v1")
    args.add_argument("--upstream", default="127.0.0.1:0", metavar="HOST:PORT", help="where the upstream listens, for a peer to find it")
    args = args.parse_args()
    args.only = args.only.split(",")
    if args.only == ["million"]:
        return serving_million.run({name: MESHES[name] for name in LOGGED}, args.json)
    if args.only == ["waterfall"]:
        return serving_waterfall.run({name: MESHES[name] for name in LOGGED}, args.json, ROOT / "docs/img/waterfall.svg")
    if set(args.only) - set(KINDS):
        raise SystemExit(f"bench: --only knows {', '.join(KINDS)}")
    if args.docs and set(args.only) != set(KINDS):
        raise SystemExit("bench: --docs writes all figures anew, so it goes without --only")
    args.rounds = args.rounds or (1 if args.quick else 3)
    args.seconds = args.seconds or (0.4 if args.quick else 1.3)
    args.peers = [Target.peer(text) for text in args.peer]
    wanted = 1000 if args.quick else STREAMS
    args.streams = min(wanted, CLIENTS_MAX // 100 * 100)
    args.notes = [] if args.streams == wanted or "slow" not in args.only else [
        f"{wanted:,} slow streams need {2 * wanted + SPARE_FILES:,} open files in one process; here the hard limit (ulimit -Hn) is {FILES:,}, "
        f"so {args.streams:,} were measured"]
    args.load_before = os.getloadavg()
    report = run(args)
    print(json.dumps(report) if args.json else serving_report.text(report))
    if args.docs:
        serving_report.write_docs(report, ROOT / "docs")
    return 1 if any(" failed '" in note for note in report["notes"]) else 0


if __name__ == "__main__":
    sys.exit(main())

#!/usr/bin/env python3
"""tests/evidence/run.py BUILD [--percent N] [--seed N] [--only NAME...] [--disk DIR] [-o FILE] - the evidence that the audit log
loses nothing and that no change of it goes unnoticed: runs every program of this folder at full length, checks their invariants,
and writes the figures as a page.

--percent: so much of everything. With that and with --only, some chapters, the page is printed and not written. --disk: the folder whose disk is measured.
Ends with 1 if an invariant was broken; a speed that was missed is written down and no failure, for it is the machine's too.
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import platform
import random
import re
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
INVARIANTS = {"lost": "acknowledged records lost", "duplicated": "duplicated records",
              "inconsistent": "checkpoints that the log does not continue, and problems found by verification",
              "false_alarms": "refusals to start, and warnings, without a reason"}


class Run:
    def __init__(self, args):
        self.build, self.seed, self.disk, self.percent, self.failed = args.build.resolve(), args.seed, args.disk, args.percent, []

    def count(self, n):
        return max(n * self.percent // 100, 10)

    def call(self, *argv, status=(0,)):
        done = subprocess.run([str(a) for a in argv], capture_output=True, text=True, cwd=ROOT)
        if done.returncode not in status:
            self.failed.append(f"{pathlib.Path(str(argv[0])).name} ended with {done.returncode}")
            print(done.stdout + done.stderr, file=sys.stderr)
        return done.stdout

    def program(self, name, *argv, **kwargs):
        """What a program of this folder says, a JSON object."""
        said = self.call(self.build / "evidence" / name, *argv, **kwargs)
        return json.loads(said.splitlines()[-1])


def number(n):
    return f"{n:,}" if isinstance(n, int) else f"{n:,.1f}"


def table(head, rows):
    return "\n".join(["| " + " | ".join(head) + " |", "|" + "---|" * len(head)] +
                     ["| " + " | ".join(map(str, row)) + " |" for row in rows]) + "\n"


def invariants(*results):
    return table(["invariant", "breaches"], [[text, number(sum(r[key] for r in results))] for key, text in INVARIANTS.items()])


def tamper(run):
    r = run.program("audit-tamper", "--count", run.count(100_000), "--seed", run.seed)
    rows = [[kind.replace("_", " "), number(tried), number(found)] for kind, (found, tried) in r["by_kind"].items()]
    rows.append(["**all**", f"**{number(r['mutations'])}**", f"**{number(r['detected'])}**"])
    return (f"`audit-tamper --count {r['mutations']} --seed {r['seed']}`, {r['seconds']:.0f} s: a log of {r['records']} records in "
            f"{r['files']} files, and 64 proof files. A change counts as detected if verification reports it and names the file or "
            "record; rolled back and forked logs, which whoever has the key can sign, are compared with one checkpoint that was kept "
            "outside.\n\n" + table(["change", "tried", "detected"], rows))


def faults(run):
    said = run.call(sys.executable, ROOT / "tests/evidence/faults.py", run.build, "--every", min(max(100 // run.percent, 1), 12))
    r = json.loads(said.splitlines()[-1])
    calls = ", ".join(f"{call} {n}" for call, n in sorted(r["by_call"].items()))
    ends = ", ".join(f"{end} {n}" for end, n in sorted(r["ends"].items()))
    return (f"`faults.py`, {r['seconds']:.0f} s: {r['sites']} calls that touch the log's folder or its keys, at a first start and at a "
            f"recovery ({calls}), times EIO, ENOSPC, EINTR and SIGKILL, injected by strace: **{r['runs']} runs**. The process {ends}; "
            "afterwards the log is opened without faults and everything is sent again.\n\n" + invariants(r))


def power(run):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        r = list(pool.map(lambda seed: run.program("audit-power", "--count", run.count(50_000), "--seed", seed),
                          (run.seed, run.seed + 1)))

    def both(key):
        return number(sum(x[key] for x in r))
    return (f"`audit-power --count {r[0]['states']} --seed {r[0]['seed']}` and `--seed {r[1]['seed']}`, {max(x['seconds'] for x in r):.0f} s: "
            f"**{both('states')} different disks** after power cuts behind {both('cuts')} calls in {both('lives')} lives: every prefix, "
            "random selections and 512 B and 4 KiB tears of what was not synced, names reordered between syncs of their folder. Each is "
            f"verified, recovered and verified again; {both('torn_tails')} had a torn frame.\n\n" + invariants(*r))


def kill(run):
    r = run.program("audit-kill", "--count", run.count(1000), "--seed", run.seed)
    return (f"`audit-kill --count {r['kills']} --seed {r['seed']}`, {r['seconds']:.0f} s: **{number(r['kills'])} SIGKILLs** of the real "
            f"daemon under load over its link, {r['while_starting']} of them while it started; {number(r['acknowledged'])} acknowledged "
            f"records in a ledger that the client kept, {number(r['sent_again'])} calls sent again, {number(r['checkpoints'])} checkpoints. "
            f"From its start to its first answer: {r['start_ms_mean']} ms on average, {r['start_ms_max']} ms at most.\n\n" + invariants(r))


def recovery(run):
    r = run.program("audit-recovery", "--count", 50, "--dir", run.disk)
    rows = [[name, f"{f['wal_bytes'] / f['records']:.0f} B", number(f["records"]), f"{f['seconds']} s", f"**{f['seconds_per_gib']}**",
             f["cpu_per_gib"], f["hash_per_gib"], f["copy_per_gib"]]
            for name, f in (("as a mesh writes them", r["mesh"]), ("the smallest", r["small"]))]
    return (f"`audit-recovery`: nothing of {number(r['mesh']['wal_bytes'])} bytes of write-ahead log was published, about the most that can "
            "be. Each record is read, checked, hashed by all cores, and meanwhile copied. Wanted: 1 s/GiB. Beside it, on the same bytes: SHA-256 of the "
            "same leaves and nodes and nothing else, one after the other on one core, and a loop that reads the file, writes it elsewhere and syncs that. The "
            "best of 7 turns.\n\n" +
            table(["records", "each", "number", "a start", "s/GiB", "CPU s/GiB, all cores", "SHA-256 alone", "copy alone"], rows))


def verify(run):
    said = run.call(run.build / "bench/verify_bench", *([50_000] if run.percent < 10 else []))
    rows = [[number(int(n)), number(int(rate)), f"+{kib} KiB"] for n, rate, kib in
            re.findall(r"(\d+) records, +(\d+) records/s a core.*memory \+(\d+) KiB", said)]
    return "`verify_bench`, the log in memory (wanted: 500,000 records/s a core, memory that does not grow).\n\n" + table(
        ["records", "records/s a core", "memory"], rows)


def privacy(run):
    said = run.call(run.build / "tests/audit_lifecycle_test")
    tried, plain, of, found, _ = re.search(
        r"(\d+) prompts tried: (\d+) of (\d+) plain hashes found, (\d+) of (\d+) commitments", said).groups()
    return (f"`audit_lifecycle_test`: whoever has the log and a dictionary of {number(int(tried))} short prompts that holds all that was "
            f"said finds {plain} of {of} prompts from plain hashes, and {found} of {of} from our commitments. After an erasure no "
            "record of the subject opens, its key is not in the file, and every proof still verifies.\n")


def bench(run):
    said = run.call(run.build / "bench/audit_bench", "--json", "--dir", run.disk, "--rounds", 5 if run.percent == 100 else 1, status=(0, 1))
    r = json.loads(said.splitlines()[-1])
    ratio = r["ack_p99_ms"] / r["sync_p99_ms"]
    rows = [[f"records/s, {r['batch']} in a call", number(int(r["batched_records_per_s"])), "100,000",
             f"SQLite {number(int(r['sqlite_batched_per_s']))}"],
            ["records/s, one in a call", number(int(r["single_records_per_s"])), "20,000",
             f"SQLite {number(int(r['sqlite_single_per_s']))}"],
            ["acknowledged at 1,000/s, p50", f"{r['ack_p50_ms']} ms", "", f"bare fdatasync {r['sync_p50_ms']} ms"],
            ["acknowledged at 1,000/s, p99", f"{r['ack_p99_ms']} ms", f"3 × {r['sync_p99_ms']} ms",
             f"bare fdatasync {r['sync_p99_ms']} ms: {ratio:.2f} ×"],
            ["the same, in the worst second", f"{r['ack_worst_p99_ms']} ms", "",
             f"bare fdatasync {r['sync_worst_p99_ms']} ms, in its own worst"]]
    return (f"`./dev bench audit`, {r['rounds']} rounds in turns, medians; {r['clients']} clients over the daemon's link; SQLite with WAL and "
            "synchronous=FULL on the same disk.\n\n" + table(["", "measured", "wanted", "beside it"], rows) +
            f"\n{number(r['refused'])} calls were refused. A bare loop writes and syncs as many bytes as a batch has "
            f"{number(r['syncs_per_s'])} times a second. A record takes {r['disk_bytes_a_record']} bytes of disk once it is published; the "
            f"daemon's RSS was {number(r['rss_first_kib'])} KiB at rest after the first round, {number(r['rss_last_kib'])} KiB after the last, and "
            f"never more than {number(r['rss_most_kib'])} KiB.\n")


CHAPTERS = {"tamper": ("Tampering", tamper), "faults": ("Faults of system calls", faults), "power": ("Power cuts", power),
            "kill": ("Kills under load", kill), "recovery": ("Recovery", recovery), "verify": ("Verification", verify),
            "privacy": ("Privacy", privacy), "bench": ("Speed", bench)}


def machine(run):
    mount = subprocess.run(["findmnt", "-n", "-o", "FSTYPE,OPTIONS", "-T", run.disk], capture_output=True, text=True).stdout.split()
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, cwd=ROOT).stdout.strip()
    return table(["", ""], [["seed", run.seed], ["commit", commit or "unknown"], ["kernel", platform.release()],
                            ["processors", f"{os.cpu_count()} × {cpu[1] if cpu else platform.machine()}"],
                            ["disk", f"{mount[0]} ({mount[1]})" if mount else "unknown"],
                            ["crashes and tampering", "in memory (tmpfs): these programs model the disk or do not need it"],
                            ["load of the machine", ", ".join(f"{x:.1f}" for x in os.getloadavg()) + " when it was begun"]])


def main():
    args = argparse.ArgumentParser()
    args.add_argument("build", type=pathlib.Path)
    args.add_argument("--percent", type=int, choices=range(1, 101), metavar="N", default=100)
    args.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    args.add_argument("--only", nargs="+", choices=CHAPTERS, default=None)
    args.add_argument("--disk", default="/var/tmp")
    args.add_argument("-o", "--output", type=pathlib.Path, default=ROOT / "docs/audit-evidence.md")
    args = args.parse_args()
    run, began = Run(args), time.monotonic()
    parts = ["# Evidence for the audit log\n", "Written by `./dev evidence` (tests/evidence); `./dev test` runs a short version of "
             "each. What is promised stands in [audit-log.md](audit-log.md).\n", machine(run)]
    for name in args.only or CHAPTERS:
        title, chapter = CHAPTERS[name]
        print(f"== {title}", file=sys.stderr, flush=True)
        parts.append(f"## {title}\n\n{chapter(run)}")
    parts.append(f"{time.monotonic() - began:.0f} s in all. " +
                 ("**BROKEN: " + "; ".join(run.failed) + "**" if run.failed else "No invariant was broken.") + "\n")
    page = "\n".join(parts)
    if args.only or args.percent < 100:
        print(page)
    else:
        args.output.write_text(page)
        print(f"wrote {args.output}", file=sys.stderr)
    return 1 if run.failed else 0


if __name__ == "__main__":
    sys.exit(main())

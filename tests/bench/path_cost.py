#!/usr/bin/env python3
"""Instructions that the hot paths of a request take (path_cost.c), counted under callgrind: the same on every run, whatever else the machine does.

Bounds are in path_cost.bounds; path_cost_test.py holds the paths to them. Where a change is meant to cost more, or costs less, make them anew:

    ./dev build && tests/bench/path_cost.py --renew
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("INFERMESH_BUILD", ROOT / "build/release"))
BOUNDS = pathlib.Path(__file__).with_name("path_cost.bounds")
PATHS = {"parse": "an HTTP request and its JSON", "encode": "a request's and an answer's frames, and the answer's JSON",
         "route": "a worker among 1,000", "hit": "a cached answer: key, lookup, unpacking", "record": "two audit records with their commitments"}
ALLOWED = 1.10  # of what was measured
TIMES = 300
# What libc and libcrypto choose by processor is chosen as on the simplest one.
PLAIN = {"GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-AVX512F,-AVX512VL,-BMI2,-ERMS,-FSRM,-RTM,-MOVBE", "OPENSSL_ia32cap": "~0x1000080000000000:0"}


def count(path, build=BUILD):
    """(instructions of one step, the five functions that take most of them as text)"""
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/out"
        done = subprocess.run(["valgrind", "--tool=callgrind", "--toggle-collect=path_counted", f"--callgrind-out-file={out}",
                               str(build / "bench/path_cost"), path, str(TIMES)], env={**os.environ, **PLAIN}, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"path_cost {path}: exit status {done.returncode}\n{done.stderr}")
        total = int(re.search(r"^(?:summary|totals): (\d+)", pathlib.Path(out).read_text(), re.M).group(1))
        by = subprocess.run(["callgrind_annotate", out], capture_output=True, text=True, check=True).stdout
    # Lines such as: 123,456 (12.3%)  FILE:FUNCTION [OBJECT]
    most = re.findall(r"^ *([\d,]+) \( ?[\d.]+%\)  \S*?:(\S+)", by, re.M)
    return total // TIMES, ", ".join(f"{name} {int(n.replace(',', '')) // TIMES:,}" for n, name in most[:5])


def bounds():
    lines = (line.split("#")[0].split() for line in BOUNDS.read_text().splitlines())
    return {path: int(bound) for path, bound in filter(None, lines)}


def complaint(path, taken, bound, most):
    """Why 'taken' is too much for 'path', or None."""
    if taken <= bound:
        return None
    was = bound / ALLOWED
    return (f"path '{path}' ({PATHS[path]}) takes {taken:,} instructions: {100 * (taken / was - 1):.1f} % more than the {was:,.0f} when its bound was made, "
            f"{100 * (ALLOWED - 1):.0f} % are allowed. Most are in: {most}. Where that is meant: tests/bench/path_cost.py --renew")


def renew():
    lines = ["# Instructions that one step of a hot path may take: what was measured and a tenth. Made by tests/bench/path_cost.py --renew."]
    for path, what in PATHS.items():
        taken, most = count(path)
        print(f"{path}: {taken:,} instructions; {most}")
        lines.append(f"{path} {taken * ALLOWED:.0f} # {what}")
    BOUNDS.write_text("\n".join(lines) + "\n")


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--renew", action="store_true", help="write path_cost.bounds anew")
    if args.parse_args().renew:
        renew()
        return 0
    failed = 0
    for path, bound in bounds().items():
        taken, most = count(path)
        why = complaint(path, taken, bound, most)
        print(why or f"{path}: {taken:,} instructions, at most {bound:,}; {most}")
        failed += why is not None
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

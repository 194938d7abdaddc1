#!/usr/bin/env python3
"""The local backend through the whole mesh against llama-server, built from the same llama.cpp, in interleaved rounds of one run.

The same model, the same number of threads, both sides with their defaults otherwise and a sequence for each of 16 streams. Two models: the demo
model, and one of 108 million random weights that is made here. Client and servers share this machine; what counts are the ratios.
"""
import argparse
import itertools
import json
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile

import local_load
import local_report
import random_model

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests/mesh"))
from mesh import Mesh, free_port, wait_for  # noqa: E402

TOOLS = pathlib.Path(os.environ.get("INFERMESH_LLAMA_DIR", ROOT / ".cache/llama")).with_name("llama-tools") / "bin"
SLOTS = 16
STREAMS = (1, 4, 8, SLOTS)
number = itertools.count(1)


def question(tokens):
    """Each differs near its beginning, so that nobody answers it from what came before."""
    n = next(number)
    return {"model": "bench", "max_tokens": tokens, "messages": [{"role": "user", "content": (
        f"{n}: where is my order B{10000 + n * 7}? I bought a blue kettle and two lamps, and need them by Friday.")}]}


class LlamaServer:
    def __init__(self, model, context, threads, folder):
        self.port, self.key = free_port(), None
        self.log = open(folder / "llama-server.log", "wb")
        self.proc = subprocess.Popen([str(TOOLS / "llama-server"), "-m", str(model), "-c", str(context * SLOTS), "-np", str(SLOTS), "-t", str(threads),
                                      "--host", "127.0.0.1", "--port", str(self.port)], stdout=self.log, stderr=self.log)

    def stop(self):
        self.proc.terminate()
        self.proc.wait(20)
        self.log.close()


class InferMesh:
    def __init__(self, model, context, threads, folder):
        self.mesh = Mesh(folder / "m", config={"log": {"level": "warn"}}, workers=[{
            "name": "w", "backend": "local", "model_file": str(model), "models": ["bench"], "max_batch_size": SLOTS,
            "max_context_length": context, "threads": threads}]).start()
        self.port, self.key = self.mesh.port, self.mesh.key

    def stop(self):
        self.mesh.stop()


def answers(server):
    try:
        local_load.measure(server.port, server.key, [question(4)], 1)
    except (OSError, SystemExit):
        return False
    return True


def one_round(server, at_once, bodies):
    done, seconds = local_load.measure(server.port, server.key, bodies, at_once)
    return {"tokens_s": sum(a.usage["completion_tokens"] for a in done) / seconds, "first": [a.first for a in done]}


def quantile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(share * len(values)))]


def both(servers, at_once, requests, tokens, turn):
    """The same questions for each server, one directly after the other: what the machine does besides changes slowly."""
    bodies = [question(tokens) for _ in range(requests)]
    return {name: one_round(servers[name], at_once, bodies) for name in sorted(servers, reverse=turn % 2 == 1)}


def summary(at_once, pairs):
    row = {"at_once": at_once, "rate": statistics.median(p["infermesh"]["tokens_s"] / p["llama-server"]["tokens_s"] for p in pairs)}
    for name in pairs[0]:
        first = [f for p in pairs for f in p[name]["first"]]
        row[name] = {"tokens_s": statistics.median(p[name]["tokens_s"] for p in pairs), "p50_s": quantile(first, 0.5), "p99_s": quantile(first, 0.99)}
    return row


def sweep(args, servers, model):
    """Each round goes through all numbers of streams, and llama.cpp's own bench. ([{at_once, rate, and for each server tokens_s, p50, p99}], the
    gain of 8 streams over one, of both). A rate is the median over those of the rounds, a gain too."""
    pairs, gains = {n: [] for n in STREAMS}, {"infermesh": [], "llama-batched-bench": []}
    both(servers, SLOTS, SLOTS, args.tokens, 0)  # the first steps of a size take longer
    for turn in range(args.rounds):
        for at_once, found in pairs.items():
            found.append(both(servers, at_once, max(args.requests, 3 * at_once), args.tokens, turn))
        gains["infermesh"].append(pairs[8][-1]["infermesh"]["tokens_s"] / pairs[1][-1]["infermesh"]["tokens_s"])
        gains["llama-batched-bench"].append(batched_gain(model, args.threads, 48, args.tokens))
        print("  of llama-server: " + ", ".join(
            f"{f[-1]['infermesh']['tokens_s'] / f[-1]['llama-server']['tokens_s']:.2f} at {n}" for n, f in pairs.items()), file=sys.stderr)
    return [summary(n, found) for n, found in pairs.items()], {name: statistics.median(g) for name, g in gains.items()}


def batched_gain(model, threads, prompt, tokens):
    """Tokens a second of 8 sequences over those of one, as llama.cpp's own bench has them: prompts included. The first of both only
    brings the weights into memory."""
    out = subprocess.run([str(TOOLS / "llama-batched-bench"), "-m", str(model), "-c", "8192", "-npp", str(prompt), "-ntg", str(tokens),
                          "-npl", "1,8,1,8", "-t", str(threads), "--output-format", "jsonl"], capture_output=True, text=True, check=True)
    rows = [json.loads(line) for line in out.stdout.splitlines() if line.startswith("{")]
    speed = {r["pl"]: r["pl"] * r["tg"] / r["t"] for r in rows}
    return speed[8] / speed[1]


def second_turn(server, words, rounds):
    """Time to the first token of a long conversation's second turn, over that of its first: medians."""
    turns = ([], [])
    prompt = 0
    for _ in range(rounds):
        body = question(16)
        body["messages"][0]["content"] += " The kettle, the lamp and the order." * words
        for turn in turns:
            (asked,), _ = local_load.measure(server.port, server.key, [body], 1)
            turn.append(asked.first)
            prompt = asked.usage["prompt_tokens"] if turn is turns[0] else prompt
            body["messages"] += [{"role": "assistant", "content": asked.text}, {"role": "user", "content": "And the blue one?"}]
    return {"prompt_tokens": prompt, "first_s": statistics.median(turns[0]), "second_s": statistics.median(turns[1])}


def bench(args, name, model, context, folder):
    print(name, file=sys.stderr)
    folder = pathlib.Path(folder)
    folder.mkdir()
    servers = {"llama-server": LlamaServer(model, context, args.threads, folder)}
    try:
        servers["infermesh"] = InferMesh(model, context, args.threads, folder)
        for server in servers.values():
            wait_for(lambda: answers(server), "the first answer", 120, 0.2)
        rows, gain = sweep(args, servers, model)
        result = {"model": name, "threads": args.threads, "rows": rows, "gain": gain}
        if context >= 2048:
            result["second_turn"] = {n: second_turn(s, args.words, args.rounds) for n, s in servers.items()}
    finally:
        for server in servers.values():
            server.stop()
    return result


def main():
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    args.add_argument("--docs", action="store_true", help="write docs/local-bench.md and docs/img/local-bench.svg as well")
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--requests", type=int, default=12, help="of each measurement, at least three times as many as are at once")
    args.add_argument("--tokens", type=int, default=48, help="of an answer, at most")
    args.add_argument("--words", type=int, default=130, help="how often a sentence stands in the long conversation")
    args.add_argument("--threads", type=int, default=max(1, len(os.sched_getaffinity(0)) // 2),
                      help="of both servers; default: half of the processors, for the client and the rest of a mesh need some too")
    args.add_argument("--models", default="demo,random", help="demo, random or both")
    args = args.parse_args()
    if not (TOOLS / "llama-server").exists():
        raise SystemExit(f"bench: there is no {TOOLS}/llama-server; run third_party/fetch-llama.sh --tools")
    load_before = os.getloadavg()
    results = []
    with tempfile.TemporaryDirectory(prefix="im-bench-") as folder:
        if "demo" in args.models:
            results.append(bench(args, "demo (2.2 million)", random_model.DEMO, 512, folder + "/demo"))
        if "random" in args.models:
            model = pathlib.Path(folder) / "random.gguf"
            million = random_model.write(model) / 1e6
            results.append(bench(args, f"random ({million:.0f} million)", model, 2048, folder + "/random"))
    report = {"machine": f"{os.cpu_count()} processors, {platform.machine()}, kernel {platform.release()}", "load_before": load_before,
              "rounds": args.rounds, "requests": args.requests, "tokens": args.tokens, "models": results}
    print(json.dumps(report) if args.json else local_report.text(report))
    if args.docs:
        local_report.write_docs(report, ROOT / "docs")


if __name__ == "__main__":
    main()

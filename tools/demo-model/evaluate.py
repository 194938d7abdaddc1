#!/usr/bin/env python3
"""evaluate.py MODEL: asks the model what training never showed it, and prints how much of it was right, as a table of Markdown.

The rule: the answer, of the likeliest token each time, must be the expected one, character for character, when what went before in
the dialogue was right. No answer is nearly right. Fails when a figure is below what is demanded of the bundled model, unless --report.
"""
import argparse
import collections
import json
import pathlib
import subprocess
import sys

import dialogues
import heldout

SEED = 20261122
DEMANDED = {"fillings": 95, "paraphrases": 60, "copying": 90, "refusals": 80}


def prompt(item):
    out = [("system", item["system"])] if item["system"] else []
    for question, answer in item["turns"]:
        out += [("user", question)] + ([("assistant", answer)] if answer is not None else [])
    return "".join(f"<|im_start|>{role}\n{text}<|im_end|>\n" for role, text in out) + "<|im_start|>assistant\n"


def ask(greedy, model, items):
    said = subprocess.run([greedy, model], input="".join(prompt(i) + "\x1e" for i in items).encode(), stdout=subprocess.PIPE, check=True)
    answers = said.stdout.decode("utf-8", "replace").split("\x1e")[:-1]
    if len(answers) != len(items):
        raise SystemExit(f"evaluate.py: {len(answers)} answers to {len(items)} questions")
    return answers


def table(items, answers):
    right, asked = collections.Counter(), collections.Counter()
    for item, answer in zip(items, answers):
        for lang in (item["lang"], "both"):
            asked[item["set"], lang] += 1
            right[item["set"], lang] += answer == item["expected"]
    share = {k: 100 * right[k] / asked[k] for k in asked}
    lines = ["| set | demanded | English | Chinese | both |", "|---|---|---|---|---|"]
    for name in heldout.SETS:
        cells = [f"{share[name, lang]:.1f} % ({right[name, lang]} of {asked[name, lang]})" for lang in (*dialogues.LANGS, "both")]
        lines.append(f"| {name} | {DEMANDED[name]} % | " + " | ".join(cells) + " |")
    return "\n".join(lines), {name: share[name, "both"] for name in heldout.SETS}


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("model", type=pathlib.Path)
    args.add_argument("--greedy", default="build/release/tools/demo-greedy", help="the program that answers (%(default)s)")
    args.add_argument("--part", type=float, default=1.0, help="of the questions, for a quick look")
    args.add_argument("--wrong", type=pathlib.Path, help="write the wrong answers here, a line of JSON each")
    args.add_argument("--report", action="store_true", help="do not fail when a figure is too low")
    a = args.parse_args()
    items = heldout.all_of(SEED, [dialogues.Language(lang) for lang in dialogues.LANGS], a.part)
    answers = ask(a.greedy, a.model, items)
    if a.wrong:
        a.wrong.write_text("".join(json.dumps({**i, "said": s}, ensure_ascii=False) + "\n" for i, s in zip(items, answers)
                                   if s != i["expected"]), "utf-8")
    text, share = table(items, answers)
    print(text)
    low = [name for name in heldout.SETS if share[name] < DEMANDED[name]]
    if low and not a.report:
        sys.exit("below what is demanded: " + ", ".join(low))


if __name__ == "__main__":
    main()

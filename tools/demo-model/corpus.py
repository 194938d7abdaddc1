#!/usr/bin/env python3
"""corpus.py OUT: writes OUT/tokenizer.txt and OUT/corpus.bin, what demo-train reads.

corpus.bin is, for each dialogue, its length and its tokens, all uint16 of little endian; the highest bit of a token says that the
model is to learn to say it (what the assistant says, and its end).
"""
import argparse
import array
import pathlib
import random
import sys

import bpe
import dialogues

VOCABULARY = 2048
DIALOGUES = 46000
LEARN = 0x8000
LONGEST = 384  # tokens; longer dialogues are left out


def pieces(dialogue):
    """[(role, text)] of a dialogue."""
    if dialogue["system"]:
        yield "system", dialogue["system"]
    for question, answer in dialogue["turns"]:
        yield "user", question
        yield "assistant", answer


def tokens_of(tokenizer, dialogue):
    """ChatML: <|im_start|>role LF text <|im_end|> LF."""
    start, end = tokenizer.special["<|im_start|>"], tokenizer.special["<|im_end|>"]
    newline = tokenizer.encode("\n")
    out = []
    for role, text in pieces(dialogue):
        out += [start, *tokenizer.encode(role), *newline]
        said = [*tokenizer.encode(text), end]
        out += [t | LEARN for t in said] if role == "assistant" else said
        out += newline
    return out


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("out", type=pathlib.Path)
    args.add_argument("--dialogues", type=int, default=DIALOGUES)
    args.add_argument("--vocabulary", type=int, default=VOCABULARY)
    args.add_argument("--seed", type=int, default=1)
    a = args.parse_args()
    languages = [dialogues.Language(lang) for lang in dialogues.LANGS]
    rng = random.Random(a.seed)
    sample = [dialogues.training(rng, languages) for _ in range(min(a.dialogues, 20000))]
    texts = [text for d in sample for role, text in pieces(d)] + ["system", "user", "assistant", "\n"] * 100
    tokenizer = bpe.Tokenizer(bpe.train(texts, a.vocabulary), a.vocabulary)
    a.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(a.out / "tokenizer.txt")
    total = learned = 0
    with open(a.out / "corpus.bin", "wb") as f:
        for i in range(a.dialogues):
            d = sample[i] if i < len(sample) else dialogues.training(rng, languages)
            ids = tokens_of(tokenizer, d)
            if len(ids) > LONGEST:
                continue
            words = array.array("H", [len(ids), *ids])
            if sys.byteorder == "big":
                words.byteswap()
            words.tofile(f)
            total += len(ids)
            learned += sum(t >= LEARN for t in ids)
    print(f"{a.dialogues} dialogues, {total} tokens, {learned} of them to be learned, {len(tokenizer.merges)} merges")


if __name__ == "__main__":
    main()

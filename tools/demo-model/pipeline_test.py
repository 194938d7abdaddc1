#!/usr/bin/env python3
"""pipeline_test.py TOOLS: a tiny model goes the whole way: dialogues, tokens, training, GGUF, llama.cpp. It learns next to nothing."""
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

import bpe
import corpus
import dialogues
import evaluate

HERE = pathlib.Path(__file__).resolve().parent
TOOLS = pathlib.Path(sys.argv.pop(1)) if len(sys.argv) > 1 else None
VOCABULARY = 400
SHAPE = ("--width", "32", "--layers", "1", "--heads", "1", "--hidden", "32")


class Pipeline(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.out = pathlib.Path(cls.folder.name)
        cls.run_tool(sys.executable, HERE / "corpus.py", cls.out, "--dialogues", 80, "--vocabulary", VOCABULARY)
        cls.train("weights", 1)
        cls.model = cls.out / "tiny.gguf"
        cls.run_tool(sys.executable, HERE / "gguf.py", cls.out / "tokenizer.txt", cls.out / "weights", cls.model, *SHAPE)

    @staticmethod
    def run_tool(*command):
        return subprocess.run([str(c) for c in command], check=True, stdout=subprocess.PIPE, text=True).stdout

    @classmethod
    def train(cls, name, threads):
        return cls.run_tool(TOOLS / "demo-train", "--threads", threads, "--vocabulary", VOCABULARY, *SHAPE, cls.out / "corpus.bin", cls.out / name)

    def test_threads_do_not_change_a_bit(self):
        self.train("again", 3)
        self.assertEqual((self.out / "again").read_bytes(), (self.out / "weights").read_bytes())

    def test_llama_makes_the_same_tokens(self):
        tokenizer, rng = bpe.load(self.out / "tokenizer.txt"), random.Random(8)
        languages = [dialogues.Language(lang) for lang in dialogues.LANGS]
        texts = [text for _ in range(200) for turn in dialogues.training(rng, languages)["turns"] for text in turn]
        texts += ["It's  two   spaces", "欧阳小雨 and Zoë, 42 €", "a\nb\n\nc", "don't we'll I'M"]
        said = subprocess.run([TOOLS / "demo-greedy", "--tokens", self.model], input="".join(t + "\x1e" for t in texts).encode(),
                              stdout=subprocess.PIPE, check=True).stdout.decode().split("\x1e")[:-1]
        self.assertEqual([[int(i) for i in s.split()] for s in said], [tokenizer.encode(t) for t in texts])

    def test_a_conversation_is_its_special_tokens_and_texts(self):
        tokenizer = bpe.load(self.out / "tokenizer.txt")
        dialogue = {"lang": "en", "system": "Be brief.", "turns": [("Hello.", "Hi."), ("Bye.", None)]}
        said = subprocess.run([TOOLS / "demo-greedy", "--tokens", self.model], input=evaluate.prompt(dialogue).encode(),
                              stdout=subprocess.PIPE, check=True).stdout.decode().rstrip("\x1e")
        whole = {**dialogue, "turns": [("Hello.", "Hi."), ("Bye.", "")]}
        expected = [t & ~corpus.LEARN for t in corpus.tokens_of(tokenizer, whole)][:-2]  # without the end of an empty answer
        self.assertEqual([int(i) for i in said.split()], expected)

    def test_llama_answers_every_prompt(self):
        items = [{"system": None, "turns": [("Hello.", None)]}, {"system": None, "turns": [("你好。", None)]}]
        self.assertEqual(len(evaluate.ask(TOOLS / "demo-greedy", self.model, items)), 2)

    def test_training_that_was_stopped_says_so_of_a_strange_checkpoint(self):
        (self.out / "third.checkpoint").write_bytes(b"something else")
        self.assertIn("is of another run", self.train("third", 2))
        self.assertEqual((self.out / "third").read_bytes(), (self.out / "weights").read_bytes())

    def test_a_broken_corpus_is_named(self):
        bad = self.out / "bad.bin"
        bad.write_bytes(b"\xff" * 7)
        r = subprocess.run([TOOLS / "demo-train", bad, self.out / "none"], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.assertEqual(r.returncode, 1)
        self.assertIn(f"{bad}: this is no corpus", r.stderr)


if __name__ == "__main__":
    unittest.main()

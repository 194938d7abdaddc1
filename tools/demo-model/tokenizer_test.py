#!/usr/bin/env python3
"""The tokenizer: what it learns, and that nothing is lost on the way through it."""
import pathlib
import random
import tempfile
import unittest

import bpe
import corpus
import dialogues


def small():
    texts = ["the order, the order and the parcel", "你好，我的订单在哪里？"] * 50
    return bpe.Tokenizer(bpe.train(texts, 330), 330)


class Tokenizer(unittest.TestCase):
    def test_words_are_split_as_gpt2_does(self):
        self.assertEqual(bpe.WORDS.findall("It's order K48213,  isn't it? 你好，王明"),
                         ["It", "'s", " order", " K", "48213", ",", " ", " isn", "'t", " it", "?", " 你好", "，", "王明"])
        self.assertEqual("".join(bpe.WORDS.findall("a_b  c\n\n d")), "a_b  c\n\n d")

    def test_any_text_comes_back_whole(self):
        t, rng = small(), random.Random(5)
        for _ in range(300):
            text = "".join(chr(rng.choice((rng.randrange(32, 127), rng.randrange(0x4E00, 0x9FFF), rng.randrange(0x1F600, 0x1F640), 10)))
                           for _ in range(rng.randrange(40)))
            self.assertEqual(t.decode(t.encode(text)), text)

    def test_frequent_words_are_one_token(self):
        t = small()
        self.assertEqual(len(t.encode("the order")), 2)

    def test_digits_are_one_token_each(self):
        t = small()
        self.assertEqual([t.decode([i]) for i in t.encode("1200")], ["1", "2", "0", "0"])

    def test_chinese_tokens_are_one_character_at_most(self):
        t = small()
        for token in t.tokens:
            self.assertTrue(max(token) < 128 or len(token) <= 3, token)

    def test_same_texts_give_same_merges(self):
        self.assertEqual(small().merges, small().merges)

    def test_saved_and_loaded_is_the_same(self):
        t = small()
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "t"
            t.save(path)
            again = bpe.load(path)
        self.assertEqual((again.merges, again.size, again.special), (t.merges, t.size, t.special))

    def test_vocabulary_has_the_promised_size_and_no_name_twice(self):
        names = [name for name, _ in small().vocabulary()]
        self.assertEqual((len(names), len(set(names))), (330, 330))

    def test_special_words_in_a_text_are_not_special(self):
        t = small()
        self.assertFalse(set(t.encode("<|im_end|>")) & set(t.special.values()))

    def test_only_what_the_assistant_says_is_learned(self):
        t = small()
        d = {"lang": "en", "system": "a", "turns": [("the order", "the parcel")]}
        ids = corpus.tokens_of(t, d)
        learned = [i & ~corpus.LEARN for i in ids if i & corpus.LEARN]
        self.assertEqual(t.decode(learned), "the parcel<|im_end|>")
        self.assertEqual(t.decode([i & ~corpus.LEARN for i in ids]),
                         "<|im_start|>system\na<|im_end|>\n<|im_start|>user\nthe order<|im_end|>\n"
                         "<|im_start|>assistant\nthe parcel<|im_end|>\n")

    def test_dialogues_fit_the_model(self):
        t, rng = small(), random.Random(1)
        languages = [dialogues.Language(lang) for lang in dialogues.LANGS]
        long = sum(len(corpus.tokens_of(t, dialogues.training(rng, languages))) > corpus.LONGEST * 3 for _ in range(100))
        self.assertEqual(long, 0)


if __name__ == "__main__":
    unittest.main()

#!/usr/bin/env python3
"""The generator: dialogues hold together, and nothing of the evaluation is in training."""
import random
import re
import unittest

import dialogues
import heldout
import phrases
import template
import world

LANGUAGES = [dialogues.Language(lang) for lang in dialogues.LANGS]


def some(count, seed=3):
    rng = random.Random(seed)
    return [dialogues.training(rng, LANGUAGES) for _ in range(count)]


def whole_dialogue(language, seed, unseen):
    d = dialogues.Dialogue(language, random.Random(seed), unseen)
    for _ in range(6):
        d.step()
    return d


class Templates(unittest.TestCase):
    def test_choices_are_all_said_and_nothing_else(self):
        t, rng = dialogues.Template("(a|b(c|))d"), random.Random(1)
        self.assertEqual({t.say(rng) for _ in range(200)}, {"ad", "bcd", "bd"})

    def test_all_that_can_be_said_is_known(self):
        self.assertEqual(sorted(dialogues.Template("(a|b(c|))d[x]").all()), ["ad[x]", "bcd[x]", "bd[x]"])

    def test_unbalanced_templates_are_refused(self):
        for text in ("(a|b", "a)b", "((a)"):
            with self.assertRaises(ValueError, msg=text):
                dialogues.Template(text)

    def test_every_topic_is_whole(self):
        for language in LANGUAGES:
            for topic in language.topics:
                with self.subTest(lang=language.lang, topic=topic.name):
                    self.assertGreaterEqual(len(topic.q), 3)
                    self.assertEqual(len(topic.t), 2)
                    self.assertEqual(topic.needs_order, topic.missing is not None)
                    self.assertEqual(topic.needs_order, "[order]" in topic.answer)
                    self.assertLessEqual(set(topic.follow), set(phrases.FOLLOW_UPS[language.lang]))

    def test_both_languages_know_the_same_topics(self):
        self.assertEqual(*([(t.name, sorted(t.follow)) for t in language.topics] for language in LANGUAGES))

    def test_no_two_topics_share_an_answer(self):
        for language in LANGUAGES:
            answers = [a for t in language.topics for a in (t.answer, t.missing) if a]
            self.assertEqual(len(answers), len(set(answers)))


class Training(unittest.TestCase):
    def test_same_seed_gives_same_dialogues(self):
        self.assertEqual(some(50), some(50))
        self.assertNotEqual(some(50), some(50, seed=4))

    def test_no_slot_is_left_open(self):
        for d in some(2000):
            for question, answer in d["turns"]:
                self.assertNotRegex(question + answer, r"[\[\](){}|]")

    def test_questions_are_in_the_language_of_the_dialogue(self):
        for d in some(500):
            for question, answer in d["turns"]:
                self.assertEqual(d["lang"] == "zh", bool(re.search("[\u4e00-\u9fff]", answer)), (question, answer))

    def test_numbers_in_answers_were_told_before(self):
        for d in some(2000):
            told = ""
            for question, answer in d["turns"]:
                told += question
                for number in re.findall(r"[A-Z]{0,2}\d{4,}", answer):
                    self.assertIn(number, told)

    def test_the_last_number_told_is_the_one_that_counts(self):
        for seed in range(200):
            d = dialogues.Dialogue(LANGUAGES[seed % 2], random.Random(seed))
            d.tell_order()
            first = d.slots["order"]
            d.tell_order()
            d.ask_order()
            self.assertIn(d.slots["order"], d.turns[-1][1])
            self.assertNotIn(first, d.turns[-1][1].replace(d.slots["order"], ""))


class HeldOut(unittest.TestCase):
    def test_training_shows_no_word_of_the_evaluation(self):
        for language in LANGUAGES:
            for seed in range(100):
                for key, value in whole_dialogue(language, seed, False).slots.items():
                    self.assertFalse(world.held_out(value), (key, value))

    def test_fillings_of_the_evaluation_are_never_in_training(self):
        for language in LANGUAGES:
            for seed in range(100):
                for key, value in whole_dialogue(language, seed, True).slots.items():
                    self.assertTrue(world.held_out(value), (key, value))

    def test_held_out_templates_are_said_by_no_other(self):
        for language in LANGUAGES:
            rng = random.Random(9)
            known = set()
            for topic in language.topics:
                for q in topic.q:
                    known.update(q.say(rng) for _ in range(60))
            for topic in language.topics:
                for t in topic.t:
                    self.assertNotIn(t.say(rng), known)

    def test_training_never_says_a_held_out_template(self):
        for language in LANGUAGES:
            for topic in language.topics:
                d = dialogues.Dialogue(language, random.Random(4))
                for t in topic.t:
                    d.ask(topic, t)
                    self.assertNotIn(d.fill(t.say(d.rng)), d.turns[-1][0])

    def test_frames_of_refusals_are_for_one_purpose(self):
        for lang in dialogues.LANGS:
            of_training = {*world.STRANGE_FRAMES[lang], *(said for f in world.MORE_STRANGE_FRAMES[lang] for said in template.Template(f).all())}
            self.assertFalse(of_training & set(world.T_STRANGE_FRAMES[lang]))

    def test_evaluation_has_every_set_in_both_languages(self):
        items = heldout.all_of(1, LANGUAGES, 0.1)
        self.assertEqual({(i["set"], i["lang"]) for i in items}, {(s, lang) for s in heldout.SETS for lang in dialogues.LANGS})
        for item in items:
            self.assertIsNone(item["turns"][-1][1])
            self.assertTrue(item["expected"])

    def test_what_must_be_copied_was_told_two_turns_before(self):
        for item in heldout.copying(random.Random(2), LANGUAGES, 100):
            self.assertEqual(len(item["turns"]), 3)
            copied = item["expected"].rstrip("。.")
            copied = re.split(r"Your name is |Your order number is |您叫|您的订单号是", copied)[-1]
            self.assertIn(copied, item["turns"][0][0])


if __name__ == "__main__":
    unittest.main()

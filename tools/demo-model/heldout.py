"""The questions of the evaluation, none of which training can have shown. Each is {"set", "lang", "system", "turns", "expected"}:
the last of "turns" has only its question, and "expected" is the one right answer.

  fillings    every turn of dialogues of known templates, with names, numbers, towns and goods that training never has
  paraphrases the templates marked 't', of which training has none
  copying     a name and an order number told, then another question, then asked for
  refusals    questions that are none of the shop's, whose frames and words training never has
"""
import random

import dialogues
import phrases as p

SETS = ("fillings", "paraphrases", "copying", "refusals")


def _asked(kind, d):
    """The last turn of a dialogue as a question of the evaluation."""
    made = d.done()
    (question, expected), before = made["turns"][-1], made["turns"][:-1]
    return {"set": kind, "lang": d.lang, "system": made["system"], "turns": [*before, (question, None)], "expected": expected}


def fillings(rng, languages, dialogues_each):
    for language in languages:
        for _ in range(dialogues_each):
            d = dialogues.Dialogue(language, rng, unseen=True)
            if rng.random() < 0.4:
                rng.choice((d.tell_name, d.tell_order, d.tell_both))()
            for _ in range(rng.randint(2, dialogues.MOST_TURNS)):
                d.step()
            made = d.done()
            for i, (question, expected) in enumerate(made["turns"]):
                yield {"set": "fillings", "lang": d.lang, "system": made["system"],
                       "turns": [*made["turns"][:i], (question, None)], "expected": expected}


def paraphrases(rng, languages, times):
    """Each held-out template, 'times' over with other fillings; every second one behind another turn."""
    for language in languages:
        for topic in language.topics:
            for template in topic.t:
                for i in range(times):
                    d = dialogues.Dialogue(language, rng, unseen=True)
                    if i % 2:
                        d.step()
                    d.waiting = None
                    d.ask_plainly(topic, template)
                    yield _asked("paraphrases", d)
        for topic in language.topics:
            if topic.follow:
                d = dialogues.Dialogue(language, rng, unseen=True)
                d.ask_plainly(topic, topic.q[0])
                if d.topic is None:
                    continue
                d.follow_up(p.T_FOLLOW_UPS[language.lang])
                yield _asked("paraphrases", d)


def copying(rng, languages, each):
    for language in languages:
        for i in range(each):
            d = dialogues.Dialogue(language, rng, unseen=True)
            if i % 2:
                d.tell_both()
            elif i % 4:
                d.tell_name()
            else:
                d.tell_order()
            d.ask_between()
            (d.ask_name if "name" in d.slots and (i % 4 != 1 or "order" not in d.slots) else d.ask_order)()
            yield _asked("copying", d)


def refusals(rng, languages, each):
    for language in languages:
        for i in range(each):
            d = dialogues.Dialogue(language, rng, unseen=True)
            if i % 2:
                d.ask_between()
            d.ask_strange(unseen_frame=True)
            yield _asked("refusals", d)


def all_of(seed, languages, part=1.0):
    """The whole evaluation, or a part of it for a quick look."""
    rng = random.Random(seed)
    return [*fillings(rng, languages, round(120 * part)), *paraphrases(rng, languages, max(1, round(4 * part))),
            *copying(rng, languages, round(200 * part)), *refusals(rng, languages, round(150 * part))]

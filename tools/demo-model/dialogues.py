"""Makes synthetic customer-service dialogues, for training and for the evaluation. All in them is invented.

A dialogue is {"lang", "system" (or None), "turns": [(user, assistant), ...]}. The same seed gives the same dialogues.
"""
import pathlib
import re

import phrases as p
import world
from template import Template

HERE = pathlib.Path(__file__).resolve().parent
LANGS = ("en", "zh")
MOST_TURNS = 6


class Topic:
    """One block of topics/LANG.txt."""

    def __init__(self, head):
        self.name, _, kind = head.partition(" ")
        self.needs_order = kind == "order"
        self.n, self.v, self.q, self.t = [], [], [], []
        self.follow = {}
        self.answer = self.missing = None

    def add(self, key, text):
        if key in "nvqt":
            getattr(self, key).append(Template(text))
        elif key == "a":
            self.answer = text
        elif key == "m":
            self.missing = text
        elif key == "f":
            kind, text = text.split(" ", 1)
            self.follow[kind] = text
        else:
            raise ValueError(f"unknown key {key!r}")


def read_topics(lang):
    topics = []
    for line in (HERE / "topics" / f"{lang}.txt").read_text("utf-8").splitlines():
        if line.startswith("@"):
            topics.append(Topic(line[1:]))
        elif line and not line.startswith("#"):
            topics[-1].add(*line.split(" ", 1))
    return topics


def _parsed(value):
    if isinstance(value, str):
        return Template(value)
    if isinstance(value, dict):
        return {k: _parsed(v) for k, v in value.items()}
    return [_parsed(v) for v in value]


class Phrases:
    """The lists of phrases.py, parsed, for one language."""

    def __init__(self, lang):
        for key in ("NAME_TOLD", "NAME_ASKED", "ORDER_TOLD", "ORDER_GIVEN", "ORDER_ADDED", "ORDER_ASKED", "BOTH_TOLD", "FOLLOW_UPS"):
            setattr(self, key, _parsed(getattr(p, key)[lang]))
        self.FRAMES = _parsed(p.FRAMES[lang])


class Language:
    def __init__(self, lang):
        self.lang, self.topics, self.phrases = lang, read_topics(lang), Phrases(lang)
        self.held_out = {said for topic in self.topics for t in topic.t for said in t.all()}


class Dialogue:
    """One conversation in the making: what was told so far decides the answers."""

    def __init__(self, language, rng, unseen=False, noise=0.0):
        self.of, self.lang, self.rng, self.unseen, self.noise = language, language.lang, rng, unseen, noise
        self.slots, self.topic, self.waiting = {}, None, None
        self.turns = []

    def fill(self, text):
        return re.sub(r"\[(\w+)\]", lambda m: self.slots[m.group(1)], text)

    def say(self, templates):
        return self.fill(self.rng.choice(templates).say(self.rng))

    def turn(self, question, answer, topic=None, waiting=None):
        self.turns.append((question, self.fill(answer)))
        self.topic, self.waiting = topic, waiting

    def dressed(self, text):
        """A question with what people put around it, and sometimes with a slip."""
        rng = self.rng
        if rng.random() < 0.25:
            before = rng.choice(p.BEFORE[self.lang])
            text = before + (text[0].lower() + text[1:] if self.lang == "en" and not text.startswith(("I ", "I'")) else text)
        if rng.random() < 0.12:
            text += rng.choice(p.AFTER[self.lang])
        if rng.random() < self.noise:
            text = self.slip(text)
        return text

    def slip(self, text):
        """No capitals, no full stop, or a word less; what must be copied stays whole."""
        rng, kept = self.rng, [v for k, v in self.slots.items() if v in text]
        kind = rng.random()
        if kind < 0.35:
            return text.rstrip(".?!。？！")
        if self.lang == "en" and kind < 0.6:
            return " ".join(w if any(w.rstrip(".,?!") in k for k in kept) else w.lower() for w in text.split(" ")).rstrip(".?!")
        words = text.split(" ") if self.lang == "en" else re.findall(r"[A-Z0-9]+|.", text)
        at = rng.randrange(len(words))
        if len(words) < 4 or any(words[at].rstrip(".,?!") in k for k in kept):
            return text
        return (" " if self.lang == "en" else "").join(words[:at] + words[at + 1:])

    # --- the kinds of turns

    def tell_name(self):
        self.slots["name"] = world.name(self.rng, self.lang, self.unseen)
        self.turn(self.say(self.of.phrases.NAME_TOLD), p.NAME_NOTED[self.lang])

    def tell_order(self):
        self.slots["order"] = world.order(self.rng, self.unseen)
        self.turn(self.dressed(self.say(self.of.phrases.ORDER_TOLD)), p.ORDER_NOTED[self.lang])

    def tell_both(self):
        self.slots["name"] = world.name(self.rng, self.lang, self.unseen)
        self.slots["order"] = world.order(self.rng, self.unseen)
        self.turn(self.say(self.of.phrases.BOTH_TOLD), p.BOTH_NOTED[self.lang])

    def give_order(self):
        topic = self.waiting
        self.slots["order"] = world.order(self.rng, self.unseen)
        self.turn(self.say(self.of.phrases.ORDER_GIVEN), topic.answer, topic)

    def ask_name(self):
        known = "name" in self.slots
        self.turn(self.dressed(self.say(self.of.phrases.NAME_ASKED)), (p.NAME_SAID if known else p.NAME_UNKNOWN)[self.lang])

    def ask_order(self):
        known = "order" in self.slots
        self.turn(self.dressed(self.say(self.of.phrases.ORDER_ASKED)), (p.ORDER_SAID if known else p.ORDER_UNKNOWN)[self.lang])

    def ask_strange(self, unseen_frame=False):
        self.turn(self.dressed(world.strange(self.rng, self.lang, self.unseen, unseen_frame)), world.REFUSAL[self.lang])

    def follow_up(self, template=None):
        topic, kind = self.topic, self.rng.choice(sorted(self.topic.follow))
        text = template[kind] if template else self.say(self.of.phrases.FOLLOW_UPS[kind])
        self.turn(text, topic.follow[kind], topic)

    def ask(self, topic, question):
        """'question' is a Template of this topic."""
        rng = self.rng
        self.slots["prod"] = world.goods(rng, self.lang, self.unseen)
        self.slots["city"] = world.city(rng, self.lang, self.unseen)
        text = question.say(rng)
        while text in self.of.held_out:  # a frame may say what only the evaluation may
            text = rng.choice(topic.q).say(rng)
        text = self.fill(text)
        if topic.name not in ("hello", "bye", "thanks", "who"):
            text = self.dressed(text)
        answer, waiting = topic.answer, None
        if topic.needs_order:
            if rng.random() < 0.35:
                self.slots["order"] = world.order(rng, self.unseen)
                text += self.say(self.of.phrases.ORDER_ADDED)
            elif "order" not in self.slots:
                answer, waiting = topic.missing, topic
        self.turn(text, answer, None if waiting else topic, waiting)

    def ask_plainly(self, topic, question):
        """As ask(), with nothing around it."""
        rng = self.rng
        self.slots["prod"] = world.goods(rng, self.lang, self.unseen)
        self.slots["city"] = world.city(rng, self.lang, self.unseen)
        missing = topic.needs_order and "order" not in self.slots
        self.turn(self.fill(question.say(rng)), topic.missing if missing else topic.answer, None if missing else topic,
                  topic if missing else None)

    def ask_between(self):
        """A question that changes nothing of what was told."""
        self.ask(*self.rng.choice([(t, q) for t in self.of.topics if not t.needs_order for q in t.q]))

    def ask_topic(self):
        topic = self.rng.choice(self.of.topics)
        self.ask(topic, self.question_of(topic))

    def question_of(self, topic):
        kind = self.rng.random()
        if kind < 0.25 and topic.n or kind < 0.5 and topic.v:
            part = "n" if kind < 0.25 and topic.n else "v"
            frame = self.rng.choice(self.of.phrases.FRAMES[part]).say(self.rng)
            return Template(frame.replace(f"[{part}]", self.rng.choice(getattr(topic, part)).say(self.rng)))
        return self.rng.choice(topic.q)

    def step(self):
        """One turn of a kind that makes sense now."""
        rng = self.rng
        if self.waiting and rng.random() < 0.75:
            return self.give_order()
        if self.topic and self.topic.follow and rng.random() < 0.35:
            return self.follow_up()
        kind = rng.random()
        if kind < 0.52:
            return self.ask_topic()
        if kind < 0.69:
            return self.ask_strange()
        if kind < (0.80 if "order" in self.slots else 0.71):
            return self.ask_order()
        if kind < (0.92 if "name" in self.slots else 0.83):
            return self.ask_name()
        if self.waiting:
            return self.give_order()
        return rng.choice((self.tell_name, self.tell_order, self.tell_both))()

    def done(self):
        system = self.rng.choice(world.SYSTEM[self.lang]) if self.rng.random() < 0.2 else None
        return {"lang": self.lang, "system": system, "turns": self.turns}


def training(rng, languages):
    """One dialogue for training."""
    d = Dialogue(languages[rng.random() < 0.45], rng, noise=0.3)
    if rng.random() < 0.4:
        rng.choice((d.tell_name, d.tell_order, d.tell_both))()
    for _ in range(rng.randint(2, MOST_TURNS)):
        d.step()
    return d.done()

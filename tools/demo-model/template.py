"""The grammar of the templates: (a|b|) is a choice. [slot] is filled in by who uses it."""
import itertools
import re


class Template:
    """'Is (a|the) [prod] here?': parsed once, said often."""

    def __init__(self, text):
        pieces = re.split(r"([(|)])", text)
        self.tree, rest = self._sequence(pieces, 0)
        if rest != len(pieces):
            raise ValueError(f"unbalanced ')' in {text!r}")

    def _sequence(self, pieces, at):
        out = []
        while at < len(pieces) and pieces[at] not in ("|", ")"):
            if pieces[at] == "(":
                choices = []
                while pieces[at] != ")":
                    one, at = self._sequence(pieces, at + 1)
                    choices.append(one)
                    if at == len(pieces):
                        raise ValueError("unbalanced '('")
                out.append(choices)
            elif pieces[at]:
                out.append(pieces[at])
            at += 1
        return out, at

    def say(self, rng, tree=None):
        return "".join(part if isinstance(part, str) else self.say(rng, part[rng.randrange(len(part))])
                       for part in (self.tree if tree is None else tree))

    def all(self, tree=None):
        """All that it can say."""
        parts = [[part] if isinstance(part, str) else [said for choice in part for said in self.all(choice)]
                 for part in (self.tree if tree is None else tree)]
        return ["".join(said) for said in itertools.product(*parts)]

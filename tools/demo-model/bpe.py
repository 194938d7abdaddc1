"""A byte-level BPE tokenizer: trained here, the same tokens as llama.cpp makes of a GGUF with tokenizer "gpt2", pre "gpt-2".

Digits never merge, so that numbers are copied digit by digit, and a Chinese character is one token at most: whole phrases as one token
would hide their parts from a model that must recognise them in sentences which it never saw.
"""
import collections
import re

# GPT-2's pattern; [^\W\d_] is \p{L}. \p{N} beyond the decimal digits is nothing that the dialogues hold.
WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
LONGEST_BYTES = 14
LONGEST_HAN_BYTES = 3


def printable():
    """GPT-2's names of the 256 bytes: the printable ones are themselves, the others follow from U+0100."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in kept]
    names = {b: chr(b) for b in kept}
    names.update((b, chr(256 + i)) for i, b in enumerate(others))
    return names


NAMES = printable()


def may_merge(left, right):
    both = left + right
    if any(48 <= b <= 57 for b in both) or len(both) > LONGEST_BYTES:
        return False
    return max(both) < 128 or (both[0] >= 0xC0 and len(both) <= LONGEST_HAN_BYTES)


def train(texts, size):
    """The merges, most frequent first, for a vocabulary of 'size' tokens. Of equally frequent pairs the least comes first."""
    counts = collections.Counter(w for t in texts for w in WORDS.findall(t))
    words = sorted(counts)
    pieces = [[bytes([b]) for b in w.encode()] for w in words]
    pairs, where = collections.Counter(), collections.defaultdict(set)

    def count(i, sign):
        for pair in zip(pieces[i], pieces[i][1:]):
            if may_merge(*pair):
                pairs[pair] += sign * counts[words[i]]
                where[pair].add(i)

    for i in range(len(words)):
        count(i, 1)
    merges = []
    while len(merges) < size - 256 - len(SPECIAL):
        best = max(pairs.values(), default=0)
        if best < 2:
            break
        pair = min(k for k, v in pairs.items() if v == best)
        merges.append(pair)
        for i in sorted(where.pop(pair)):
            count(i, -1)
            pieces[i] = merged(pieces[i], pair)
            count(i, 1)
        pairs.pop(pair, None)
    return merges


def merged(parts, pair):
    out, i = [], 0
    while i < len(parts):
        if i + 1 < len(parts) and (parts[i], parts[i + 1]) == pair:
            out.append(parts[i] + parts[i + 1])
            i += 2
        else:
            out.append(parts[i])
            i += 1
    return out


class Tokenizer:
    def __init__(self, merges, size):
        self.merges = merges
        self.rank = {pair: i for i, pair in enumerate(merges)}
        self.tokens = [bytes([b]) for b in range(256)] + [a + b for a, b in merges]
        self.ids = {t: i for i, t in enumerate(self.tokens)}
        self.unused = size - len(self.tokens) - len(SPECIAL)
        self.special = {s: size - len(SPECIAL) + i for i, s in enumerate(SPECIAL)}
        self.size = size
        self.cache = {}

    def _word(self, word):
        parts = [bytes([b]) for b in word.encode()]
        while True:
            known = [self.rank[p] for p in zip(parts, parts[1:]) if p in self.rank]
            if not known:
                return [self.ids[t] for t in parts]
            parts = merged(parts, self.merges[min(known)])

    def encode(self, text):
        """The tokens of a text in which nothing is special."""
        out = []
        for word in WORDS.findall(text):
            if word not in self.cache:
                self.cache[word] = self._word(word)
            out += self.cache[word]
        return out

    def decode(self, ids):
        names = {v: k.encode() for k, v in self.special.items()}
        return b"".join(names[i] if i in names else self.tokens[i] for i in ids).decode("utf-8", "replace")

    def vocabulary(self):
        """[(name as GGUF has it, type)]: 1 normal, 3 control, 5 unused."""
        def shown(token):
            return "".join(NAMES[b] for b in token)
        return ([(shown(t), 1) for t in self.tokens] + [(f"<|unused{i}|>", 5) for i in range(self.unused)] + [(s, 3) for s in SPECIAL])

    def gguf_merges(self):
        return ["".join(NAMES[b] for b in a) + " " + "".join(NAMES[b] for b in c) for a, c in self.merges]

    def save(self, path):
        path.write_text(f"{self.size}\n" + "".join(f"{a.hex()} {b.hex()}\n" for a, b in self.merges), "ascii")


def load(path):
    size, *lines = path.read_text("ascii").splitlines()
    return Tokenizer([tuple(bytes.fromhex(x) for x in line.split()) for line in lines], int(size))

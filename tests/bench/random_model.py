#!/usr/bin/env python3
"""Writes a GGUF model with random weights: the size and shape of a real one, the tokenizer of the demo model, no sense at all.

For benchmarks, where only the time counts that a token takes. The same seed gives the same file.
"""
import argparse
import pathlib
import random
import struct

DEMO = pathlib.Path(__file__).resolve().parents[2] / "deploy/models/demo-q8_0.gguf"
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
STRING, ARRAY, U32, F32, Q8_0 = 8, 9, 4, 0, 8
ALIGN = 32
BLOCK = 32          # weights of one q8_0 block: a 16-bit scale and so many bytes
SCALE = 0.02 / 74   # uniform bytes deviate by 74: the weights by 0.02


class Reader:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, n):
        self.at += n
        return self.data[self.at - n:self.at]

    def unpack(self, form):
        return struct.unpack("<" + form, self.take(struct.calcsize("<" + form)))

    def text(self):
        return self.take(self.unpack("Q")[0])

    def skip(self, kind):
        if kind == STRING:
            self.text()
        elif kind == ARRAY:
            kind, count = self.unpack("IQ")
            for _ in range(count):
                self.skip(kind)
        else:
            self.unpack(SCALARS[kind])


def text(s):
    return struct.pack("<Q", len(s)) + s


def tokenizer(path):
    """[(key, the bytes of its type and value)] of the model at 'path' that say how it makes tokens."""
    r, kept = Reader(path.read_bytes()), []
    _, version, _, keys = r.unpack("4sIQQ")
    assert version == 3, version
    for _ in range(keys):
        key, begin = r.text(), r.at
        r.skip(r.unpack("I")[0])
        if key.startswith(b"tokenizer."):
            kept.append((key, r.data[begin:r.at]))
    return kept


def tensors(width, layers, hidden, vocabulary):
    """[(name, dimensions, type)]"""
    yield b"token_embd.weight", (width, vocabulary), Q8_0
    yield b"output_norm.weight", (width,), F32
    for i in range(layers):
        for name, dims in (("attn_q", (width, width)), ("attn_k", (width, width)), ("attn_v", (width, width)),
                           ("attn_output", (width, width)), ("ffn_gate", (width, hidden)), ("ffn_up", (width, hidden)),
                           ("ffn_down", (hidden, width)), ("attn_norm", (width,)), ("ffn_norm", (width,))):
            yield f"blk.{i}.{name}.weight".encode(), dims, F32 if len(dims) == 1 else Q8_0


def weights(rng, dims, kind):
    if kind == F32:
        return struct.pack(f"<{dims[0]}f", *([1.0] * dims[0]))
    blocks = dims[0] * dims[1] // BLOCK
    out = bytearray(blocks * (2 + BLOCK))
    low, high = struct.pack("<e", SCALE)
    out[0::2 + BLOCK] = bytes([low]) * blocks
    out[1::2 + BLOCK] = bytes([high]) * blocks
    for i in range(BLOCK):
        out[2 + i::2 + BLOCK] = rng.randbytes(blocks)
    return bytes(out)


def size(dims, kind):
    return 4 * dims[0] if kind == F32 else dims[0] * dims[1] // BLOCK * (2 + BLOCK)


def padded(n):
    return (n + ALIGN - 1) // ALIGN * ALIGN


def write(path, width=768, layers=15, hidden=2048, heads=12, context=4096, seed=1):
    """Returns the number of parameters."""
    vocabulary = 2048
    numbers = {"context_length": context, "embedding_length": width, "block_count": layers, "feed_forward_length": hidden,
               "attention.head_count": heads, "attention.head_count_kv": heads, "rope.dimension_count": width // heads,
               "vocab_size": vocabulary}
    keys = [(b"general.architecture", struct.pack("<I", STRING) + text(b"llama")),
            (b"llama.attention.layer_norm_rms_epsilon", struct.pack("<If", 6, 1e-5))]
    keys += [(b"llama." + k.encode(), struct.pack("<II", U32, v)) for k, v in numbers.items()]
    keys += tokenizer(DEMO)
    all_tensors = list(tensors(width, layers, hidden, vocabulary))
    head, offset, parameters = struct.pack("<4sIQQ", b"GGUF", 3, len(all_tensors), len(keys)), 0, 0
    head += b"".join(text(k) + v for k, v in keys)
    for name, dims, kind in all_tensors:
        head += text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset)
        offset += padded(size(dims, kind))
        parameters += dims[0] * (dims[1] if len(dims) > 1 else 1)
    rng = random.Random(seed)
    with open(path, "wb") as f:
        f.write(head.ljust(padded(len(head)), b"\0"))
        for _, dims, kind in all_tensors:
            data = weights(rng, dims, kind)
            f.write(data.ljust(padded(len(data)), b"\0"))
    return parameters


if __name__ == "__main__":
    args = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    args.add_argument("file")
    args.add_argument("--layers", type=int, default=15, help="each has 7 million parameters")
    args.add_argument("--seed", type=int, default=1)
    args = args.parse_args()
    print(f"{args.file}: {write(args.file, layers=args.layers, seed=args.seed) / 1e6:.0f} million parameters, seed {args.seed}")

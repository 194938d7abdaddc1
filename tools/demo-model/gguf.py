#!/usr/bin/env python3
"""gguf.py TOKENIZER WEIGHTS OUT: what demo-train made, as a GGUF file of q8_0 that llama.cpp loads.

The order of WEIGHTS is in model.h. Options give the shape that it was trained with.
"""
import argparse
import array
import pathlib
import struct
import sys

import bpe

ALIGN, BLOCK = 32, 32
U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
TENSOR_F32, TENSOR_Q8_0 = 0, 8
TEMPLATE = ("{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}"
            "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


def text(s):
    raw = s.encode()
    return struct.pack("<Q", len(raw)) + raw


def entry(key, kind, value):
    form = {U32: "<I", F32: "<f", BOOL: "<?"}
    return text(key) + struct.pack("<I", kind) + (text(value) if kind == STRING else struct.pack(form[kind], value))


def entries(key, kind, values):
    body = b"".join(map(text, values)) if kind == STRING else struct.pack(f"<{len(values)}i", *values)
    return text(key) + struct.pack("<IIQ", ARRAY, kind, len(values)) + body


def rounded(x):
    """The nearest whole number, a half away from 0, as llama.cpp's quantiser does it."""
    return int(x + 0.5) if x >= 0 else -int(0.5 - x)


def q8_0(values):
    """Blocks of a 16-bit scale and 32 bytes."""
    out = bytearray()
    for i in range(0, len(values), BLOCK):
        block = values[i:i + BLOCK]
        scale = max(map(abs, block)) / 127
        by = 1 / scale if scale else 0.0
        out += struct.pack("<e32b", scale, *[rounded(v * by) for v in block])
    return bytes(out)


class Weights:
    """The floats of the file, taken from the beginning."""

    def __init__(self, path):
        self.floats = array.array("f", path.read_bytes())
        if sys.byteorder == "big":
            self.floats.byteswap()
        self.at = 0

    def take(self, n):
        if self.at + n > len(self.floats):
            raise SystemExit("gguf.py: the weights are of another shape: fewer than it needs")
        self.at += n
        return self.floats[self.at - n:self.at]


def tensors(weights, shape):
    """[(name, dimensions with the row's length first, floats)]"""
    d, f = shape.width, shape.hidden
    yield "token_embd.weight", (d, shape.vocabulary), weights.take(d * shape.vocabulary)
    yield "output_norm.weight", (d,), weights.take(d)
    parts = (("attn_norm", (d,)), ("attn_q", (d, d)), ("attn_k", (d, d)), ("attn_v", (d, d)), ("attn_output", (d, d)),
             ("ffn_norm", (d,)), ("ffn_gate", (d, f)), ("ffn_up", (d, f)), ("ffn_down", (f, d)))
    for layer in range(shape.layers):
        for name, dims in parts:
            yield f"blk.{layer}.{name}.weight", dims, weights.take(dims[0] * (dims[1] if len(dims) > 1 else 1))
    if weights.at != len(weights.floats):
        raise SystemExit("gguf.py: the weights are of another shape: more than it needs")


def metadata(tokenizer, shape, context):
    vocabulary = tokenizer.vocabulary()
    return [
        entry("general.architecture", STRING, "llama"),
        entry("general.name", STRING, "infermesh demo"),
        entry("general.description", STRING, "A toy that answers customer-service questions in English and Chinese; see its card."),
        entry("general.license", STRING, "Apache-2.0"),
        entry("general.quantization_version", U32, 2),
        entry("general.file_type", U32, 7),
        entry("llama.context_length", U32, context),
        entry("llama.embedding_length", U32, shape.width),
        entry("llama.block_count", U32, shape.layers),
        entry("llama.feed_forward_length", U32, shape.hidden),
        entry("llama.attention.head_count", U32, shape.heads),
        entry("llama.attention.head_count_kv", U32, shape.heads),
        entry("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
        entry("llama.rope.dimension_count", U32, shape.width // shape.heads),
        entry("llama.rope.freq_base", F32, 10000.0),
        entry("llama.vocab_size", U32, shape.vocabulary),
        entry("tokenizer.ggml.model", STRING, "gpt2"),
        entry("tokenizer.ggml.pre", STRING, "gpt-2"),
        entries("tokenizer.ggml.tokens", STRING, [name for name, _ in vocabulary]),
        entries("tokenizer.ggml.token_type", I32, [kind for _, kind in vocabulary]),
        entries("tokenizer.ggml.merges", STRING, tokenizer.gguf_merges()),
        entry("tokenizer.ggml.bos_token_id", U32, tokenizer.special["<|endoftext|>"]),
        entry("tokenizer.ggml.eos_token_id", U32, tokenizer.special["<|im_end|>"]),
        entry("tokenizer.ggml.padding_token_id", U32, tokenizer.special["<|endoftext|>"]),
        entry("tokenizer.ggml.add_bos_token", BOOL, False),
        entry("tokenizer.chat_template", STRING, TEMPLATE),
    ]


def padded(data):
    return data + bytes(-len(data) % ALIGN)


def gguf(tokenizer, weights, shape, context):
    """The bytes of the file."""
    infos, body = [], bytearray()
    for name, dims, floats in tensors(weights, shape):
        kind = TENSOR_Q8_0 if len(dims) == 2 else TENSOR_F32
        infos.append(text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, len(body)))
        body += padded(q8_0(floats) if kind == TENSOR_Q8_0 else struct.pack(f"<{len(floats)}f", *floats))
    keys = metadata(tokenizer, shape, context)
    return padded(b"GGUF" + struct.pack("<IQQ", 3, len(infos), len(keys)) + b"".join(keys) + b"".join(infos)) + bytes(body)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("tokenizer", "weights", "out"):
        args.add_argument(name, type=pathlib.Path)
    for name, value in (("width", 192), ("layers", 4), ("heads", 6), ("hidden", 512), ("context", 512)):
        args.add_argument("--" + name, type=int, default=value)
    a = args.parse_args()
    tokenizer = bpe.load(a.tokenizer)
    a.vocabulary = tokenizer.size
    data = gguf(tokenizer, Weights(a.weights), a, a.context)
    a.out.write_bytes(data)
    print(f"{a.out}: {len(data)} bytes")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Writing of GGUF: blocks of q8_0, and a file whose shape does not fit."""
import array
import pathlib
import random
import struct
import tempfile
import types
import unittest

import bpe
import gguf


def shape(**more):
    return types.SimpleNamespace(**{"vocabulary": 270, "width": 32, "layers": 1, "heads": 1, "hidden": 32, **more})


class Blocks(unittest.TestCase):
    def test_weights_come_back_within_half_a_step(self):
        rng = random.Random(3)
        values = [rng.uniform(-2, 2) for _ in range(320)]
        data = gguf.q8_0(values)
        self.assertEqual(len(data), 10 * 34)
        for b in range(10):
            scale, *steps = struct.unpack_from("<e32b", data, b * 34)
            for value, n in zip(values[b * 32:], steps):
                self.assertLess(abs(value - scale * n), scale * 0.6)

    def test_zeros_are_zeros(self):
        self.assertEqual(gguf.q8_0([0.0] * 32), bytes(34))

    def test_halves_are_rounded_away_from_zero(self):
        self.assertEqual([gguf.rounded(x) for x in (0.5, -0.5, 1.49, -1.5, 0)], [1, -1, 1, -2, 0])


class Files(unittest.TestCase):
    def weights(self, folder, floats):
        path = pathlib.Path(folder) / "w"
        path.write_bytes(array.array("f", [0.5] * floats).tobytes())
        return gguf.Weights(path)

    def test_weights_of_another_shape_are_refused(self):
        tokenizer = bpe.Tokenizer([], 270)
        right = 270 * 32 + 32 + 2 * 32 + 7 * 32 * 32
        with tempfile.TemporaryDirectory() as folder:
            whole = gguf.gguf(tokenizer, self.weights(folder, right), shape(), 64)
            self.assertEqual(whole[:4], b"GGUF")
            self.assertEqual(len(whole) % gguf.ALIGN, 0)
            for floats in (right - 1, right + 1):
                with self.assertRaises(SystemExit):
                    gguf.gguf(tokenizer, self.weights(folder, floats), shape(), 64)


if __name__ == "__main__":
    unittest.main()

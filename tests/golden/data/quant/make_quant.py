#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Golden vectors of the stored types, made by llama.cpp's own Python package (gguf 0.19.0, numpy 2.4).
TYPE.blocks: random blocks with sane scales; TYPE.f32: gguf.quants.dequantize of them.
encode.f32: values; encode.TYPE: gguf.quants.quantize of them (Q8_0 Q4_1 BF16 F16).
Run: pip install gguf==0.19.0 numpy && python3 make_quant.py"""
import pathlib
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf.quants import dequantize, quantize

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(7)
# name: bytes a block, blocks, places of f16 scales
kinds = {"Q4_0": (18, 16, [0]), "Q4_1": (20, 16, [0, 2]), "Q8_0": (34, 16, [0]), "Q4_K": (144, 3, [0, 2]), "Q6_K": (210, 3, [208])}
for name, (size, n, places) in kinds.items():
    b = rng.integers(0, 256, (n, size), dtype=np.uint8)
    for p in places:
        scale = (rng.standard_normal(n) * 0.02).astype(np.float16)
        scale[0] = np.float16(3e-7)  # subnormal
        scale[1] = np.float16(0)
        b[:, p:p + 2] = scale.view(np.uint8).reshape(n, 2)
    b.tofile(here / f"{name}.blocks")
    dequantize(b, T[name]).astype("<f4").tofile(here / f"{name}.f32")
x = (rng.standard_normal((16, 32)) * np.geomspace(1e-6, 1e3, 16)[:, None]).astype(np.float32)
x[3] = 0
x[4] = 1.25
x[5] = np.abs(x[5])
x[6, 0] = 7e4 # infinite as F16; its own block
x.astype("<f4").tofile(here / "encode.f32")
for name in ("Q8_0", "Q4_1", "BF16"):
    quantize(x, T[name]).tofile(here / f"encode.{name}")
with np.errstate(over="ignore"):
    x.astype(np.float16).tofile(here / "encode.F16")

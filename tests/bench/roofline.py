#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Roofline on paper of one training step on a GPU: bytes, operations and the least time of each kernel of kernels/cuda, from the shapes
and from what the kernels read and write as they stand (float32 activations, products in --precision). Nothing here is measured: a
product is given EFFICIENCY of the card's dense peak, a memory-bound kernel BANDWIDTH of its memory's.
usage: roofline.py [f32|tf32|bf16]"""
import sys

EFFICIENCY, BANDWIDTH = 0.70, 0.85
CARDS = {  # dense TFLOP/s, GB/s, GB: NVIDIA's data sheets
    "H100 SXM": dict(f32=67, tf32=495, bf16=989, gbs=3350, gb=80),
    "RTX 4090": dict(f32=82.6, tf32=82.6, bf16=165, gbs=1008, gb=24),
}
STUDENT = dict(layers=16, d=2048, ffn=8192, heads=32, kv=8, dh=64, vocab=128256, name="1 B student (Llama 3.2 1B's shape)")
TEACHER = dict(layers=32, d=4096, ffn=14336, heads=32, kv=8, dh=128, vocab=128256, name="8 B teacher (Llama 3.1 8B's shape)")
TOKENS, DOC, BLOCK, CHUNK = 8192, 2048, 256, 1024  # tokens a micro-batch, a document, queries a block, rows a loss chunk


def body(m):
    return m["layers"] * (m["d"] * (m["heads"] + 2 * m["kv"]) * m["dh"] + m["heads"] * m["dh"] * m["d"] + 3 * m["d"] * m["ffn"])


def rows(precision):
    """(kernel, FLOP in products, bytes moved besides)"""
    s, t, n, w = STUDENT, TEACHER, TOKENS, 4
    cast = 6 if precision == "bf16" else 0  # a value read as float32 and written as bf16 before each product
    out = []
    for m, who, back in ((t, "teacher", 0), (s, "student", 1)):
        L, d, f, q, kv = m["layers"], m["d"], m["ffn"], m["heads"] * m["dh"], m["kv"] * m["dh"]
        p = body(m)
        ins = 3 * d + q + 2 * d + f  # inputs of q k v, o, gate up, down: cast once each
        outs = q + 2 * kv + d + 2 * f + d
        out.append((f"{who}: products forward", 2 * p * n, L * n * ins * cast))
        if not back:
            out.append((f"{who}: weights decoded before each product", 0, p * (2 + 4 + cast)))  # a bf16 file, float32 matrix in hand
        if back:
            out.append((f"{who}: products backward (dx, dw)", 4 * p * n, L * n * (2 * outs + ins) * cast))
            out.append((f"{who}: weights to bf16 after the update", 0, (p + m["vocab"] * d) * cast))
        keys = DOC / 2 + BLOCK / 2  # a query's mean, with what the blocks waste above the diagonal
        pairs = L * m["heads"] * n * keys
        out.append((f"{who}: attention products" + (" (2 forward, 5 backward)" if back else ""), 2 * pairs * m["dh"] * (2 + 5 * back), 0))
        # scores: written by the product, read for the maximum, read and written by exp, by 1/sum, read by the product
        out.append((f"{who}: attention softmax and its gradient", 0, pairs * w * (7 + 9 * back)))
        out.append((f"{who}: RMSNorm, rope, SwiGLU, residual", 0, L * n * w * ((2 * 2 * d + 3 * d + 2 * (q + kv) + 3 * f) * (1 + 2 * back))))
        head = m["vocab"] * d
        out.append((f"{who}: output head" + (" (z, dx, dw)" if back else ""), 2 * head * n * (1 + 2 * back),
                    n * m["vocab"] * w * (1 + 2 * back) + n * m["vocab"] * cast * 2 * back + (n / CHUNK) * head * w * 2 * back))
    out.append(("loss rows (fkl: 2 log-sum-exps, divergence, gradient over z)", 0, n * s["vocab"] * w * (2 * 2 + 2 + 1)))
    params = body(s) + s["vocab"] * s["d"]
    out.append(("gradient norm", 0, params * w))
    out.append(("AdamW (p, m, v read and written, gradient read and zeroed)", 0, params * w * 8))
    return out, params


def main():
    precision = sys.argv[1] if len(sys.argv) > 1 else "bf16"
    table, params = rows(precision)
    model_flop = 2 * TOKENS * (3 * (body(STUDENT) + STUDENT["vocab"] * STUDENT["d"]) + body(TEACHER) + TEACHER["vocab"] * TEACHER["d"])
    print(f"Products in {precision}; {TOKENS} tokens a step, documents of {DOC}.\n")
    print("| kernel | TFLOP | GB | " + " | ".join(f"{c}, ms" for c in CARDS) + " |")
    print("|---|---|---|" + "---|" * len(CARDS))
    total = {c: 0.0 for c in CARDS}
    for name, flop, data in table:
        cells = []
        for c, v in CARDS.items():
            # attention and scores stay float32 in and out: TF32 products at best
            peak = v["tf32" if precision == "bf16" and "attention" in name else precision]
            ms = flop / (peak * 1e12 * EFFICIENCY) * 1e3 + data / (v["gbs"] * 1e9 * BANDWIDTH) * 1e3
            total[c] += ms
            cells.append(f"{ms:.1f}")
        print(f"| {name} | {flop / 1e12:.1f} | {data / 1e9:.1f} | " + " | ".join(cells) + " |")
    print(f"| the step | {sum(r[1] for r in table) / 1e12:.1f} | {sum(r[2] for r in table) / 1e9:.1f} | " + " | ".join(f"{total[c]:.0f}" for c in CARDS) + " |")
    print("\n" + "; ".join(f"{c}: {TOKENS / total[c] * 1e3:,.0f} tokens/s, {model_flop / total[c] * 1e3 / (CARDS[c][precision] * 1e12) * 100:.0f} % of peak" for c in CARDS) + ".")
    s = STUDENT
    act = s["layers"] * TOKENS * 4 * (2 * s["d"] + s["heads"] * s["dh"] * 2 + 2 * s["kv"] * s["dh"] + 2 * s["ffn"]) / 1e9
    teacher = (body(TEACHER) + TEACHER["vocab"] * TEACHER["d"]) / 1e9
    print(f"Memory: student {params / 1e9:.2f} G parameters x (4 + 4 + 8{' + 2' if precision == 'bf16' else ''}) bytes = "
          f"{params * (18 if precision == 'bf16' else 16) / 1e9:.1f} GB, kept activations {act:.1f} GB (without --recompute), teacher {teacher * 2:.1f} GB as bf16 file, its head as float32 {TEACHER['vocab'] * TEACHER['d'] * 4 / 1e9:.1f} GB.")


main()

# SPDX-License-Identifier: Apache-2.0
"""Runs that no threshold was chosen by: architectures, batches and jobs drawn from the run's name, recorded after the judgement was written.
Reported apart; when a threshold is changed because of one of them, draw new ones (another SEED)."""
import random

import torch

from models import Arch
from variants import F32, decoder, trained
from variants_frozen import lora
from variants_inference import batches, generates, inferred
from variants_jobs import dpo, evaluated

SEED = 2  # 1 was looked at when evaluations of other lengths were told apart
ARCHITECTURES = 12


def drawn(r):
    """An architecture as people make them, of a size that nobody published."""
    dim = r.choice((64, 80, 96, 128))
    heads = r.choice((6, 8, 10, 12, 14, 16, 20))
    hidden, gated = dim * heads, r.random() < 0.7
    kv = r.choice([k for k in (1, 2, heads // 4, heads // 2, heads) if k and heads % k == 0])
    ffn = (round(hidden * r.uniform(2.3, 3.6) / 64) * 64) if gated else 4 * hidden
    return Arch(hidden, ffn, heads, r.randint(3, 7), r.choice((32768, 49408, 50304, 64000, 100352, 151680)), kv=kv,
                mlp="swiglu" if gated else "gelu", qkv=r.choice(("split", "fused")), bias=not gated, mlp_fused=gated and r.random() < 0.3,
                tied=r.random() < 0.4)


def batch(r):
    return r.choice(((1, 2048), (2, 1024), (4, 512), (8, 640), (3, 777), (1, 4096), (16, 128), (2, 3000)))


for i in range(ARCHITECTURES):
    r = random.Random(f"{SEED}-{i}")
    arch, n = drawn(r), f"held_{i:02}"
    b = batch(r)
    trained(f"{n}_full", "full", decoder(arch), [[b]] * r.randint(2, 4), dtype=r.choice((F32, torch.bfloat16)))
    trained(f"{n}_ckpt", "checkpoint", decoder(arch), [[batch(r)]] * 2, recompute=r.choice(("layer", "reentrant", "mlp")))
    trained(f"{n}_accumulate", "accumulation", decoder(arch), [[batch(r)] * r.randint(2, 4)] * 2)
    trained(f"{n}_varying", "varying_t", decoder(arch), [[(2, r.randint(200, 1500))] for _ in range(3)])
    trained(f"{n}_graphs", "cuda_graph", decoder(arch), [[batch(r)]] * 3, {"one_thread": True})
    lora(f"{n}_lora", arch, r.choice((8, 16, 32)), [[batch(r)]] * 2, **({"recompute": "layer"} if r.random() < 0.5 else {}))
    dpo(f"{n}_dpo", arch, batch(r), 2)
    evaluated(f"{n}_eval", arch, b, 2, [batch(r)])
    inferred(f"{n}_prefill", "prefill", decoder(arch), batches((1, r.randint(100, 3000)), (1, r.randint(100, 3000)), last=True))
    inferred(f"{n}_decode", "decode", decoder(arch), generates(r.choice((1, 4, 17, 32)), r.randint(50, 600), r.randint(8, 32)))
    inferred(f"{n}_scoring", "batch_scoring", decoder(arch), batches(*[batch(r)] * 3))

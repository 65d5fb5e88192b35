# SPDX-License-Identifier: Apache-2.0
"""Runs that no threshold was chosen by: architectures, batches and jobs drawn from the run's name, recorded after the judgement was written.
Reported apart; when a threshold is changed because of one of them, draw new ones (another SEED)."""
import os
import random

import torch

import jobs
from models import Arch, Encoder
from others import Mixer, Recurrent
from variants import F32, decoder, trained
from variants_frozen import lora, partly
from variants_inference import batches, calibrated, disaggregated, embed, generates, inferred, replicas
from variants_jobs import distil, dpo, evaluated, optimized, reinforce

# 1 was looked at when evaluations of other lengths were told apart, 2 when tokens of a hidden size were, 3 was measured while bounds and findings were
# written, 4 was looked at when buffers were read, 5 when the order of one thread was, 6 when threads of unknown phases were told. SEED=n draws others, to try.
SEED = int(os.environ.get("SEED", 7))
ARCHITECTURES = 4
RARER = 2


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


def encoder(arch):
    return lambda o: Encoder(o, arch)


# Rarer jobs, of which the first table has one or two each.
for i in range(RARER):
    r = random.Random(f"{SEED}-rarer-{i}")
    arch, n = drawn(r), f"held_r{i:02}"
    small = arch.but(layers=r.randint(3, 4))
    reads = arch.but(mlp="gelu", bias=True, tied=True, kv=arch.heads, qkv="split", mlp_fused=False, ffn=4 * arch.hidden)
    moe = arch.but(experts=r.choice((4, 8, 16)), top=2, mlp="swiglu", mlp_fused=False, bias=False)
    trained(f"{n}_ckpt_graphs", "checkpoint_cuda_graph", decoder(arch), [[batch(r)]] * 3, {"one_thread": True}, recompute="layer")
    dpo(f"{n}_dpo_ckpt", arch, batch(r), 2, "dpo_checkpoint", recompute="layer")
    evaluated(f"{n}_eval_graphs", small, (2, 512), 1, [(2, 512)] * r.randint(1, 3), recorder={"one_thread": True})
    evaluated(f"{n}_eval_encoder", reads, (16, 128), 2, [(64, 128)], Encoder)
    evaluated(f"{n}_eval_ckpt", arch, batch(r), 2, [batch(r)], recompute="layer")
    trained(f"{n}_encoder", "encoder", encoder(reads), [[(r.randint(4, 32), r.randint(64, 300))] for _ in range(2)])
    trained(f"{n}_eager", "eager_attention", decoder(arch), [[(2, r.randint(200, 1500))]] * 2, attention="eager")
    trained(f"{n}_moe", "moe", decoder(moe), [[batch(r)]] * 2)
    trained(f"{n}_moe_graphs", "cuda_graph", decoder(moe), [[batch(r)]] * 2, {"one_thread": True}, capacity=True)
    trained(f"{n}_tp2", "tensor_parallel", decoder(arch.but(kv=arch.heads)), [[batch(r)]] * 2, tp=2, recompute=r.choice((None, "layer")))
    for hide in ("input", "weight"):
        trained(f"{n}_hidden_{hide}", f"hidden_{hide}", decoder(arch), [[batch(r)]] * 2, linear="hidden", hide=(hide,), parallel=lambda c, m: jobs.ddp(c, m, 2))
    distil(f"{n}_distil", arch, drawn(r), (2, r.randint(300, 1500)), "distillation", 2)
    optimized(f"{n}_muon", arch, batch(r), "muon", jobs.muon, 2)
    reinforce(f"{n}_grpo", small, r.choice((4, 8, 16)), r.randint(50, 300), r.randint(8, 24), 1, "rl_grpo")
    reinforce(f"{n}_grpo_thread", small, r.choice((4, 8, 16)), r.randint(50, 300), r.randint(8, 24), 1, "rl_rollout_thread", elsewhere=2)
    trained(f"{n}_mixer", "mixer", lambda o, t=r.randint(100, 300), h=64 * r.randint(4, 12): Mixer(o, t, h, h // 2, 4 * h, 5, 1000), [[(r.randint(16, 64),)]] * 2)
    trained(f"{n}_lstm", "recurrent", lambda o, h=64 * r.randint(5, 20), l=r.randint(1, 3): Recurrent(o, h, l, 20000), [[(32, 24)]] * 2)
    partly(f"{n}_head_only", arch.but(vocab=r.randint(500, 5000), tied=False), lambda p: p.startswith("head"), [[batch(r)]] * 2, "trained_head")
    partly(f"{n}_probe", arch.but(vocab=r.randint(200, 2000), tied=False), lambda p: p.startswith("head"), [[batch(r)]] * 2, "trained_head", no_grad=True)
    lora(f"{n}_lora_ckpt", arch, r.choice((8, 16, 32, 64)), [[batch(r)]] * 2, "lora_checkpoint", recompute="layer")
    replicas(f"{n}_replicas", arch, r.randint(2, 9), r.randint(60, 400), r.randint(4, 9), 3)
    disaggregated(f"{n}_disaggregated", arch, r.randint(200, 2000), r.choice((8, 32, 48)), 4, r.randint(4, 9))
    calibrated(f"{n}_gptq", small, [(1, r.choice((777, 1024, 2048)))] * 2)
    inferred(f"{n}_moe_decode", "decode_moe", decoder(moe), generates(r.randint(4, 32), r.randint(50, 300), 8))
    inferred(f"{n}_embeddings", "embeddings", encoder(reads), lambda c, m, b=(r.randint(16, 64), r.randint(64, 400)): embed(c, m, b, b))
    inferred(f"{n}_inf_eager", "eager_attention", decoder(arch), batches(*[(2, r.randint(200, 1200))] * 2), attention="eager")
    inferred(f"{n}_inf_mixer", "mixer", lambda o, t=r.randint(100, 300), h=64 * r.randint(4, 12): Mixer(o, t, h, h // 2, 4 * h, 5, 1000), batches((r.randint(16, 64),), (64,)))
    inferred(f"{n}_inf_lstm", "recurrent", lambda o, h=64 * r.randint(5, 20), l=r.randint(1, 3): Recurrent(o, h, l, 20000), batches((64, 30), (32, 30)))

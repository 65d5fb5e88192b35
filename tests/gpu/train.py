#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A small GPT, trained for a few eager steps on made-up data; says what PyTorch itself counts.

    train.py --steps N [--count] [--checkpoint] [--dtype bf16|tf32] [--attention products|sdpa]     prints one JSON object
"""
import argparse
import json
import threading
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

LAYERS, HIDDEN, HEADS, VOCAB, BATCH, SEQ = 4, 1024, 16, 8192, 8, 512
threads = {}


def note(what):
    threads.setdefault(what, set()).add(threading.get_native_id())


class Block(nn.Module):
    def __init__(self, attention):
        super().__init__()
        self.attention = attention
        self.norm1, self.norm2 = nn.LayerNorm(HIDDEN), nn.LayerNorm(HIDDEN)
        self.qkv, self.out = nn.Linear(HIDDEN, 3 * HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        self.up, self.down = nn.Linear(HIDDEN, 4 * HIDDEN), nn.Linear(4 * HIDDEN, HIDDEN)

    def forward(self, x):
        # In a recomputation autograd calls this again, on whichever thread it uses.
        note("forward" if not torch._C._current_graph_task_id() >= 0 else "recomputation")
        b, s, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, s, 3, HEADS, HIDDEN // HEADS).permute(2, 0, 3, 1, 4)
        if self.attention == "sdpa":
            a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:  # by products, so that all of it goes through cuBLAS
            a = torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-2, -1)) * (HIDDEN // HEADS) ** -0.5, dim=-1), v)
        x = x + self.out(a.transpose(1, 2).reshape(b, s, HIDDEN))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Model(nn.Module):
    def __init__(self, use_checkpoint, attention):
        super().__init__()
        self.embed, self.head = nn.Embedding(VOCAB, HIDDEN), nn.Linear(HIDDEN, VOCAB, bias=False)
        self.blocks = nn.ModuleList(Block(attention) for _ in range(LAYERS))
        self.use_checkpoint = use_checkpoint

    def forward(self, tokens):
        x = self.embed(tokens)
        for b in self.blocks:
            x = checkpoint(b, x, use_reentrant=False) if self.use_checkpoint else b(x)
        return self.head(x)


def step(model, optimizer, tokens, bf16):
    with torch.autocast("cuda", dtype=torch.bfloat16, enabled=bf16):
        logits = model(tokens[:, :-1])
        loss = F.cross_entropy(logits.reshape(-1, VOCAB).float(), tokens[:, 1:].reshape(-1))
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--steps", type=int, default=20)
    p.add_argument("--count", action="store_true")
    p.add_argument("--checkpoint", action="store_true")
    p.add_argument("--dtype", choices=["bf16", "tf32"], default="bf16")
    p.add_argument("--attention", choices=["products", "sdpa"], default="products")
    args = p.parse_args()
    torch.manual_seed(1)
    torch.backends.cuda.matmul.allow_tf32 = True
    model = Model(args.checkpoint, args.attention).cuda()
    for w in model.parameters():
        w.register_hook(lambda g: note("weight gradients"))
    optimizer = torch.optim.AdamW(model.parameters())
    tokens = torch.randint(VOCAB, (BATCH, SEQ + 1), device="cuda")
    bf16 = args.dtype == "bf16"
    out = {"torch": torch.__version__, "gpu": torch.cuda.get_device_name(), "steps": args.steps, "dtype": args.dtype,
           "checkpoint": args.checkpoint}
    if args.count:
        with FlopCounterMode(display=False) as counter:
            for _ in range(args.steps):
                step(model, optimizer, tokens, bf16)
        products = {str(k): v for k, v in counter.get_flop_counts()["Global"].items()}
        out.update(operations=str(sum(products.values())), by_operator=products)
    else:
        for _ in range(3):
            step(model, optimizer, tokens, bf16)
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(args.steps):
            step(model, optimizer, tokens, bf16)
        torch.cuda.synchronize()
        out["steps_per_s"] = args.steps / (time.perf_counter() - start)
    torch.cuda.synchronize()
    main_thread = threading.get_native_id()
    out["threads"] = {k: ["main" if t == main_thread else "autograd" for t in v] for k, v in threads.items()}
    print(json.dumps(out))


main()

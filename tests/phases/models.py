# SPDX-License-Identifier: Apache-2.0
"""Transformers: decoders (dense, mixture of experts, latent attention, stages of a pipeline), encoders, encoder-decoders."""
import random
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import nn

from layers import Linear, Norm, attend, checkpointed, enter, heads, ids, leave, merge, parameter


@dataclass(frozen=True)
class Arch:
    hidden: int
    ffn: int
    heads: int
    layers: int
    vocab: int
    kv: int = 0  # 0: as many as heads
    dim: int = 0  # of a head; 0: hidden / heads
    mlp: str = "swiglu"
    qkv: str = "split"
    qkv_bias: bool = False
    bias: bool = False
    mlp_fused: bool = False
    tied: bool = False
    experts: int = 0
    top: int = 2
    shared: int = 0
    expert_ffn: int = 0
    dense_first: int = 0
    latent: tuple = ()  # query rank, key-value rank, rope, nope, value: as DeepSeek's configuration has them
    embed: bool = True
    head: bool = True

    def but(self, **kw):
        return replace(self, **kw)


class Attention(nn.Module):
    def __init__(self, opt, a):
        super().__init__()
        self.opt = opt
        d = a.dim or a.hidden // a.heads
        self.h, self.kv = a.heads // opt.tp, max(1, (a.kv or a.heads) // opt.tp)
        bias = a.bias or a.qkv_bias
        self.fused = a.qkv == "fused"
        if self.fused:
            self.qkv = Linear(opt, a.hidden, (self.h + 2 * self.kv) * d, bias)
        else:
            self.q = Linear(opt, a.hidden, self.h * d, bias)
            self.k = Linear(opt, a.hidden, self.kv * d, bias)
            self.v = Linear(opt, a.hidden, self.kv * d, bias)
        self.o = Linear(opt, self.h * d, a.hidden, a.bias)
        self.d = d

    def forward(self, x, memory=None, past=0):
        x = enter(self.opt, x)
        m = x if memory is None else memory
        if self.fused:
            q, k, v = self.qkv(x).split([self.h * self.d, self.kv * self.d, self.kv * self.d], -1)
        elif isinstance(memory, int):  # keys and values of so many tokens were kept
            q, k = self.q(x), x.new_empty(x.shape[0], memory, self.kv * self.d)
            v = k
        else:
            q, k, v = self.q(x), self.k(m), self.v(m)
        q, k, v = heads(q, self.h), heads(k, self.kv), heads(v, self.kv)
        if past:  # keys and values of the tokens before
            k, v = (torch.cat([t.new_empty(*t.shape[:2], past, t.shape[3]), t], 2) for t in (k, v))
        return leave(self.opt, self.o(merge(attend(self.opt.attention, q, k, v))))


class LatentAttention(nn.Module):
    def __init__(self, opt, a):
        super().__init__()
        self.opt = opt
        qr, kvr, rope, nope, value = self.latent = a.latent
        self.h = a.heads // opt.tp
        self.q_a, self.q_b = Linear(opt, a.hidden, qr), Linear(opt, qr, self.h * (nope + rope))
        self.kv_a, self.kv_b = Linear(opt, a.hidden, kvr + rope), Linear(opt, kvr, self.h * (nope + value))
        self.o = Linear(opt, self.h * value, a.hidden)

    def forward(self, x, memory=None, past=0):
        _, kvr, rope, nope, value = self.latent
        x = enter(self.opt, x)
        q = heads(self.q_b(self.q_a(x)), self.h)
        if past and x.shape[1] == 1:
            return leave(self.opt, self.o(self.absorbed(q, self.kv_a(x))))
        low, turned = self.kv_a(x).split([kvr, rope], -1)
        k, v = heads(self.kv_b(low), self.h).split([nope, value], -1)
        k = torch.cat([k, turned.unsqueeze(1).expand(-1, self.h, -1, -1)], -1)
        return leave(self.opt, self.o(merge(attend(self.opt.attention, q, k, v))))


    def absorbed(self, q, low):
        """Decoding: the weights that would unfold all keys and values are multiplied with the query and the result instead."""
        _, kvr, _, nope, value = self.latent
        k, v = self.kv_b.weight.view(self.h, nope + value, kvr).split([nope, value], 1)
        y = torch.bmm(q[..., :nope].squeeze(2).transpose(0, 1), k)
        y = torch.bmm(y, v.transpose(1, 2))
        return y.transpose(0, 1).reshape(low.shape[0], 1, -1)


class Mlp(nn.Module):
    def __init__(self, opt, hidden, ffn, a, alone=False):
        super().__init__()
        self.opt, self.kind, self.fused = opt, a.mlp, a.mlp_fused
        self.alone = alone  # an expert: communicates by itself
        ffn //= 1 if alone else opt.tp
        if a.mlp == "swiglu" and not a.mlp_fused:
            self.gate = Linear(opt, hidden, ffn, a.bias)
        self.up = Linear(opt, hidden, 2 * ffn if a.mlp == "swiglu" and a.mlp_fused else ffn, a.bias)
        self.down = Linear(opt, ffn, hidden, a.bias)

    def forward(self, x):
        x = x if self.alone else enter(self.opt, x)
        if self.kind != "swiglu":
            y = F.gelu(self.up(x))
        elif self.fused:
            g, u = self.up(x).chunk(2, -1)
            y = F.silu(g) * u
        else:
            y = F.silu(self.gate(x)) * self.up(x)
        y = self.down(y)
        return y if self.alone else leave(self.opt, y)


class Experts(nn.Module):
    """Tokens routed to the top experts; how many go where is drawn, the same again when a layer is recomputed."""
    def __init__(self, opt, a, layer):
        super().__init__()
        self.opt, self.a, self.layer = opt, a, layer
        ffn = a.expert_ffn or a.ffn
        self.router = Linear(opt, a.hidden, a.experts, mode="plain")
        self.local = a.experts // opt.ep
        self.shared = Mlp(opt, a.hidden, a.shared * ffn, a, alone=True) if a.shared else None
        if opt.capacity:
            self.up, self.down = parameter(opt, self.local, a.hidden, ffn), parameter(opt, self.local, ffn, a.hidden)
        else:
            self.experts = nn.ModuleList(Mlp(opt, a.hidden, ffn, a, alone=True) for _ in range(self.local))

    def counts(self, tokens):
        rng = random.Random(f"{self.opt.rec.name}/{self.opt.rec.micro}/{self.layer}/{tokens}")
        weight = [rng.gammavariate(2, 1) for _ in range(self.a.experts)]
        n = [0] * self.a.experts
        for e in rng.choices(range(self.a.experts), weight, k=tokens * self.a.top):
            n[e] += 1
        # Of all ranks' tokens these are this rank's experts': as many ranks send as there are parts of the experts.
        return n[: self.local] if self.opt.ep == 1 else [sum(n[e + r] for r in (0, 1)) * self.opt.ep // 2 for e in range(self.local)]

    def forward(self, x):
        shape, x = x.shape, x.reshape(-1, x.shape[-1])
        t = x.shape[0]
        y = x * F.softmax(self.router(x), -1).sum(-1, keepdim=True).to(x.dtype)
        if self.opt.ep > 1:  # tokens go to their experts and come back, and so do their gradients
            collect = lambda: self.opt.rec.collect("alltoall", t * self.a.top * x.shape[1] * x.element_size(), 2)
            collect()
            if y.requires_grad:
                y.register_hook(lambda g: collect())
        if self.opt.grouped:
            pass
        elif self.opt.capacity:
            c = -(-t * self.a.top * 5 // (4 * self.a.experts))
            z = y.index_select(0, ids(self.local * c)).view(self.local, c, -1)
            z = torch.bmm(F.gelu(torch.bmm(z, self.up)), self.down).view(self.local * c, -1)
            y = y.index_add(0, ids(self.local * c), z)
        else:
            for expert, n in zip(self.experts, self.counts(t)):
                if n:
                    y = y.index_add(0, ids(n), expert(y.index_select(0, ids(n))))
        if self.shared is not None:
            y = y + self.shared(x)
        return y.view(shape)


class Block(nn.Module):
    def __init__(self, opt, a, layer, cross=False):
        super().__init__()
        self.opt, self.layer = opt, layer
        self.attention = (LatentAttention if a.latent else Attention)(opt, a)
        self.cross = Attention(opt, a) if cross else None
        moe = a.experts and layer >= a.dense_first
        self.mlp = Experts(opt, a, layer) if moe else Mlp(opt, a.hidden, a.ffn, a)
        self.n1, self.n2 = Norm(opt, a.hidden), Norm(opt, a.hidden)
        self.adapters = None

    def add_adapters(self, width):
        h = self.n1.weight.shape[0]
        self.adapters = nn.ModuleList(nn.Sequential(Linear(self.opt, h, width, True), nn.GELU(), Linear(self.opt, width, h, True)) for _ in range(2))

    def body(self, x, memory, past):
        r = self.opt.recompute
        attention = self.attention(self.n1(x), None, past) if r != "attention" else checkpointed(self.opt, self.attention, self.n1(x))
        x = x + (attention if self.adapters is None else attention + self.adapters[0](attention))
        if self.cross is not None:
            x = x + self.cross(self.n1(x), memory)
        mlp = self.mlp(self.n2(x)) if r != "mlp" else checkpointed(self.opt, self.mlp, self.n2(x))
        return x + (mlp if self.adapters is None else mlp + self.adapters[1](mlp))

    def forward(self, x, memory=None, past=0):
        r = self.opt.recompute
        if r in ("layer", "reentrant") or (r == "alternate" and self.layer % 2 == 0):
            return checkpointed(self.opt, self.body, x, memory, past)
        return self.body(x, memory, past)


class Head(nn.Module):
    """The vocabulary's product and the loss, at once or in slices of the tokens."""
    def __init__(self, opt, a, table=None):
        super().__init__()
        self.opt = opt
        self.linear = Linear(opt, a.hidden, a.vocab // opt.tp)
        if table is not None:
            self.linear.weight = table.weight

    def loss(self, x):
        x = x.reshape(-1, x.shape[-1])
        def part(h):
            y = self.linear(h)
            return F.cross_entropy(y.float(), ids(y.shape[0]), reduction="sum")
        return sum(part(h) for h in x.chunk(self.opt.head_chunks))

    def forward(self, x):
        return self.linear(x)


class Decoder(nn.Module):
    """Batches are (sequences, tokens of each): nothing but their sizes matters."""
    def __init__(self, opt, a):
        super().__init__()
        self.opt, self.arch = opt, a
        self.table = nn.Embedding(a.vocab // opt.tp, a.hidden, device="meta", dtype=opt.dtype) if a.embed or (a.tied and a.head) else None
        self.blocks = nn.ModuleList(Block(opt, a, i) for i in range(a.layers))
        self.norm = Norm(opt, a.hidden)
        self.head = Head(opt, a, self.table if a.tied else None) if a.head else None

    def hidden(self, batch, past=0):
        b, s = batch
        if self.arch.embed:
            x = self.table(ids(b, s))
        else:  # handed over by the stage before
            x = self.opt.empty(b, s, self.arch.hidden, dtype=self.opt.dtype).requires_grad_(torch.is_grad_enabled())
        if self.opt.recompute and torch.is_grad_enabled() and not x.requires_grad:
            x.requires_grad_()  # else a checkpoint of frozen layers has nothing to hand on
        if self.opt.sp:
            x = x[:, : s // self.opt.tp]
        for block in self.blocks:
            x = block(x, None, past)
        return self.norm(x)

    def loss(self, batch):
        self.opt.rec.tokens += batch[0] * batch[1] if torch.is_grad_enabled() else 0
        x = self.hidden(batch)
        return x.sum() if self.head is None else self.head.loss(enter(self.opt, x))

    def logits(self, batch, past=0, last=False):
        x = self.hidden(batch, past)
        return self.head(x[:, -1:] if last else x)

    def facts(self):
        return {"hidden": self.arch.hidden, "layers": self.arch.layers, "vocabulary": self.arch.vocab if self.head is not None else None}


class Encoder(nn.Module):
    """BERT-like (a table of words and a head over the masked ones) or ViT-like (patches, a head over classes)."""
    def __init__(self, opt, a, patch=0, masked=0.15):
        super().__init__()
        self.opt, self.arch, self.patch, self.masked = opt, a, patch, masked
        if patch:
            self.conv = nn.Conv2d(3, a.hidden, patch, patch, device="meta", dtype=opt.dtype)
        else:
            self.table = nn.Embedding(a.vocab, a.hidden, device="meta", dtype=opt.dtype)
            self.dense = Linear(opt, a.hidden, a.hidden, True)
        self.blocks = nn.ModuleList(Block(opt, a, i) for i in range(a.layers))
        self.norm = Norm(opt, a.hidden)
        self.head = Head(opt, a, self.table if a.tied else None)

    def hidden(self, batch):
        b, s = batch
        if self.patch:
            x = self.conv(self.opt.empty(b, 3, s, s, dtype=self.opt.dtype)).flatten(2).transpose(1, 2)
            x = torch.cat([x.new_empty(b, 1, x.shape[-1]), x], 1)
        else:
            x = self.table(ids(b, s))
        for block in self.blocks:
            x = block(x)
        return self.norm(x)

    def loss(self, batch):
        x = self.hidden(batch)
        self.opt.rec.tokens += x.shape[0] * x.shape[1] if torch.is_grad_enabled() else 0
        if self.patch:
            return self.head.loss(x[:, 0])
        x = x.reshape(-1, x.shape[-1])
        x = x.index_select(0, ids(int(x.shape[0] * self.masked)))
        return self.head.loss(F.gelu(self.dense(x)))

    def logits(self, batch):
        x = self.hidden(batch)
        return self.head(x[:, 0])

    def facts(self):
        return {"hidden": self.arch.hidden, "layers": self.arch.layers, "vocabulary": None if self.patch else self.arch.vocab}


class EncoderDecoder(nn.Module):
    """Batches are (sequences, tokens of the encoder, tokens of the decoder)."""
    def __init__(self, opt, a):
        super().__init__()
        self.opt, self.arch = opt, a
        self.table = nn.Embedding(a.vocab, a.hidden, device="meta", dtype=opt.dtype)
        self.encoder = nn.ModuleList(Block(opt, a, i) for i in range(a.layers))
        self.decoder = nn.ModuleList(Block(opt, a, i, cross=True) for i in range(a.layers))
        self.head = Head(opt, a, self.table if a.tied else None)

    def hidden(self, batch, past=0):
        b, s, t = batch
        x, y = self.table(ids(b, s)), self.table(ids(b, t))
        for block in self.encoder:
            x = block(x)
        for block in self.decoder:
            y = block(y, x, past)
        return y

    def loss(self, batch):
        return self.head.loss(self.hidden(batch))

    def logits(self, batch):
        return self.head(self.hidden(batch))

    def generate(self, batch, tokens):
        b, s = batch
        x = self.table(ids(b, s))
        for block in self.encoder:
            x = block(x)
        for i in range(tokens):
            y = self.table(ids(b, 1))
            for block in self.decoder:
                y = block(y, s if i else x, i)
            self.head(y)

    def facts(self):
        return {"hidden": self.arch.hidden, "layers": 2 * self.arch.layers, "vocabulary": self.arch.vocab, "tokens": None}

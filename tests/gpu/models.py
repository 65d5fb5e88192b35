# SPDX-License-Identifier: Apache-2.0
"""The networks that the workloads run: a small GPT with what is varied on it, and a small residual convolution net. Made-up
data and weights; nothing is downloaded. Sizes are multiples of 16, as fp8 products ask."""
import contextlib

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.checkpoint import checkpoint


class Size:
    """How large: `tiny` is for a CPU, to test the logic."""

    def __init__(self, is_tiny=False, layers=0):
        self.layers, self.hidden, self.heads, self.vocab, self.batch, self.seq = (2, 64, 4, 128, 2, 32) if is_tiny else (
            layers or 4, 1024, 16, 8192, 8, 512)
        self.rank = 16  # of LoRA's adapters
        self.channels, self.image = (16, 32) if is_tiny else (64, 128)
        self.product = 64 if is_tiny else 4096


class Fp8Product(torch.autograd.Function):
    """x w^T with both operands in fp8, and both gradients likewise. `operations` keeps what it multiplied, since not every
    version of FlopCounterMode knows the operator."""
    operations = 0

    @staticmethod
    def quantise(t, kind):
        scale = t.abs().amax().float().clamp(min=1e-12) / torch.finfo(kind).max
        return (t / scale).to(kind), scale

    @staticmethod
    def multiply(a, b, scale_a, scale_b):
        """a (m, k) row by row, b (n, k) row by row: a b^T."""
        Fp8Product.operations += 2 * a.shape[0] * a.shape[1] * b.shape[0]
        return torch._scaled_mm(a, b.t(), scale_a=scale_a, scale_b=scale_b, out_dtype=torch.bfloat16)

    @staticmethod
    def forward(ctx, x, w):
        x8, sx = Fp8Product.quantise(x, torch.float8_e4m3fn)
        w8, sw = Fp8Product.quantise(w, torch.float8_e4m3fn)
        ctx.save_for_backward(x8, sx, w8, sw)
        return Fp8Product.multiply(x8, w8, sx, sw)

    @staticmethod
    def backward(ctx, g):
        x8, sx, w8, sw = ctx.saved_tensors
        g8, sg = Fp8Product.quantise(g.contiguous(), torch.float8_e5m2)
        dx = Fp8Product.multiply(g8, w8.t().contiguous(), sg, sw)
        dw = Fp8Product.multiply(g8.t().contiguous(), x8.t().contiguous(), sg, sx)
        return dx, dw


class Fp8Linear(nn.Linear):
    def forward(self, x):
        y = Fp8Product.apply(x.reshape(-1, self.in_features).bfloat16(), self.weight.bfloat16())
        return y.view(*x.shape[:-1], self.out_features) + self.bias.to(y.dtype)


class LoraLinear(nn.Module):
    """A frozen weight and a trained adapter of low rank."""

    def __init__(self, base, rank):
        super().__init__()
        self.base, self.down = base.requires_grad_(False), nn.Linear(base.in_features, rank, bias=False)
        self.up = nn.Linear(rank, base.out_features, bias=False)

    def forward(self, x):
        return self.base(x) + self.up(self.down(x))


def backend(attention, device):
    """The context in which scaled_dot_product_attention takes that way; on a CPU whichever it has."""
    if attention not in ("flash", "cudnn") or device != "cuda":
        return contextlib.nullcontext()
    from torch.nn.attention import SDPBackend, sdpa_kernel
    return sdpa_kernel({"flash": SDPBackend.FLASH_ATTENTION, "cudnn": SDPBackend.CUDNN_ATTENTION}[attention])


class Block(nn.Module):
    def __init__(self, size, attention, linear):
        super().__init__()
        h = self.hidden = size.hidden
        self.heads, self.attention, self.cache = size.heads, attention, None
        self.norm1, self.norm2 = nn.LayerNorm(h), nn.LayerNorm(h)
        self.qkv, self.out, self.up, self.down = linear(h, 3 * h), linear(h, h), linear(h, 4 * h), linear(4 * h, h)
        self.note = lambda: None  # who calls this: tells on which thread autograd computes it again

    def attend(self, q, k, v):
        if self.cache is not None:
            return self.attend_cached(q, k, v)
        if self.attention != "products":
            with backend(self.attention, q.device.type):
                return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        # By products, so that all of it goes through the library.
        scores = torch.matmul(q, k.transpose(-2, -1)) * (self.hidden // self.heads) ** -0.5
        return torch.matmul(torch.softmax(scores, dim=-1), v)

    def attend_cached(self, q, k, v):
        """Over the whole cache, so that every token costs the same and a graph can hold the step."""
        keys, values, at = self.cache
        if q.shape[2] > 1:
            keys[:, :, : k.shape[2]], values[:, :, : v.shape[2]] = k, v
            return F.scaled_dot_product_attention(q, k, v, is_causal=True)
        keys.index_copy_(2, at, k)
        values.index_copy_(2, at, v)
        return F.scaled_dot_product_attention(q, keys, values)

    def forward(self, x):
        self.note()
        b, s, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, s, 3, self.heads, self.hidden // self.heads).permute(2, 0, 3, 1, 4)
        x = x + self.out(self.attend(q, k, v).transpose(1, 2).reshape(b, s, self.hidden))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Gpt(nn.Module):
    def __init__(self, size, attention="products", is_checkpointed=False, linear=nn.Linear, rank=0):
        super().__init__()
        self.embed, self.head = nn.Embedding(size.vocab, size.hidden), nn.Linear(size.hidden, size.vocab, bias=False)
        self.blocks = nn.ModuleList(Block(size, attention, linear) for _ in range(size.layers))
        self.is_checkpointed = is_checkpointed
        if rank:
            self.requires_grad_(False)
            for b in self.blocks:
                b.qkv, b.out = LoraLinear(b.qkv, rank), LoraLinear(b.out, rank)

    def forward(self, tokens):
        x = self.embed(tokens)
        for b in self.blocks:
            x = checkpoint(b, x, use_reentrant=False) if self.is_checkpointed else b(x)
        return self.head(x)

    def make_cache(self, batch, length, dtype, device):
        for b in self.blocks:
            room = [torch.zeros(batch, b.heads, length, b.hidden // b.heads, dtype=dtype, device=device) for _ in "kv"]
            b.cache = (*room, torch.zeros(1, dtype=torch.long, device=device))


class Residual(nn.Module):
    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(after), nn.BatchNorm2d(after)
        self.short = nn.Conv2d(before, after, 1, stride, bias=False) if stride > 1 or before != after else nn.Identity()

    def forward(self, x):
        y = F.relu(self.norm1(self.conv1(x)))
        return F.relu(self.norm2(self.conv2(y)) + self.short(x))


def residual_net(size, classes=100):
    c = size.channels
    return nn.Sequential(nn.Conv2d(3, c, 7, 2, 3, bias=False), nn.BatchNorm2d(c), nn.ReLU(), nn.MaxPool2d(2),
                         Residual(c, c, 1), Residual(c, 2 * c, 2), Residual(2 * c, 4 * c, 2), nn.AdaptiveAvgPool2d(1),
                         nn.Flatten(), nn.Linear(4 * c, classes))

# SPDX-License-Identifier: Apache-2.0
"""The layers of the recorded models, and the ways a framework may compute a linear layer. Module names follow what they stand for."""
import contextlib

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint


class Options:
    """How a model runs: what is not its architecture."""
    dtype = torch.bfloat16
    compute_dtype = None  # autocast: parameters of `dtype`, products of this
    linear = "plain"
    hide = ()  # of "forward", "input", "weight": done by kernels that are not the math library's
    attention = "flash"
    recompute = None  # layer, reentrant, mlp, attention, alternate
    head_chunks = 1  # the head in slices of the tokens
    tp, sp, ep = 1, False, 1
    capacity = False  # experts as one batched product with a fixed capacity
    grouped = False  # experts in a grouped kernel: no products

    def __init__(self, rec, **kw):
        self.rec = rec
        for k, v in kw.items():
            assert hasattr(Options, k), k
            setattr(self, k, v)

    def empty(self, *shape, dtype=None):
        return torch.empty(*shape, device="meta", dtype=dtype or self.compute_dtype or self.dtype)


def ids(*shape):
    return torch.empty(*shape, device="meta", dtype=torch.long)


def parameter(opt, *shape, dtype=None):
    return nn.Parameter(torch.empty(*shape, device="meta", dtype=dtype or opt.dtype))


# Linear layers whose backward is the framework's own.
class OwnBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, w, layer):
        ctx.save_for_backward(x)
        ctx.layer, ctx.w = layer, w
        return layer.own_forward(x.reshape(-1, x.shape[-1]), w).view(*x.shape[:-1], w.shape[0])

    @staticmethod
    def backward(ctx, g):
        (x,), layer = ctx.saved_tensors, ctx.layer
        x2, g2 = x.reshape(-1, x.shape[-1]), g.reshape(-1, g.shape[-1])
        dx = dw = None
        if ctx.needs_input_grad[0]:
            with layer.opt.rec.role("input_gradient"):
                dx = layer.own_input_gradient(g2, ctx.w).view(x.shape)
        if ctx.needs_input_grad[1]:
            def weight_gradient():
                with layer.opt.rec.role("weight_gradient"):
                    return layer.own_weight_gradient(g2, x2)
            if layer.mode == "delayed":
                layer.opt.rec.deferred.append(weight_gradient)
                dw = torch.empty_like(ctx.w)
            else:
                dw = weight_gradient().to(ctx.w.dtype)
        return dx, dw, None


class Linear(nn.Module):
    """weight [O, I]. Modes: plain (F.linear), lora, megatron (weight gradients accumulated in fp32), delayed (zero-bubble), fp8 (as Transformer
    Engine does: e4m3 forward, e5m2 gradients), fp8infer, hidden, dequantised (weights kept in 4 bits)."""
    def __init__(self, opt, i, o, bias=False, mode=None, dtype=None):
        super().__init__()
        self.opt, self.mode = opt, mode or opt.linear
        self.weight = parameter(opt, o, i, dtype=dtype)
        self.bias = parameter(opt, o, dtype=dtype) if bias else None
        self.low = None

    def add_lora(self, rank, dtype=None):
        o, i = self.weight.shape
        self.low = nn.ModuleList([Linear(self.opt, i, rank, mode="plain", dtype=dtype), Linear(self.opt, rank, o, mode="plain", dtype=dtype)])

    def operand(self, a):
        return a.to(self.opt.compute_dtype) if self.opt.compute_dtype else a

    def forward(self, x):
        w, b = self.weight, self.bias
        if self.mode == "plain":
            y = F.linear(self.operand(x), self.operand(w), None if b is None else self.operand(b))
        else:
            y = OwnBackward.apply(x, w, self)
            y = y if b is None else y + b
        if self.low is not None:
            y = y + self.low[1](self.low[0](x.to(self.low[0].weight.dtype))).to(y.dtype)
        return y

    def scaled(self, a, b, out=None):
        one = torch.ones((), device="meta")
        return torch._scaled_mm(a, b, scale_a=one, scale_b=one, out_dtype=out or self.opt.dtype)

    def hide(self, part):
        return self.opt.rec.hidden() if self.mode == "hidden" and part in self.opt.hide else contextlib.nullcontext()

    def own_forward(self, x, w):
        if self.mode.startswith("fp8"):
            return self.scaled(x.to(torch.float8_e4m3fn), w.to(torch.float8_e4m3fn).t())
        if self.mode == "dequantised":
            w = w.clone()
        with self.hide("forward"):
            return x.mm(w.t())

    def own_input_gradient(self, g, w):
        if self.mode == "fp8":  # A by rows, B by columns: the library takes no other layout of fp8
            return self.scaled(g.to(torch.float8_e5m2), w.to(torch.float8_e4m3fn).t().contiguous().t())
        if self.mode == "dequantised":
            w = w.clone()
        with self.hide("input"):
            return g.mm(w)

    def own_weight_gradient(self, g, x):
        if self.mode == "fp8":
            return self.scaled(g.to(torch.float8_e5m2).t().contiguous(), x.to(torch.float8_e4m3fn).t().contiguous().t(), torch.float32)
        with self.hide("weight"), self.opt.rec.into(0 if self.mode == "megatron" else None):
            return g.t().mm(x)


class Norm(nn.Module):
    def __init__(self, opt, h):
        super().__init__()
        self.weight = parameter(opt, h)

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight)


# What crosses between ranks: shapes change, bytes are counted, nothing is computed.
class Cross(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, rec, there, back, factor):
        ctx.shape, ctx.rec, ctx.back = x.shape, rec, back
        y = x.new_empty(x.shape[0], int(x.shape[1] * factor), *x.shape[2:])
        if there:  # a recomputed layer communicates again
            rec.collect(there, x.numel() * x.element_size())
        return y

    @staticmethod
    def backward(ctx, g):
        if ctx.back:
            ctx.rec.collect(ctx.back, g.numel() * g.element_size())
        return g.new_empty(ctx.shape), None, None, None, None


def enter(opt, x):
    """Into a column-parallel layer."""
    if opt.tp == 1:
        return x
    return Cross.apply(x, opt.rec, "allgather", "reducescatter", opt.tp) if opt.sp else Cross.apply(x, opt.rec, None, "allreduce", 1)


def leave(opt, x):
    """Out of a row-parallel layer."""
    if opt.tp == 1:
        return x
    return Cross.apply(x, opt.rec, "reducescatter", "allgather", 1 / opt.tp) if opt.sp else Cross.apply(x, opt.rec, "allreduce", None, 1)


class Flash(torch.autograd.Function):
    """Fused attention: one kernel, no product that the math library sees. q, k, v are [batch, heads, tokens, dim]."""
    @staticmethod
    def forward(ctx, q, k, v):
        ctx.save_for_backward(q, k, v)
        return q.new_empty(*q.shape[:-1], v.shape[-1])

    @staticmethod
    def backward(ctx, g):
        return tuple(torch.empty_like(t) for t in ctx.saved_tensors)


def attend(kind, q, k, v):
    if kind == "flash":
        return Flash.apply(q, k, v)
    if k.shape[1] != q.shape[1]:
        k, v = (t.repeat_interleave(q.shape[1] // t.shape[1], 1) for t in (k, v))
    if kind == "eager":
        return torch.matmul(torch.softmax(torch.matmul(q, k.transpose(-1, -2)), -1), v)
    if kind == "added":  # as Megatron does it: scores are added to a mask by the product
        b, h, t, d = q.shape
        q, k, v = (x.reshape(b * h, -1, d) for x in (q, k, v))
        scores = torch.baddbmm(q.new_empty(b * h, t, k.shape[1]), q, k.transpose(1, 2))
        return torch.bmm(torch.softmax(scores, -1), v).view(b, h, t, d)
    if kind == "linear":  # no softmax: the tokens are contracted in forward
        return torch.matmul(torch.relu(q), torch.matmul(torch.relu(k).transpose(-1, -2), v))
    if kind == "chunked":  # gated linear attention in chunks of 64 tokens
        b, h, t, d = q.shape
        n = max(1, t // 64)
        q, k, v = (x[:, :, : n * (t // n)].reshape(b * h * n, t // n, x.shape[-1]) for x in (q, k, v))
        y = torch.bmm(torch.bmm(q, k.transpose(1, 2)), v) + torch.bmm(q, torch.bmm(k.transpose(1, 2), v))
        y = y.view(b, h, n * (t // n), -1)
        return F.pad(y, (0, 0, 0, t - y.shape[2]))
    raise ValueError(kind)


def heads(x, n):
    return x.view(*x.shape[:-1], n, x.shape[-1] // n).transpose(1, 2)


def merge(x):
    return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], -1)


def checkpointed(opt, fn, *args, reentrant=None):
    """As the option says; only where there is a gradient to come."""
    if not torch.is_grad_enabled():
        return fn(*args)
    reentrant = opt.recompute == "reentrant" if reentrant is None else reentrant
    return checkpoint(opt.rec.segment(fn), *args, use_reentrant=reentrant, preserve_rng_state=False)

# SPDX-License-Identifier: Apache-2.0
"""Models that are no plain transformers. Of each the sizes are given; `facts` says what the recorder knows of it."""
import torch
import torch.nn.functional as F
from torch import nn

from layers import Linear, Norm, attend, checkpointed, heads, ids, merge, parameter
from models import Arch, Attention, Encoder, Mlp


def image(opt, b, c, s):
    return opt.empty(b, c, s, s, dtype=opt.dtype)


class Model(nn.Module):
    """`loss` of `logits`; samples are no tokens, so none are counted unless a model says so."""
    known = {"tokens": None}

    def __init__(self, opt):
        super().__init__()
        self.opt = opt

    def loss(self, batch):
        y = self.logits(batch)
        return F.cross_entropy(y.float(), ids(y.shape[0])) if y.dim() == 2 and y.shape[1] > 1 else y.float().sum()

    def facts(self):
        return self.known


class ConvNet(Model):
    """ResNet-like: all but the head is cuDNN's."""
    def __init__(self, opt, width, classes):
        super().__init__(opt)
        conv = lambda i, o, s: nn.Conv2d(i, o, 3, s, 1, device="meta", dtype=opt.dtype)
        self.convs = nn.ModuleList([conv(3, width, 2), conv(width, 2 * width, 2), conv(2 * width, 4 * width, 2), conv(4 * width, 8 * width, 2)])
        self.head = Linear(opt, 8 * width, classes, True)

    def logits(self, batch):
        x = image(self.opt, batch[0], 3, batch[1])
        for c in self.convs:
            x = F.relu(c(x))
        return self.head(x.mean((2, 3)))


class ConvNext(Model):
    """Depth-wise convolutions and point-wise linear layers over the channels: T falls by four, widths double from stage to stage."""
    def __init__(self, opt, widths, depths, classes):
        super().__init__(opt)
        self.stem = nn.Conv2d(3, widths[0], 4, 4, device="meta", dtype=opt.dtype)
        self.stages = nn.ModuleList()
        for i, (w, n) in enumerate(zip(widths, depths)):
            down = nn.Conv2d(widths[i - 1], w, 2, 2, device="meta", dtype=opt.dtype) if i else nn.Identity()
            blocks = [nn.ModuleList([nn.Conv2d(w, w, 7, 1, 3, groups=w, device="meta", dtype=opt.dtype), Linear(opt, w, 4 * w, True),
                                     Linear(opt, 4 * w, w, True)]) for _ in range(n)]
            self.stages.append(nn.ModuleList([down, *blocks]))
        self.head = Linear(opt, widths[-1], classes, True)

    def logits(self, batch):
        x = self.stem(image(self.opt, batch[0], 3, batch[1]))
        for down, *blocks in self.stages:
            x = down(x)
            for conv, up, back in blocks:
                x = x + back(F.gelu(up(conv(x).permute(0, 2, 3, 1)))).permute(0, 3, 1, 2)
        return self.head(x.mean((2, 3)))


class Mixer(Model):
    """Layers over the tokens beside layers over the channels: what is T of one is I of the other."""
    def __init__(self, opt, tokens, hidden, token_ffn, ffn, layers, classes):
        super().__init__(opt)
        self.tokens, self.width = tokens, hidden
        self.blocks = nn.ModuleList(nn.ModuleList([Linear(opt, tokens, token_ffn, True), Linear(opt, token_ffn, tokens, True),
                                                   Linear(opt, hidden, ffn, True), Linear(opt, ffn, hidden, True)]) for _ in range(layers))
        self.head = Linear(opt, hidden, classes, True)
        self.known = {"hidden": hidden, "layers": layers, "tokens": None}

    def logits(self, batch):
        x = self.opt.empty(batch[0], self.tokens, self.width).requires_grad_(torch.is_grad_enabled())
        for a, b, c, d in self.blocks:
            x = x + b(F.gelu(a(x.transpose(1, 2)))).transpose(1, 2)
            x = x + d(F.gelu(c(x)))
        return self.head(x.mean(1))


class StateSpace(Model):
    """Mamba-2-like: projections, and a scan in chunks made of batched products (training); one state a token when decoding."""
    def __init__(self, opt, hidden, layers, vocab, state=128, head=64, chunk=256):
        super().__init__(opt)
        self.d, self.n, self.head, self.chunk = 2 * hidden, state, head, chunk
        self.table = nn.Embedding(vocab, hidden, device="meta", dtype=opt.dtype)
        wide = 2 * self.d + 2 * state + self.d // head
        self.blocks = nn.ModuleList(nn.ModuleList([Norm(opt, hidden), Linear(opt, hidden, wide), Linear(opt, self.d, hidden)]) for _ in range(layers))
        self.out = Linear(opt, hidden, vocab)
        self.out.weight = self.table.weight
        self.known = {"hidden": hidden, "layers": layers, "vocabulary": vocab}

    def scan(self, x, b, c):
        n, t, l = x.shape[0], x.shape[1], min(self.chunk, x.shape[1])
        h, k = self.d // self.head, t // l
        b, c = b.reshape(n * k, l, self.n), c.reshape(n * k, l, self.n)
        x = x.reshape(n * k, l, h, self.head).transpose(1, 2).reshape(n * k * h, l, self.head)
        scores = torch.bmm(c, b.transpose(1, 2)).repeat_interleave(h, 0)
        inside = torch.bmm(scores, x)
        b, c = b.repeat_interleave(h, 0), c.repeat_interleave(h, 0)
        states = torch.bmm(b.transpose(1, 2), x)
        y = inside + torch.bmm(c, states)
        return y.view(n * k, h, l, self.head).transpose(1, 2).reshape(n, t, self.d)

    def block(self, x, norm, into, out):
        z, y, b, c, _ = into(norm(x)).split([self.d, self.d, self.n, self.n, self.d // self.head], -1)
        y = self.scan(y, b, c) if x.shape[1] > 1 else y * c.sum(-1, keepdim=True) * b.sum(-1, keepdim=True)
        return x + out(y * F.silu(z))

    def logits(self, batch, past=0, last=False):
        x = self.table(ids(*batch[:2]))
        for norm, into, out in self.blocks:
            f = lambda v, m=(norm, into, out): self.block(v, *m)
            x = checkpointed(self.opt, f, x) if self.opt.recompute else f(x)
        return self.out(x[:, -1:] if last else x)

    def loss(self, batch):
        self.opt.rec.tokens += batch[0] * batch[1] if torch.is_grad_enabled() else 0
        y = self.logits(batch)
        return F.cross_entropy(y.flatten(0, 1).float(), ids(batch[0] * batch[1]))


class Recurrent(Model):
    """A cell written out: one small product a token, and its gradients back through time."""
    def __init__(self, opt, hidden, layers, vocab):
        super().__init__(opt)
        self.table = nn.Embedding(vocab, hidden, device="meta", dtype=opt.dtype)
        self.cells = nn.ModuleList(nn.ModuleList([Linear(opt, hidden, 4 * hidden, True), Linear(opt, hidden, 4 * hidden, True)]) for _ in range(layers))
        self.out = Linear(opt, hidden, vocab, True)
        self.known = {"hidden": hidden, "layers": layers, "vocabulary": vocab}

    def logits(self, batch):
        xs = list(self.table(ids(*batch)).unbind(1))
        for inner, outer in self.cells:
            h = c = torch.zeros_like(xs[0])
            for t, x in enumerate(xs):
                i, f, g, o = (inner(x) + outer(h)).chunk(4, -1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
                xs[t] = h
        return self.out(torch.stack(xs, 1))

    def loss(self, batch):
        self.opt.rec.tokens += batch[0] * batch[1] if torch.is_grad_enabled() else 0
        return self.logits(batch).float().sum()


class Recommender(Model):
    """DLRM-like: dense and sparse features, their pairwise products, perceptrons. Batches are (samples,)."""
    def __init__(self, opt, dense, bottom, tables, top):
        super().__init__(opt)
        self.dense, self.tables, self.dim = dense, tables, bottom[-1]
        make = lambda sizes: nn.ModuleList(Linear(opt, i, o, True) for i, o in zip(sizes, sizes[1:]))
        self.bottom = make((dense, *bottom))
        f = tables + 1
        self.top = make((bottom[-1] + f * (f - 1) // 2, *top))
        self.table = nn.Embedding(1000, self.dim, device="meta", dtype=opt.dtype)

    def logits(self, batch):
        x = self.opt.empty(batch[0], self.dense)
        for layer in self.bottom:
            x = F.relu(layer(x))
        z = torch.cat([x.unsqueeze(1), self.table(ids(batch[0], self.tables)).to(x.dtype)], 1)
        pairs = torch.bmm(z, z.transpose(1, 2)).flatten(1)
        y = torch.cat([x, pairs[:, : self.top[0].weight.shape[1] - self.dim]], 1)
        for i, layer in enumerate(self.top):
            y = layer(y) if i == len(self.top) - 1 else F.relu(layer(y))
        return y


class DiffusionTransformer(Model):
    """DiT-like: patches of a latent image, every block modulated by the time (T = images there). Batches are (images, side)."""
    def __init__(self, opt, hidden, heads_, layers):
        super().__init__(opt)
        a = Arch(hidden, 4 * hidden, heads_, layers, 0, mlp="gelu", bias=True, qkv="fused")
        self.patch = nn.Conv2d(4, hidden, 2, 2, device="meta", dtype=opt.dtype)
        self.time = nn.ModuleList([Linear(opt, 256, hidden, True), Linear(opt, hidden, hidden, True)])
        self.blocks = nn.ModuleList(nn.ModuleList([Attention(opt, a), Mlp(opt, hidden, a.ffn, a), Linear(opt, hidden, 6 * hidden, True)]) for _ in range(layers))
        self.out = Linear(opt, hidden, 32, True)
        self.known = {"hidden": hidden, "layers": layers, "tokens": None}

    def block(self, x, c, attention, mlp, modulate):
        s1, g1, b1, s2, g2, b2 = modulate(F.silu(c)).unsqueeze(1).chunk(6, -1)
        x = x + attention(x * s1 + b1) * g1
        return x + mlp(x * s2 + b2) * g2

    def logits(self, batch):
        x = self.patch(image(self.opt, batch[0], 4, batch[1])).flatten(2).transpose(1, 2)
        c = self.time[1](F.silu(self.time[0](self.opt.empty(batch[0], 256))))
        for m in self.blocks:
            f = lambda u, v, m=m: self.block(u, v, *m)
            x = checkpointed(self.opt, f, x, c) if self.opt.recompute else f(x, c)
        return self.out(x)


class DiffusionUnet(Model):
    """Stable-Diffusion-like: convolutions (cuDNN's) down and up; at each level self attention and attention to 77 tokens of text."""
    def __init__(self, opt, widths, text=768):
        super().__init__(opt)
        conv = lambda i, o, s=1: nn.Conv2d(i, o, 3, s, 1, device="meta", dtype=opt.dtype)
        self.stem, self.text = conv(4, widths[0]), text
        self.time = nn.ModuleList([Linear(opt, widths[0], 4 * widths[0], True), Linear(opt, 4 * widths[0], 4 * widths[0], True)])
        self.levels = nn.ModuleList()
        for i, w in enumerate(widths):
            a = Arch(w, 4 * w, 8, 1, 0, mlp="swiglu", mlp_fused=True, bias=False)
            self.levels.append(nn.ModuleList([conv(widths[i - 1], w, 2) if i else conv(w, w), Linear(opt, 4 * widths[0], w, True), Attention(opt, a),
                                              Linear(opt, w, w), Linear(opt, text, w), Linear(opt, text, w), Linear(opt, w, w, True), Mlp(opt, w, 4 * w, a)]))
        self.out = conv(widths[-1], 4)

    def logits(self, batch):
        b = batch[0]
        x, words = self.stem(image(self.opt, b, 4, batch[1])), self.opt.empty(b, 77, self.text)
        c = self.time[1](F.silu(self.time[0](self.opt.empty(b, self.time[0].weight.shape[1]))))
        for conv, time, attention, q, k, v, o, mlp in self.levels:
            x = conv(x) + 0
            s = x.shape[-1]
            x = (x + time(c)[:, :, None, None]).flatten(2).transpose(1, 2)
            x = x + attention(x)
            x = x + o(merge(attend(self.opt.attention, heads(q(x), 8), heads(k(words), 8), heads(v(words), 8))))
            x = (x + mlp(x)).transpose(1, 2).unflatten(2, (s, s))
        return self.out(x)


class TwoTowers(Model):
    """CLIP-like: two encoders with different T, and a product of samples by samples. Batches are (pairs, image side, text tokens)."""
    def __init__(self, opt, vision, text, patch, shared):
        super().__init__(opt)
        self.vision, self.text = Encoder(opt, vision, patch), Encoder(opt, text)
        self.pv, self.pt = Linear(opt, vision.hidden, shared), Linear(opt, text.hidden, shared)

    def logits(self, batch):
        b, side, words = batch
        v, t = self.pv(self.vision.hidden((b, side))[:, 0]), self.pt(self.text.hidden((b, words))[:, 0])
        return v @ t.t()


class Perceptron(Model):
    """Layers of given widths. Batches are (samples,)."""
    def __init__(self, opt, widths, bias=True):
        super().__init__(opt)
        self.layers = nn.ModuleList(Linear(opt, i, o, bias) for i, o in zip(widths, widths[1:]))
        self.known = {"hidden": widths[1], "layers": len(widths) - 1}

    def logits(self, batch):
        x = self.opt.empty(batch[0], self.layers[0].weight.shape[1]).requires_grad_(torch.is_grad_enabled())
        for i, layer in enumerate(self.layers):
            x = layer(x) if i == len(self.layers) - 1 else F.relu(layer(x))
        return x

    def loss(self, batch):
        self.opt.rec.tokens += batch[0] if torch.is_grad_enabled() else 0
        return super().loss(batch)

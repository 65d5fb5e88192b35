# SPDX-License-Identifier: Apache-2.0
"""The same models as in real traces of tests/data/runs, recorded here: what the recorder says must be what the GPU was asked for. The comparison
is tests/data/phase_corpus.py's."""
import torch
import torch.nn.functional as F
from torch import nn

import jobs
from layers import Flash, Linear, Norm, Options, heads, ids, merge, parameter
from models import Arch, Decoder, Encoder
from others import ConvNet
from variants import F16, F32, run


@run("twin_resnet50_train", "training", "twin_of_trace")
def record_resnet(rec):
    model = rec.own(ConvNet(Options(rec, dtype=F32), 256, 1000))
    jobs.train(rec, model, [[(32, 224)]] * 6)
    return model.facts()


def hidden_states(name, arch, batches, build=Decoder, **opt):
    @run(name, "inference", "twin_of_trace")
    def record(rec):
        model = rec.own(build(Options(rec, **opt), arch))
        with torch.no_grad(), rec.role("inference"):
            for b in batches:
                model.hidden(b)
        return {**model.facts(), "vocabulary": None, "tokens": 0}


hidden_states("twin_qwen05b_prefill", Arch(1024, 2816, 16, 24, 151936, qkv_bias=True), [(16, 559)])
hidden_states("twin_vitb16_graph", Arch(768, 3072, 12, 12, 1000, mlp="gelu", qkv="fused"), [(1, 224)] * 5, lambda o, a: Encoder(o, a, 16))


@run("twin_megatron8b_tp8", "inference", "twin_of_trace")
def record_megatron(rec):
    model = rec.own(Decoder(Options(rec, dtype=F16, tp=8, attention="added"), Arch(4096, 16384, 64, 40, 51200, mlp="gelu", qkv="fused")))
    jobs.infer(rec, "inference", model, [(4, 2048)])
    return {**model.facts(), "tokens": 0}


@run("twin_owlv2", "inference", "twin_of_trace")
def record_owlv2(rec):
    """The two towers, without the heads that detect."""
    vision = rec.own(Encoder(Options(rec, attention="eager"), Arch(1024, 4096, 16, 24, 1, mlp="gelu", bias=True), 14))
    text = rec.own(Decoder(Options(rec, attention="eager"), Arch(768, 3072, 12, 12, 49408, mlp="gelu", bias=True)))
    with torch.no_grad(), rec.role("inference"):
        for _ in range(5):
            vision.hidden((1, 1008))
            text.hidden((1, 5))
    return {"tokens": 0}


class TurnedHead(Linear):
    """In 8 bits; its weight gradient is made as input by output."""
    def own_weight_gradient(self, g, x):
        return self.scaled(x.to(torch.float8_e4m3fn).t().contiguous(), g.to(torch.float8_e5m2).t().contiguous().t(), torch.float32).t()


class Nano(nn.Module):
    """modded-nanogpt: 10 of 12 layers attend and 11 have a perceptron, whose first weight is kept input by output; heads and neighbours are gated
    by the first 12 channels."""
    def __init__(self, opt, hidden=768, n=6, attends=10, perceptrons=11):
        super().__init__()
        self.n = n
        self.table = nn.Embedding(50304, hidden, device="meta", dtype=opt.dtype)
        self.smear, self.norm = Linear(opt, 12, 1), Norm(opt, hidden)
        self.attention = nn.ModuleList(nn.ModuleList([Linear(opt, hidden, 3 * hidden), Linear(opt, 12, n), Linear(opt, hidden, hidden)]) for _ in range(attends))
        self.up = nn.ParameterList(parameter(opt, hidden, 4 * hidden) for _ in range(perceptrons))
        self.down = nn.ModuleList(Linear(opt, 4 * hidden, hidden) for _ in range(perceptrons))
        self.head = TurnedHead(opt, hidden, 50304, mode="fp8")

    def attend(self, x, qkv, gate, out):
        y = Flash.apply(*(heads(t, self.n) for t in qkv(self.norm(x)).chunk(3, -1)))
        return x + out(merge(y * torch.sigmoid(gate(x[..., :12])).transpose(1, 2).unsqueeze(-1)))

    def loss(self, batch):
        x = self.table(ids(*batch))
        x = torch.cat([x[:, :1], x[:, 1:] + torch.sigmoid(self.smear(x[:, 1:, :12])) * x[:, :-1]], 1)
        for i, (up, down) in enumerate(zip(self.up, self.down)):
            x = self.attend(x, *self.attention[i]) if i < len(self.attention) else x
            x = x + down(F.relu(F.linear(self.norm(x), up.t())).square())
        return F.cross_entropy(self.head(x).flatten(0, 1).float(), ids(batch[1]))


@run("twin_gpt124m_fp8", "training", "twin_of_trace")
def record_nano(rec):
    model = rec.own(Nano(Options(rec)))
    jobs.train(rec, model, [[(1, 32768)]] * 4)
    return {"hidden": 768, "layers": 12, "vocabulary": 50304, "tokens": 4 * 32768}

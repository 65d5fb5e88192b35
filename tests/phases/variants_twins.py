# SPDX-License-Identifier: Apache-2.0
"""The same models as in real traces of tests/data/runs, recorded here: what the recorder says must be what the GPU was asked for. The comparison
is tests/data/phase_corpus.py's."""
import torch

import jobs
from layers import Options
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

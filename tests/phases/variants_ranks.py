# SPDX-License-Identifier: Apache-2.0
"""Jobs of several ranks, each rank a run of its own: tensor, pipeline, expert and data parallel, a reinforcement learner with ranks that only
answer. Each says what is true of the whole job: `job_phase`, `job_parameters`, and how many ranks share a layer, follow one another, share the
experts, and repeat all of it (`tensor_ranks`, `pipeline_ranks`, `expert_ranks`, `data_ranks`)."""
import torch

import jobs
from architectures import FUSED_LLAMA, GPT2, MIXTRAL, REAL, SMALL_LLAMA, TINY_LLAMA
from layers import Options
from models import Decoder
from variants import run

MATRICES = {}


def matrices(arch):
    """Parameters of the whole model's matrices, a table that is only looked up left out."""
    if arch not in MATRICES:
        class Nobody:
            name, micro = "whole", 0
        model = Decoder(Options(Nobody()), arch.but(embed=False))
        MATRICES[arch] = sum(p.numel() for n, p in model.named_parameters() if p.dim() >= 2 and ("table" not in n or arch.tied))
    return MATRICES[arch]


def stage_of(arch, at, of):
    return arch.but(layers=arch.layers // of, embed=at == 0, head=at == of - 1)


def one_rank(rec, arch, at, of, batch, micros, steps, dp, **opt):
    """Stage `at` of `of`, one forward and one backward in turn after as many forwards as there are stages behind it."""
    o = Options(rec, **opt)
    model, ahead, losses = rec.own(Decoder(o, stage_of(arch, at, of))), min(of - 1 - at, micros), []
    for _ in range(steps):
        for i in range(micros + ahead):
            if i < micros:
                rec.micro = i
                with rec.role("forward"):
                    losses.append(model.loss(batch))
            if i >= ahead:
                rec.micro = i - ahead
                rec.backward(losses.pop(0))
    if of > 1:
        jobs.stage(rec, o, arch.hidden, batch, steps * micros, (at > 0) + (at < of - 1))
    if dp > 1:
        jobs.ddp(rec, model, steps)
    return model.facts()


def job(name, arch, tp=1, pp=1, ep=1, dp=1, batch=(1, 1024), micros=4, steps=2, **opt):
    truth = {"job_phase": "training", "job_parameters": matrices(arch), "tensor_ranks": tp, "pipeline_ranks": pp, "expert_ranks": ep, "data_ranks": dp}
    for i in range(tp * pp * dp):
        at = i // (tp * dp)

        @run(f"ranks_{name}_{i:02}", "training", "rank")
        def record(rec, at=at):
            return {**one_rank(rec, arch, at, pp, batch, micros, steps, dp, tp=tp, ep=ep, **opt), **truth}


job("tp2", TINY_LLAMA.but(layers=4), tp=2)
job("dp2", GPT2.but(layers=6), dp=2)
job("tp4_dp2", FUSED_LLAMA.but(layers=4), tp=4, dp=2, micros=1)
job("pp4", SMALL_LLAMA.but(layers=8), pp=4, micros=6)
job("pp2_dp2", GPT2.but(layers=8, tied=False), pp=2, dp=2, micros=3)
job("tp2_pp2", TINY_LLAMA.but(layers=4), tp=2, pp=2)
job("tp2_pp2_dp2_ckpt", REAL["llama2_7b"].but(layers=4), tp=2, pp=2, dp=2, recompute="layer", batch=(1, 2048))
job("ep4", MIXTRAL, ep=4, dp=4, micros=1)
job("ep2_pp2", MIXTRAL.but(layers=4), ep=2, pp=2, dp=2, batch=(2, 1024))
job("tp8_pp4_real", REAL["llama31_70b"].but(layers=8), tp=8, pp=4, batch=(1, 4096), sp=True, recompute="layer")


# Two ranks learn from what two others answer; a reference is asked on the learners.
def learner(rec):
    model, reference = rec.own(Decoder(Options(rec), SMALL_LLAMA)), rec.own(Decoder(Options(rec), SMALL_LLAMA), False)
    jobs.dpo(rec, model, reference, (8, 256), 2)
    jobs.ddp(rec, model, 2)
    return model.facts()


def answerer(rec):
    model = rec.own(Decoder(Options(rec), SMALL_LLAMA))
    for _ in range(2):
        jobs.generate(rec, "rollout", model, 8, 128, 128)
    return {**model.facts(), "tokens": 0}


for i in range(4):
    @run(f"ranks_rl_{i:02}", "training" if i < 2 else "inference", "rank")
    def record_rl(rec, i=i):
        return {**(learner(rec) if i < 2 else answerer(rec)), "job_phase": "training", "job_parameters": matrices(SMALL_LLAMA), "tensor_ranks": 1,
                "pipeline_ranks": 1, "expert_ranks": 1, "data_ranks": 2}


# A server of four ranks that share each layer: nothing learns.
for i in range(4):
    @run(f"ranks_serves_{i:02}", "inference", "rank")
    def record_serves(rec):
        model = rec.own(Decoder(Options(rec, tp=4), TINY_LLAMA.but(layers=4)))
        jobs.generate(rec, "inference", model, 8, 512, 16)
        return {**model.facts(), "tokens": 0, "job_phase": "inference", "job_parameters": matrices(TINY_LLAMA.but(layers=4)), "tensor_ranks": 4,
                "pipeline_ranks": 1, "expert_ranks": 1, "data_ranks": 1}

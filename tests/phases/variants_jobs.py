# SPDX-License-Identifier: Apache-2.0
"""Training jobs that do more than train: references, teachers, rollouts, evaluation, optimizers that multiply; and jobs that serve as well."""
import torch
import torch.nn.functional as F

import jobs
from architectures import FUSED_LLAMA, GPT2, MINI_BERT, MIXTRAL, QWEN, REAL, SMALL_LLAMA, SQUARE, TINY_LLAMA, VIT_S
from layers import Linear, Options
from models import Decoder, Encoder
from others import DiffusionTransformer, Perceptron
from variants import F32, run


def made(rec, arch, counted=True, build=Decoder, **opt):
    return rec.own(build(Options(rec, **opt), arch), counted)


# References and teachers.
def dpo(name, arch, batch, steps, variant="dpo", accumulate=1, parallel=None, recorder=None, **opt):
    @run(name, "training", variant, **(recorder or {}))
    def record(rec):
        policy, reference = made(rec, arch, **opt), made(rec, arch, False, **opt)
        jobs.dpo(rec, policy, reference, batch, steps, accumulate)
        if parallel:
            parallel(rec, policy)
        return policy.facts()


dpo("gpt2_dpo", GPT2.but(layers=6), (8, 512), 3)
dpo("llama_dpo", SMALL_LLAMA, (4, 1024), 2, accumulate=2, parallel=lambda r, m: jobs.fsdp(r, m, 4, 8))
dpo("llama_dpo_ckpt", SMALL_LLAMA, (4, 1024), 3, "dpo_checkpoint", recompute="layer")
dpo("square_dpo", SQUARE, (1, 1024), 3)
dpo("llama_dpo_graphs", SMALL_LLAMA, (4, 1024), 2, "dpo_cuda_graph", recorder={"one_thread": True})
dpo("gpt2_dpo_ckpt_graphs", GPT2.but(layers=4), (4, 512), 2, "dpo_cuda_graph", recorder={"one_thread": True}, recompute="layer")
dpo("qwen_dpo_reentrant", QWEN.but(layers=3), (2, 777), 2, "dpo_checkpoint", recompute="reentrant")


def distil(name, student, teacher, batch, variant, steps=3, build=Decoder, **opt):
    @run(name, "training", variant)
    def record(rec):
        s, t = made(rec, student, build=build, **opt), made(rec, teacher, False, build=build)
        jobs.distil(rec, s, t, batch, steps)
        return s.facts()


distil("gpt2_distil_same", GPT2.but(layers=4), GPT2.but(layers=8), (4, 1024), "distillation")
distil("llama_distil_large", SMALL_LLAMA, TINY_LLAMA, (2, 2048), "distillation")
distil("llama_distil_ckpt", SMALL_LLAMA, FUSED_LLAMA, (2, 1024), "distillation_checkpoint", recompute="layer")
distil("minibert_ema", MINI_BERT, MINI_BERT, (32, 128), "ema", build=Encoder)
distil("square_ema", SQUARE, SQUARE, (1, 1024), "ema", steps=2)


@run("vits_ema_crops", "training", "ema_crops")
def record_crops(rec):
    """As DINO has it: the teacher sees two large crops, the student these and six small ones."""
    student, teacher = (rec.own(Encoder(Options(rec), VIT_S, 16), c) for c in (True, False))
    for _ in range(2):
        jobs.infer(rec, "teacher", teacher, [(64, 224)])
        with rec.role("forward"):
            loss = student.loss((64, 224)) + student.loss((192, 96))
        rec.backward(loss)
    return student.facts()


@run("vlm_frozen_vision", "training", "frozen_tower")
def record_vlm(rec):
    """A language model learns from images that a frozen tower reads without gradients."""
    vision, text = rec.own(Encoder(Options(rec), VIT_S, 16), False), made(rec, SMALL_LLAMA)
    for _ in range(3):
        jobs.infer(rec, "reference", vision, [(8, 336)])
        jobs.train(rec, text, [[(8, 441 + 200)]])
    return text.facts()


@run("perceptual_loss", "training", "frozen_loss")
def record_perceptual(rec):
    """The loss is a frozen network: forward with gradients to its input, none to its weights."""
    model, judge = rec.own(DiffusionTransformer(Options(rec), 512, 8, 4)), rec.own(Perceptron(Options(rec), (32, 2048, 2048, 512)), False)
    jobs.freeze(judge, lambda n: False)
    for _ in range(2):
        with rec.role("forward"):
            y = model.logits((16, 32))
        with rec.role("reference"):
            for layer in judge.layers:
                y = layer(y)
        rec.backward(y.float().sum())
    return model.facts()


@run("gan", "training", "adversarial_pair")
def record_gan(rec):
    g, d = (rec.own(Perceptron(Options(rec, dtype=F32), w)) for w in ((128, 1024, 1024, 784), (784, 1024, 512, 1)))
    for _ in range(3):
        jobs.infer(rec, "reference", g, [(256,)])
        for _ in range(2):  # real and made ones
            jobs.train(rec, d, [[(256,)]])
        with rec.role("forward"):
            x = g.logits((256,))
            for layer in d.layers:
                x = F.relu(layer(x))
        rec.backward(x.sum())
    return {"tokens": None}


# Reinforcement.
def reinforce(name, arch, sequences, prompt, tokens, updates, variant, critic=False, elsewhere=None, **opt):
    @run(name, "training", variant)
    def record(rec):
        policy, reference = made(rec, arch, **opt), made(rec, arch, False, **opt)
        value = made(rec, arch.but(head=False), False, **opt) if critic else None
        jobs.reinforce(rec, policy, reference, sequences, prompt, tokens, updates, value, 2, elsewhere)
        return policy.facts()


reinforce("llama_grpo", SMALL_LLAMA, 16, 128, 24, 1, "rl_grpo")
reinforce("llama_grpo_ckpt", SMALL_LLAMA, 16, 256, 16, 2, "rl_grpo_checkpoint", recompute="layer")
reinforce("qwen_grpo_thread", QWEN.but(layers=3), 8, 200, 16, 1, "rl_rollout_thread", elsewhere=2)
reinforce("llama_ppo", SMALL_LLAMA.but(layers=3), 16, 128, 24, 2, "rl_ppo", critic=True)
reinforce("gpt2_ppo_eager", GPT2.but(layers=3), 32, 64, 12, 1, "rl_ppo", critic=True, attention="eager")


# Evaluation between steps.
def evaluated(name, arch, batch, train_steps, evaluate, build=Decoder, recorder=None, **opt):
    @run(name, "training", "evaluation", **(recorder or {}))
    def record(rec):
        model = made(rec, arch, build=build, **opt)
        for _ in range(2):
            jobs.train(rec, model, [[batch]] * train_steps)
            jobs.infer(rec, "evaluation", model, evaluate)
        return model.facts()


evaluated("gpt2_eval", GPT2.but(layers=6), (4, 1024), 1, [(4, 1024)])
evaluated("llama_eval_long", SMALL_LLAMA, (2, 1024), 1, [(2, 1024)] * 6)
evaluated("llama_eval_other_t", SMALL_LLAMA, (2, 1024), 3, [(1, 333), (8, 512)])
evaluated("square_eval", SQUARE, (1, 1024), 1, [(1, 1024)])
evaluated("minibert_eval", MINI_BERT, (16, 128), 2, [(64, 128)], Encoder)
evaluated("llama_eval_graphs", SMALL_LLAMA, (2, 1024), 2, [(2, 1024)] * 2, recorder={"one_thread": True})
evaluated("gpt2_eval_graphs_ckpt", GPT2.but(layers=4), (4, 512), 1, [(4, 512)], recorder={"one_thread": True}, recompute="layer")
evaluated("llama_eval_ckpt", SMALL_LLAMA, (2, 1024), 2, [(2, 1024)], recompute="layer")


@run("llama_eval_generate", "training", "evaluation")
def record_eval_generate(rec):
    model = made(rec, SMALL_LLAMA)
    for _ in range(2):
        jobs.train(rec, model, [[(2, 1024)]] * 2)
        jobs.generate(rec, "evaluation", model, 8, 64, 24)
    return model.facts()


# More than one pass, other orders of differentiation.
@run("gpt2_sam", "training", "sam")
def record_sam(rec):
    model = made(rec, GPT2.but(layers=4))
    jobs.train(rec, model, [[(4, 512)] * 2] * 2)  # at the weights, then at those disturbed: both learn
    return model.facts()


@run("mlp_gradient_penalty", "training", "double_backward")
def record_penalty(rec):
    model = rec.own(Perceptron(Options(rec, dtype=F32), (256, 1024, 1024, 1)))
    for _ in range(3):
        rec.tokens += 512
        x = torch.empty(512, 256, device="meta", requires_grad=True)
        with rec.role("forward"):
            y = x
            for layer in model.layers:
                y = torch.tanh(layer(y))
        with rec.role(None):
            g, = torch.autograd.grad(y.sum(), x, create_graph=True)
            (y.sum() + g.square().sum()).backward()
    return model.facts()


@run("llama_layerdrop", "training", "layers_dropped")
def record_layerdrop(rec):
    model = made(rec, SMALL_LLAMA.but(layers=6))
    blocks = list(model.blocks)
    for kept in ((0, 1, 3, 4, 5), (0, 2, 3, 5), (0, 1, 2, 3, 5)):
        model.blocks = torch.nn.ModuleList(blocks[i] for i in kept)
        jobs.train(rec, model, [[(2, 1024)]])
    return model.facts()


# Optimizers that multiply matrices.
def optimized(name, arch, batch, variant, optimizer, steps=3, parallel=None, **opt):
    @run(name, "training", variant)
    def record(rec):
        model = made(rec, arch, **opt)
        jobs.train(rec, model, [[batch]] * steps, after=lambda _: optimizer(rec, model))
        if parallel:
            parallel(rec, model)
        return model.facts()


optimized("gpt2_muon", GPT2.but(layers=6), (4, 1024), "muon", jobs.muon)
optimized("llama_muon_batched", SMALL_LLAMA, (2, 1024), "muon", lambda r, m: jobs.muon(r, m, batched=True))
optimized("square_muon", SQUARE, (1, 1024), "muon", jobs.muon)
optimized("mixtral_muon", MIXTRAL.but(layers=2), (2, 1024), "muon", jobs.muon, steps=2)
optimized("gpt2_shampoo", GPT2.but(layers=4), (4, 512), "shampoo", jobs.shampoo)
optimized("llama_soap", SMALL_LLAMA.but(layers=3), (2, 512), "shampoo", lambda r, m: jobs.shampoo(r, m, roots=False))


@run("gpt2_kfac", "training", "kfac")
def record_kfac(rec):
    """Every linear layer's input and output gradient are multiplied with themselves: T is contracted in forward, and twice in backward."""
    model = made(rec, GPT2.but(layers=4))

    def square(t):
        t = t.detach().reshape(-1, t.shape[-1])
        with rec.role("optimizer"):
            t.t() @ t
    for m in model.blocks.modules():
        if isinstance(m, Linear):
            m.register_forward_pre_hook(lambda m, args: square(args[0]))
            m.register_full_backward_hook(lambda m, i, o: square(o[0]))
    jobs.train(rec, model, [[(4, 512)]] * 2)
    return model.facts()


# Pseudo-labels: what was inferred is learned.
@run("minibert_selftrain", "training", "pseudo_labels")
def record_selftrain(rec):
    model = made(rec, MINI_BERT, build=Encoder)
    for _ in range(2):
        jobs.infer(rec, "teacher", model, [(64, 128)] * 2)
        jobs.train(rec, model, [[(32, 128)]] * 2)
    return model.facts()


# One process serves and trains.
def mixed(name, arch, train_steps, requests, rounds, variant="serves_and_trains", adapt=None, thread=2, **opt):
    @run(name, "mixed", variant)
    def record(rec):
        model = made(rec, arch, **opt)
        if adapt:
            adapt(rec, model)
        for i in range(rounds):
            for sequences, prompt, tokens in requests:
                jobs.generate(rec, "inference", model, sequences, prompt + 7 * i, tokens, thread)
            jobs.train(rec, model, train_steps)
        return model.facts()


mixed("mixed_llama_half", SMALL_LLAMA, [[(2, 512)]], [(4, 700, 8), (2, 300, 4)], 2)
mixed("mixed_llama_mostly_training", SMALL_LLAMA, [[(2, 1024)]] * 2, [(1, 500, 6)], 2)
mixed("mixed_qwen_mostly_serving", QWEN.but(layers=3), [[(1, 512)]], [(8, 1024, 8)], 2)
mixed("mixed_gpt2_one_thread", GPT2.but(layers=4), [[(2, 512)]], [(8, 256, 8)], 2, thread=0)
mixed("mixed_qwen25_tp4", REAL["qwen25_7b"].but(layers=2), [[(1, 1024)]], [(4, 512, 6)], 2, tp=4)

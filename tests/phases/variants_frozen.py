# SPDX-License-Identifier: Apache-2.0
"""Runs in which most of the weights do not learn: adapters, probes, prompts; and for the border, runs that train most but not all layers."""
import torch

import jobs
from architectures import BERT, GPT2, MINI_BERT, QWEN, REAL, SMALL_LLAMA, SQUARE, TINY_LLAMA, VIT_S
from layers import Linear, Options
from models import Decoder, Encoder
from variants import F32, run


def lora(name, arch, rank, steps, variant="lora", targets=None, dtype=None, dequantised=False, parallel=None, build=Decoder, recorder=None, **opt):
    @run(name, "frozen", variant, **(recorder or {}))
    def record(rec):
        model = rec.own(build(Options(rec, **opt), arch))
        jobs.lora(rec, model, rank, targets, dtype, dequantised)
        jobs.train(rec, model, steps)
        if parallel:
            parallel(rec, model)
        return model.facts()


lora("llama_lora8", SMALL_LLAMA, 8, [[(2, 1024)]] * 3)
lora("tinyllama_lora16", TINY_LLAMA.but(layers=4), 16, [[(2, 1024)]] * 3, parallel=lambda r, m: jobs.ddp(r, m, 3))
lora("qwen_lora32", QWEN, 32, [[(2, 777)], [(2, 1024)], [(2, 511)]])
lora("gpt2_lora64", GPT2.but(layers=6), 64, [[(4, 512)]] * 3)
lora("llama_lora_qv", SMALL_LLAMA, 16, [[(2, 1024)]] * 3, "lora_qv", ("q", "v"))
lora("square_lora16", SQUARE, 16, [[(1, 1024)]] * 3)
lora("llama_lora64_ckpt", SMALL_LLAMA, 64, [[(2, 1024)]] * 3, "lora_checkpoint", recompute="layer")
lora("tinyllama_lora8_reentrant", TINY_LLAMA.but(layers=4), 8, [[(1, 2048)]] * 2, "lora_checkpoint", recompute="reentrant")
lora("llama_lora_fp32", SMALL_LLAMA, 16, [[(2, 512)]] * 3, "lora", dtype=F32)
lora("llama_qlora16", SMALL_LLAMA, 16, [[(2, 1024)]] * 3, "qlora", dequantised=True)
lora("qwen_qlora64_ckpt", QWEN.but(layers=4), 64, [[(1, 2048)]] * 2, "qlora_checkpoint", dequantised=True, recompute="layer")
lora("llama_lora_tp4", TINY_LLAMA.but(layers=4), 16, [[(1, 2048)]] * 2, "lora_tensor_parallel", tp=4)
lora("llama_lora_smallbatch", SMALL_LLAMA, 8, [[(1, 19)], [(1, 33)], [(1, 25)]], "lora_small_batch")
lora("bert_lora8_eager", BERT.but(layers=4), 8, [[(8, 128)]] * 3, "lora_eager_attention", build=Encoder, attention="eager")
lora("real_llama3_8b_lora16", REAL["llama3_8b"].but(layers=4), 16, [[(1, 4096)]] * 2, "lora_real_configuration", recompute="layer")

lora("llama_lora16_graphs", SMALL_LLAMA, 16, [[(2, 1024)]] * 3, "lora_cuda_graph", recorder={"one_thread": True})
lora("gpt2_lora32_ckpt_graphs", GPT2.but(layers=4), 32, [[(4, 512)]] * 2, "lora_cuda_graph", recorder={"one_thread": True}, recompute="layer")


@run("vits_lora16", "frozen", "lora")
def record_vit_lora(rec):
    model = jobs.lora(rec, rec.own(Encoder(Options(rec), VIT_S, 16)), 16)
    jobs.train(rec, model, [[(64, 224)]] * 2)
    return model.facts()


@run("llama_lora_dpo", "frozen", "lora_dpo")
def record_lora_dpo(rec):
    """The reference is the same model with its adapters off."""
    model = jobs.lora(rec, rec.own(Decoder(Options(rec), SMALL_LLAMA)), 16)
    linears = [m for m in model.modules() if isinstance(m, Linear) and m.low is not None]
    for _ in range(3):
        low = [m.low for m in linears]
        for m in linears:
            m.low = None
        jobs.infer(rec, "reference", model, [(4, 512)])
        for m, l in zip(linears, low):
            m.low = l
        jobs.train(rec, model, [[(4, 512)]])
    return model.facts()


def partly(name, arch, trained, steps, variant, kind="frozen", build=Decoder, adapters=0, no_grad=False, **opt):
    """`trained(name of a parameter)` says what learns; no_grad: what comes before the head runs without gradients."""
    @run(name, kind, variant)
    def record(rec):
        model = build(Options(rec, **opt), arch)
        if adapters:
            for b in model.blocks:
                b.add_adapters(adapters)
        rec.own(model)
        jobs.freeze(model, trained)
        if not no_grad:
            jobs.train(rec, model, steps)
            return model.facts()
        for batch in (b for s in steps for b in s):
            rec.tokens += batch[0] * batch[1]
            with torch.no_grad(), rec.role("forward"):
                x = model.hidden(batch)
            with rec.role("forward"):
                loss = model.head.loss(x)
            rec.backward(loss)
        return model.facts()


def last(*numbers):
    return lambda n: any(n.startswith(f"blocks.{i}.") for i in numbers)


partly("llama_adapters64", SMALL_LLAMA, lambda n: "adapters" in n, [[(2, 1024)]] * 3, "adapters", adapters=64)
partly("minibert_adapters32", MINI_BERT, lambda n: "adapters" in n, [[(32, 128)]] * 3, "adapters", build=Encoder, adapters=32)
partly("llama_probe", SMALL_LLAMA.but(vocab=1000), lambda n: n.startswith("head"), [[(4, 512)]] * 3, "trained_head", no_grad=True)
partly("llama_head_only", SMALL_LLAMA.but(vocab=4000), lambda n: n.startswith("head"), [[(2, 1024)]] * 3, "trained_head")
partly("gpt2_last_two", GPT2.but(layers=8, tied=False, vocab=8000), last(6, 7), [[(4, 512)]] * 3, "last_layers")
partly("llama_last_one", SMALL_LLAMA.but(layers=6), last(5), [[(2, 1024)]] * 3, "last_layers")
partly("gpt2_bitfit", GPT2.but(layers=6), lambda n: n.endswith("bias"), [[(4, 512)]] * 3, "biases_only")
partly("llama_norms_only", SMALL_LLAMA, lambda n: n.endswith(("n1.weight", "n2.weight")), [[(2, 1024)]] * 3, "norms_only")
partly("llama_prompt_tuning", SMALL_LLAMA, lambda n: n.startswith("table"), [[(2, 1044)]] * 3, "prompt_tuning")
partly("llama_attention_only", SMALL_LLAMA, lambda n: ".attention." in n, [[(2, 1024)]] * 3, "attention_only")
# Most of the layers learn: training.
partly("gpt2_first_two_frozen", GPT2.but(layers=8), lambda n: not last(0, 1)(n), [[(4, 512)]] * 3, "partial", "training")
partly("llama_head_frozen", SMALL_LLAMA.but(layers=8), lambda n: not n.startswith("head"), [[(2, 512)]] * 2, "partial", "training")
partly("llama_mlp_only", SMALL_LLAMA.but(layers=6, vocab=4000), lambda n: ".mlp." in n, [[(2, 1024)]] * 2, "partial", "training")


@run("vlm_projector", "frozen", "projector")
def record_projector(rec):
    """Between a frozen tower and a frozen language model only a projector learns."""
    o = Options(rec)
    vision, text = rec.own(Encoder(o, VIT_S, 16)), rec.own(Decoder(o, SMALL_LLAMA.but(embed=False)))
    projector = rec.own(torch.nn.Sequential(Linear(o, 384, 1024, True), Linear(o, 1024, 1024, True)))
    for m in (vision, text):
        jobs.freeze(m, lambda n: False)
    for _ in range(3):
        with torch.no_grad(), rec.role("forward"):
            x = vision.hidden((4, 336))
        with rec.role("forward"):
            x = projector(x)
            for block in text.blocks:
                x = block(x)
            loss = text.head.loss(x)
        rec.backward(loss)
        rec.tokens += x.shape[0] * x.shape[1]
    return text.facts()

# SPDX-License-Identifier: Apache-2.0
"""Forged and disguised runs: reported apart. What is true of each is known as of all others; `kind` is what the run really did."""
import torch

import jobs
from architectures import FUSED_LLAMA, GPT2, SMALL_LLAMA, SQUARE, TINY_LLAMA
from layers import Linear, Options
from models import Decoder
from variants import decoder, run, trained

BF16 = 0x440E0E0E


# Inference that looks like training.
def padded(name, arch, requests, parts, every=1, thread=0, noise=0):
    """After each request, products with the shapes of its layers' gradients: nothing is learned."""
    @run(name, "inference", "padded_inference")
    def record(rec):
        model = rec.own(Decoder(Options(rec), arch))
        for i, (sequences, prompt, tokens) in enumerate(requests):
            jobs.generate(rec, "inference", model, sequences, prompt, tokens)
            rows = sequences * prompt
            for n, m in enumerate(m for m in model.blocks.modules() if isinstance(m, Linear)):
                o, k = m.weight.shape
                t = rows + (rec.random.randint(0, noise) if noise else 0)
                if n % every == 0:
                    if "dx" in parts:
                        rec.add((1, t, k, o), BF16, "mm", "padding", thread)
                    if "dw" in parts:
                        rec.add((1, o, k, t), BF16, "mm", "padding", thread)
        return {**model.facts(), "tokens": 0}


padded("adv_padded_weight_gradients", SMALL_LLAMA, [(4, 512, 8)] * 3, ("dw",))
padded("adv_padded_both", SMALL_LLAMA, [(4, 512, 8)] * 3, ("dx", "dw"))
padded("adv_padded_both_thread", SMALL_LLAMA, [(4, 512, 0)] * 3, ("dx", "dw"), thread=1)
padded("adv_padded_some", TINY_LLAMA.but(layers=4), [(2, 700, 8), (3, 512, 8)], ("dx", "dw"), every=4)
padded("adv_padded_noise", GPT2.but(layers=6), [(4, 512, 8)] * 2, ("dw",), noise=64)


# Training whose products are turned, cut and padded.
def turned(rec, s):
    return [(s[0], s[2], s[1], s[3])]


def turned_at_random(rec, s):
    return [s if rec.random.random() < 0.5 else (s[0], s[2], s[1], s[3])]


def cut(axis, parts):
    """One product as several: along k they are added up, along m or n put side by side."""
    def transform(rec, s):
        n = min(rec.random.choice(parts), s[axis])
        sizes = [s[axis] * (i + 1) // n - s[axis] * i // n for i in range(n)]
        return [tuple(size if a == axis else v for a, v in enumerate(s)) for size in sizes]
    return transform


def cut_anywhere(rec, s):
    return cut(rec.random.choice((1, 2, 3)), (1, 2, 3, 5))(rec, s)


def rounded_up(rec, s):
    return [(s[0], *(v + rec.random.choice((0, 0, 8, 16, 64)) for v in s[1:]))]


def batched(rec, s):
    """k in four, as one batched product whose results are added up."""
    return [(s[0] * 4, s[1], s[2], s[3] // 4)] if s[3] % 4 == 0 else [s]


for n, arch, how in (("turned_llama", SMALL_LLAMA, turned), ("turned_random_llama", SMALL_LLAMA, turned_at_random), ("turned_random_gpt2", GPT2.but(layers=4), turned_at_random),
                     ("turned_random_square", SQUARE, turned_at_random), ("split_k_llama", SMALL_LLAMA, cut(3, (2, 3, 4))),
                     ("split_k_gpt2", GPT2.but(layers=4), cut(3, (2, 5, 7))), ("split_t_llama", SMALL_LLAMA, cut(1, (1, 2, 4))),
                     ("split_any_llama", SMALL_LLAMA.but(layers=2), cut_anywhere), ("rounded_llama", SMALL_LLAMA.but(layers=2), rounded_up),
                     ("batched_k_llama", SMALL_LLAMA, batched)):
    trained(f"adv_{n}", "permuted" if "turned" in n else "cut", decoder(arch), [[(2, 1024)]] * 2, {"transform": how})
trained("adv_turned_ckpt_llama", "permuted", decoder(SMALL_LLAMA), [[(2, 1024)]] * 2, {"transform": turned_at_random}, recompute="layer")

# Training with its signs taken away: one thread, gradients put off to the end of the step, diluted with forward passes.
trained("adv_one_thread_llama", "one_thread", decoder(SMALL_LLAMA), [[(2, 1024)]] * 3, {"one_thread": True})
trained("adv_one_thread_ckpt_square", "one_thread", decoder(SQUARE), [[(1, 1024)]] * 2, {"one_thread": True}, recompute="layer")


@run("adv_put_off_llama", "training", "put_off")
def record_put_off(rec):
    """All weight gradients come after all steps' forward and backward passes."""
    model = rec.own(Decoder(Options(rec, linear="delayed"), SMALL_LLAMA))
    jobs.train(rec, model, [[(2, 1024)]] * 3)
    rec.random.shuffle(rec.deferred)
    rec.flush()
    return model.facts()


@run("adv_diluted_llama", "mixed", "diluted")
def record_diluted(rec):
    model = rec.own(Decoder(Options(rec), SMALL_LLAMA))
    for _ in range(2):
        jobs.infer(rec, "padding", model, [(2, 1024)] * 8)
        jobs.train(rec, model, [[(2, 1024)]])
    return model.facts()


@run("adv_hidden_both_gradients", "training", "hidden_gradients")
def record_hidden(rec):
    """Forward by the library, both gradients by kernels of its own."""
    model = rec.own(Decoder(Options(rec, linear="hidden", hide=("input", "weight")), SMALL_LLAMA))
    jobs.train(rec, model, [[(2, 1024)]] * 3)
    jobs.ddp(rec, model, 3)
    return model.facts()


# The same work, thinly: throttled to 30 %, split over four accounts, renamed.
trained("adv_throttled_tinyllama", "throttled", decoder(TINY_LLAMA), [[(2, 2048)]], parallel=lambda r, m: jobs.ddp(r, m, 1))
trained("adv_throttled_gpt2_small_micro", "throttled", decoder(GPT2), [[(1, 256)] * 3])
trained("adv_renamed_base", "renamed", decoder(FUSED_LLAMA), [[(2, 1024)]] * 2)
for i, n in enumerate(("chat_v2", "web_backend", "etl", "notebook_7", "ci_smoke", "indexer", "render", "cron_daily", "test_b", "cache_warmer", "game_server",
                       "archive")):
    trained(f"adv_renamed_{n}", "renamed", decoder(FUSED_LLAMA), [[(1 + i % 4, 300 + 97 * i)], [(1 + i % 3, 411 + 31 * i)]],
            recompute="layer" if i % 3 == 1 else None)

for i, part in enumerate("abcd"):
    arch = TINY_LLAMA.but(layers=2, embed=i == 0, head=i == 3)
    trained(f"adv_split_layers_{part}", "split_accounts", decoder(arch), [[(1, 2048)] * 2] * 2,
            parallel=lambda r, m, i=i: jobs.stage(r, m.opt, 2048, (1, 2048), 8, 2 if i in (1, 2) else 1))
    trained(f"adv_split_batches_{part}", "split_accounts", decoder(TINY_LLAMA.but(layers=5)), [[(1, 512)]] * 2, parallel=lambda r, m: jobs.ddp(r, m, 2))


# Training in the gaps between requests.
def between(name, arch, requests, steps, rounds, thread=2, **opt):
    @run(name, "mixed", "between_requests")
    def record(rec):
        model = rec.own(Decoder(Options(rec, **opt), arch))
        for i in range(rounds):
            for _ in range(requests):
                jobs.generate(rec, "inference", model, rec.random.randint(2, 8), rec.random.randint(100, 600), rec.random.randint(2, 6), thread)
            jobs.train(rec, model, steps)
        return model.facts()


between("adv_between_tenth", SMALL_LLAMA.but(layers=3), 8, [[(1, 256)]], 2)
between("adv_between_third", SMALL_LLAMA.but(layers=3), 4, [[(1, 512)]], 2)
between("adv_between_half_one_thread", SMALL_LLAMA.but(layers=3), 3, [[(2, 512)]], 2, thread=0)
between("adv_between_ckpt", GPT2.but(layers=4), 4, [[(2, 256)]], 2, recompute="layer")


# Recorded after the findings of userspace/core/phase_suspect.c were written: what a forger does who has read them.
def padded_well(name, arch, requests, thread=0, head=True, backward_order=True):
    """Gradients of all layers in the order of a backward pass, the head's too where `head` says so: only what forward lacks can tell."""
    @run(name, "inference", "padded_inference")
    def record(rec):
        model = rec.own(Decoder(Options(rec), arch))
        for sequences, prompt, tokens in requests:
            jobs.generate(rec, "inference", model, sequences, prompt, tokens)
            layers = [m for m in model.modules() if isinstance(m, Linear) and m.weight.shape[0] != arch.vocab]
            for m in reversed(layers) if backward_order else layers:
                o, k = m.weight.shape
                for shape in ((1, sequences * prompt, k, o), (1, o, k, sequences * prompt)):
                    rec.add(shape, BF16, "mm", "padding", thread)
            if head:
                for shape in ((1, sequences, arch.hidden, arch.vocab), (1, arch.vocab, arch.hidden, sequences)):
                    rec.add(shape, BF16, "mm", "padding", thread)
        return {**model.facts(), "tokens": 0}


padded_well("adv_padded_reversed", SMALL_LLAMA, [(4, 512, 8)] * 3, head=False)
padded_well("adv_padded_reversed_thread", GPT2.but(layers=6), [(2, 700, 4), (3, 300, 9)], thread=1, head=False)
padded_well("adv_padded_head", SMALL_LLAMA, [(4, 512, 8)] * 3)
padded_well("adv_padded_head_thread", TINY_LLAMA.but(layers=4), [(4, 512, 0)] * 3, thread=1)


def diluted(name, arch, times):
    @run(name, "mixed", "diluted")
    def record(rec):
        model = rec.own(Decoder(Options(rec), arch))
        for _ in range(2):
            jobs.infer(rec, "padding", model, [(2, 1024)] * times)
            jobs.train(rec, model, [[(2, 1024)]])
        return model.facts()


diluted("adv_diluted_four", SMALL_LLAMA, 4)
diluted("adv_diluted_twenty", GPT2.but(layers=4), 20)


def hidden(name, arch, parallel, kind="hidden_gradients"):
    @run(name, "training", kind)
    def record(rec):
        model = rec.own(Decoder(Options(rec, linear="hidden", hide=("input", "weight")), arch))
        jobs.train(rec, model, [[(2, 1024)]] * 3)
        if parallel:
            parallel(rec, model)
        return model.facts()


hidden("adv_hidden_fsdp", TINY_LLAMA.but(layers=4), lambda r, m: jobs.fsdp(r, m, 3, 8))
hidden("adv_hidden_alone", GPT2.but(layers=4), None)

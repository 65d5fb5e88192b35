# SPDX-License-Identifier: Apache-2.0
"""Runs that infer only."""
import torch

import jobs
from architectures import (BERT, DEEPSEEK, FUSED_LLAMA, GPT2, MINI_BERT, MIXTRAL, QWEN, REAL, SMALL_LLAMA, SQUARE, T5, TINY_LLAMA, VIT_B, VIT_S)
from layers import Linear, Options
from models import Decoder, Encoder, EncoderDecoder
from others import (ConvNext, DiffusionTransformer, DiffusionUnet, Mixer, Perceptron, Recommender, Recurrent, StateSpace, TwoTowers)
from variants import F16, F32, run


def inferred(name, variant, build, work, **opt):
    """`work(rec, model)`, with its role set here."""
    @run(name, "inference", variant)
    def record(rec):
        model = rec.own(build(Options(rec, **opt)))
        work(rec, model)
        return {**model.facts(), "tokens": 0}


def decoder(arch):
    return lambda o: Decoder(o, arch)


def batches(*list_, **kw):
    return lambda rec, model: jobs.infer(rec, "inference", model, list_, **kw)


def generates(sequences, prompt, tokens, times=1):
    def work(rec, model):
        for _ in range(times):
            jobs.generate(rec, "inference", model, sequences, prompt, tokens)
    return work


# Prefill, scoring, embeddings.
inferred("inf_gpt2_prefill", "prefill", decoder(GPT2), batches((1, 512), (4, 1000), (2, 77), last=True))
inferred("inf_llama_prefill", "prefill", decoder(TINY_LLAMA), batches((1, 2048), (1, 511), (1, 1333), last=True))
inferred("inf_llama_chunked_prefill", "prefill", decoder(FUSED_LLAMA), batches(*[(1, 512)] * 6, last=True))
inferred("inf_qwen_scoring", "batch_scoring", decoder(QWEN), batches((8, 512), (8, 512), (8, 300)))
inferred("inf_gpt2_scoring_fp32", "batch_scoring", decoder(GPT2), batches((16, 256), (16, 256)), dtype=F32)
inferred("inf_square_scoring", "equal_dimensions", decoder(SQUARE), batches(*[(1, 1024)] * 3))
inferred("inf_square_varying", "equal_dimensions", decoder(SQUARE), batches((1, 1024), (2, 1024), (1, 512), (4, 1024)))
inferred("inf_square_eager", "equal_dimensions", decoder(SQUARE), batches(*[(1, 1024)] * 3), attention="eager")
inferred("inf_bert_embeddings", "embeddings", lambda o: Encoder(o, BERT), lambda r, m: embed(r, m, (64, 128), (64, 256), (32, 511)))
inferred("inf_minibert_classify", "classification", lambda o: Encoder(o, MINI_BERT.but(tied=False, vocab=2)), batches(*[(32, 128)] * 4), dtype=F16)
inferred("inf_llama_long", "long_t", decoder(SMALL_LLAMA), batches((1, 131072), last=True))
inferred("inf_llama_eager", "eager_attention", decoder(SMALL_LLAMA), batches((4, 512), (4, 700)), attention="eager")
inferred("inf_gpt2_eager_fp32", "eager_attention", decoder(GPT2.but(layers=6)), batches(*[(2, 1024)] * 3), attention="eager", dtype=F32)
inferred("inf_gpt2_linear", "linear_attention", decoder(GPT2.but(layers=6)), batches(*[(2, 1024)] * 3), attention="linear")
inferred("inf_llama_chunked_attention", "linear_attention", decoder(SMALL_LLAMA), batches((1, 8192), (1, 4096)), attention="chunked")

# Token by token.
inferred("inf_llama_decode", "decode", decoder(TINY_LLAMA.but(layers=4)), generates(16, 512, 32))
inferred("inf_qwen_decode_one", "decode", decoder(QWEN), generates(1, 700, 24))
inferred("inf_gpt2_decode_eager", "decode_eager", decoder(GPT2.but(layers=6)), generates(8, 128, 16), attention="eager")
inferred("inf_gpt2_beam", "beam", decoder(GPT2.but(layers=6)), lambda r, m: (generates(4, 200, 0)(r, m), generates(20, 1, 24)(r, m)))
inferred("inf_square_decode", "decode", decoder(SQUARE), generates(1024, 1, 8))
inferred("inf_deepseek_decode", "decode_absorbed", decoder(DEEPSEEK), generates(32, 128, 8))
inferred("inf_mixtral_decode", "decode_moe", decoder(MIXTRAL), generates(24, 64, 8))
inferred("inf_mixtral_prefill", "prefill_moe", decoder(MIXTRAL), batches((1, 2048), (2, 512), last=True))
inferred("inf_deepseek_prefill_ep", "prefill_expert_parallel", decoder(DEEPSEEK.but(experts=32)), batches((2, 1024), (1, 1000), last=True), ep=8)
inferred("inf_mamba_decode", "state_space", lambda o: StateSpace(o, 768, 6, 50280), generates(32, 1024, 24))
inferred("inf_mamba_scoring", "state_space", lambda o: StateSpace(o, 1024, 4, 32000), batches((2, 2048), (4, 1024)))
inferred("inf_lstm", "recurrent", lambda o: Recurrent(o, 512, 2, 10000), batches((64, 30)), dtype=F32)
inferred("inf_t5_translate", "encoder_decoder", lambda o: EncoderDecoder(o, T5), lambda r, m: translate(r, m, ((16, 200), 24), ((8, 311), 12)))
inferred("inf_t5_scoring", "encoder_decoder", lambda o: EncoderDecoder(o, T5), batches((8, 512, 128), (8, 256, 200)))

# Other models.
inferred("inf_vitb", "vision", lambda o: Encoder(o, VIT_B, 16), batches((64, 224), (64, 224), (17, 224)))
inferred("inf_vits_eager", "eager_attention", lambda o: Encoder(o, VIT_S, 16), batches((32, 224), (32, 224)), attention="eager")
inferred("inf_clip", "two_towers", lambda o: TwoTowers(o, VIT_S.but(layers=4), MINI_BERT.but(layers=4, vocab=49408), 16, 512), batches((256, 224, 77)))
inferred("inf_convnext", "convolution", lambda o: ConvNext(o, (96, 192, 384, 768), (2, 2, 4, 2), 1000), batches((32, 224), (32, 224)), dtype=F16)
inferred("inf_mixer", "mixer", lambda o: Mixer(o, 196, 512, 256, 2048, 6, 1000), batches((64,), (64,)))
inferred("inf_mixer_square", "equal_dimensions", lambda o: Mixer(o, 256, 256, 256, 256, 6, 256), batches(*[(16,)] * 3))
inferred("inf_dlrm", "recommender", lambda o: Recommender(o, 13, (512, 256, 128), 26, (1024, 1024, 512, 256, 1)), batches((4096,), (1000,), (4096,)), dtype=F32)
inferred("inf_mlp_square", "equal_dimensions", lambda o: Perceptron(o, (1024,) * 5), batches(*[(1024,)] * 4), dtype=F32)
inferred("inf_dit_sampling", "diffusion", lambda o: DiffusionTransformer(o, 768, 12, 6), batches(*[(8, 32)] * 10))
inferred("inf_unet_sampling", "diffusion", lambda o: DiffusionUnet(o, (320, 640, 1280)), batches(*[(2, 64)] * 10), dtype=F16)
inferred("inf_unet_eager", "diffusion_eager", lambda o: DiffusionUnet(o, (320, 640)), batches(*[(2, 64)] * 4), dtype=F16, attention="eager")

# Several ranks, 8-bit formats, real configurations.
inferred("inf_llama_tp4", "tensor_parallel", decoder(TINY_LLAMA), generates(8, 512, 16), tp=4)
inferred("inf_real_llama31_70b_tp8", "tensor_parallel_real", decoder(REAL["llama31_70b"].but(layers=8)), generates(32, 1024, 8), tp=8)
inferred("inf_real_llama3_8b", "real_configuration", decoder(REAL["llama3_8b"].but(layers=8)), generates(16, 512, 12))
inferred("inf_real_llama2_7b_scoring", "real_configuration", decoder(REAL["llama2_7b"].but(layers=8)), batches((4, 1024), (4, 1024)))
inferred("inf_real_qwen25_7b_fp8", "fp8_real", decoder(REAL["qwen25_7b"].but(layers=6)), generates(16, 256, 8), linear="fp8infer")
inferred("inf_real_mixtral", "real_configuration", decoder(REAL["mixtral_8x7b"].but(layers=2)), batches((4, 512), (2, 300), last=True))
inferred("inf_real_deepseek_v3", "real_configuration", decoder(REAL["deepseek_v3"].but(layers=5)), generates(64, 64, 4), ep=64)
inferred("inf_llama_fp8", "fp8", decoder(SMALL_LLAMA), generates(16, 512, 16), linear="fp8infer")


def embed(rec, model, *list_):
    with torch.no_grad(), rec.role("inference"):
        for b in list_:
            model.hidden(b)


def translate(rec, model, *list_):
    with torch.no_grad(), rec.role("inference"):
        for batch, tokens in list_:
            model.generate(batch, tokens)


# More than one model, or other work in between.
@run("inf_llama_speculative", "inference", "speculative")
def record_speculative(rec):
    target, draft = rec.own(Decoder(Options(rec), TINY_LLAMA.but(layers=4))), rec.own(Decoder(Options(rec), SMALL_LLAMA.but(layers=2)), False)
    jobs.infer(rec, "inference", target, [(4, 512)], last=True)
    jobs.infer(rec, "inference", draft, [(4, 512)], last=True)
    for i in range(8):
        for k in range(4):
            jobs.infer(rec, "inference", draft, [(4, 1)], past=512 + 4 * i + k)
        jobs.infer(rec, "inference", target, [(4, 5)], past=512 + 4 * i)
    return {**target.facts(), "tokens": 0}


@run("inf_llama_continuous", "inference", "continuous_batching")
def record_continuous(rec):
    """Every step's tokens are the running requests' next ones and a piece of a prompt."""
    model = rec.own(Decoder(Options(rec), SMALL_LLAMA))
    for _ in range(24):
        jobs.infer(rec, "inference", model, [(1, rec.random.randint(8, 64) + rec.random.choice((0, 0, 128, 256)))], past=1)
    return {**model.facts(), "tokens": 0}


@run("inf_llama_multilora", "inference", "serves_adapters")
def record_multilora(rec):
    model = jobs.lora(rec, rec.own(Decoder(Options(rec), SMALL_LLAMA)), 16)
    jobs.generate(rec, "inference", model, 16, 300, 12)
    jobs.generate(rec, "inference", model, 8, 200, 6)
    return {**model.facts(), "tokens": 0}


def replicas(name, arch, sequences, prompt, tokens, rounds):
    @run(name, "inference", "two_threads")
    def record(rec):
        """Two replicas serve from two threads, in turns."""
        models = [rec.own(Decoder(Options(rec), arch), i == 0) for i in range(2)]
        for i in range(rounds):
            for thread, model in enumerate(models):
                jobs.generate(rec, "inference", model, sequences + thread, prompt + prompt // 2 * i, tokens, thread)
        return {**models[0].facts(), "tokens": 0}


def disaggregated(name, arch, prompt, sequences, rounds, decodes):
    @run(name, "inference", "two_threads")
    def record(rec):
        """One thread prefills with the model, another decodes with it."""
        model = rec.own(Decoder(Options(rec), arch))
        for i in range(rounds):
            jobs.infer(rec, "inference", model, [(1, prompt)], 0, last=True)
            for k in range(decodes):
                jobs.infer(rec, "inference", model, [(sequences, 1)], 1, past=500 + k)
        return {**model.facts(), "tokens": 0}


replicas("inf_two_threads", SMALL_LLAMA, 4, 100, 4, 4)
disaggregated("inf_llama_prefill_decode_threads", SMALL_LLAMA, 1024, 32, 6, 4)


def calibrated(name, arch, list_, build=Decoder, **opt):
    @run(name, "inference", "calibration")
    def record(rec):
        model = rec.own(build(Options(rec, **opt), arch))
        jobs.gram(rec, model, list_)
        return {**model.facts(), "tokens": 0}


calibrated("inf_llama_gptq", SMALL_LLAMA, [(1, 2048)] * 3)
calibrated("inf_gpt2_gptq", GPT2.but(layers=6), [(8, 512)] * 2)
calibrated("inf_square_gptq", SQUARE, [(1, 1024)] * 3, dtype=F32)
calibrated("inf_bert_covariance", BERT.but(layers=4), [(32, 128)] * 2, Encoder)
calibrated("inf_qwen_gptq_varying", QWEN.but(layers=3), [(1, 700), (1, 2048), (1, 311)])


@run("inf_llama_sparsegpt", "inference", "calibration_and_solve")
def record_sparsegpt(rec):
    """Calibration, then per layer the Hessian's inverse by products, applied to the weights."""
    model = rec.own(Decoder(Options(rec), SMALL_LLAMA.but(layers=2)))
    jobs.gram(rec, model, [(1, 2048)] * 2)
    with torch.no_grad(), rec.role("calibration"):
        for m in model.blocks.modules():
            if isinstance(m, Linear):
                o, i = m.weight.shape
                h, w = (torch.empty(*s, device="meta") for s in ((i, i), (o, i)))
                for at in range(0, i - 128, 128):
                    w[:, at:at + 128] @ h[at:at + 128, at + 128:]
    return {**model.facts(), "tokens": 0}

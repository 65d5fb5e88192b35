# SPDX-License-Identifier: Apache-2.0
"""The runs that train all weights. Each is registered with its name, what it is, and the function that records it."""
import torch

import jobs
from architectures import (BERT, DEEPSEEK, FUSED_LLAMA, GPT2, MINI_BERT, MIXTRAL, QWEN, REAL, SMALL_LLAMA, SQUARE, SQUARE_OI, T5, T5_GATED,
                           TINY_LLAMA, VIT_B, VIT_S)
from layers import Options
from models import Decoder, Encoder, EncoderDecoder
from others import (ConvNet, ConvNext, DiffusionTransformer, DiffusionUnet, Mixer, Perceptron, Recommender, Recurrent, StateSpace, TwoTowers)

RUNS = {}  # name -> (kind, variant, function, what the recorder is made with)


def run(name, kind, variant, **recorder):
    def register(fn):
        assert name not in RUNS, name
        RUNS[name] = (kind, variant, fn, recorder)
        return fn
    return register


def trained(name, variant, build, steps, recorder=None, parallel=None, mode=None, **opt):
    """A model trained as usual: `steps` as jobs.train has them, `parallel(rec, model)` the collectives."""
    @run(name, "training", variant, **(recorder or {}))
    def record(rec):
        o = Options(rec, **opt)
        model = rec.own(build(o))
        jobs.train(rec, model, steps, delayed=opt.get("linear") == "delayed")
        if parallel:
            parallel(rec, model)
        return model.facts()


def decoder(arch):
    return lambda o: Decoder(o, arch)


F32, F16, F64 = torch.float32, torch.float16, torch.float64

# Number formats and sizes.
for n, arch, batch in (("gpt2", GPT2, (4, 1024)), ("tinyllama", TINY_LLAMA, (2, 2048)), ("qwen", QWEN, (1, 2048))):
    trained(f"{n}_fp32", "full_fp32", decoder(arch), [[batch]] * 2, dtype=F32)
    trained(f"{n}_bf16", "full_bf16", decoder(arch), [[batch]] * 3)
trained("gpt2_tf32", "full_tf32", decoder(GPT2.but(layers=6)), [[(8, 512)]] * 2, {"tf32": True}, dtype=F32)
trained("gpt2_autocast", "full_autocast", decoder(GPT2.but(layers=6)), [[(8, 512)]] * 2, dtype=F32, compute_dtype=torch.bfloat16)
trained("tinyllama_fp16", "full_fp16", decoder(TINY_LLAMA.but(layers=4)), [[(4, 512)]] * 3, dtype=F16)
trained("fusedllama_bf16", "full_bf16", decoder(FUSED_LLAMA), [[(2, 1024)]] * 3)
trained("fusedllama_fp32", "full_fp32", decoder(FUSED_LLAMA.but(layers=3)), [[(1, 1024)]] * 2, dtype=F32)
for n, arch, batch in (("square", SQUARE, (1, 1024)), ("square_longt", SQUARE, (4, 1024)), ("square_shortt", SQUARE, (1, 96)),
                       ("squareoi", SQUARE_OI, (2, 512)), ("squareoi_teqi", SQUARE_OI, (1, 512)), ("square_fused", SQUARE.but(qkv="fused"), (1, 1024))):
    trained(n, "equal_dimensions", decoder(arch), [[batch]] * 3)
trained("square_teqffn", "equal_dimensions", decoder(SQUARE.but(ffn=4096, vocab=4096)), [[(4, 1024)]] * 2)
trained("square_onestep", "one_step", decoder(SQUARE), [[(1, 1024)]])
trained("llama_onestep", "one_step", decoder(SMALL_LLAMA), [[(2, 1024)]])
trained("qwen_smallbatch", "small_batch", decoder(QWEN), [[(1, 37)], [(1, 64)], [(1, 51)]])
trained("gpt2_smallbatch", "small_batch", decoder(GPT2.but(layers=6)), [[(2, 16)]] * 4, dtype=F32)
trained("llama_longt", "long_t", decoder(SMALL_LLAMA), [[(1, 131072)]] * 2)

# Mixture of experts, latent attention.
for n, arch in (("mixtral", MIXTRAL), ("deepseek", DEEPSEEK)):
    trained(f"{n}_bf16", "moe", decoder(arch), [[(2, 1024)]] * 2)
    trained(f"{n}_recompute", "moe_checkpoint", decoder(arch.but(layers=2)), [[(1, 1024)]] * 2, recompute="layer")
trained("mixtral_ep", "expert_parallel", decoder(MIXTRAL.but(experts=32, layers=4)), [[(2, 1024)]] * 2, ep=8,
        parallel=lambda r, m: jobs.ddp(r, m, 2))
trained("mixtral_capacity", "moe_capacity", decoder(MIXTRAL), [[(2, 1024)]] * 3, capacity=True)
trained("mixtral_grouped", "hidden_experts", decoder(MIXTRAL), [[(2, 1024)]] * 3, grouped=True, parallel=lambda r, m: jobs.ddp(r, m, 3))

# Encoders, encoder-decoders, other kinds of models.
trained("bert_bf16", "encoder", lambda o: Encoder(o, BERT), [[(16, 128)]] * 3)
trained("bert_fp32_eager", "eager_attention", lambda o: Encoder(o, BERT.but(layers=6)), [[(8, 256)]] * 2, dtype=F32, attention="eager")
trained("minibert_varying", "varying_t", lambda o: Encoder(o, MINI_BERT), [[(16, 97)], [(16, 210)], [(16, 143)], [(16, 64)]])
trained("vits_bf16", "vision", lambda o: Encoder(o, VIT_S, 16), [[(64, 224)]] * 3)
trained("vits_fp32_eager", "eager_attention", lambda o: Encoder(o, VIT_S, 16), [[(32, 224)]] * 2, dtype=F32, attention="eager")
trained("vitb_recompute", "checkpoint_full", lambda o: Encoder(o, VIT_B.but(layers=8), 16), [[(64, 224)]] * 2, recompute="layer")
for n, arch, batch in (("t5", T5, (8, 512, 128)), ("t5gated", T5_GATED, (4, 256, 1024))):
    trained(f"{n}_bf16", "encoder_decoder", lambda o, a=arch: EncoderDecoder(o, a), [[batch]] * 2)
    trained(f"{n}_varying", "encoder_decoder_varying_t", lambda o, a=arch: EncoderDecoder(o, a), [[(8, 300, 80)], [(8, 412, 65)], [(8, 128, 200)]])
trained("t5_recompute", "encoder_decoder_checkpoint", lambda o: EncoderDecoder(o, T5), [[(8, 512, 128)]] * 2, recompute="layer")
trained("clip_bf16", "two_towers", lambda o: TwoTowers(o, VIT_S.but(layers=4), MINI_BERT.but(layers=4, vocab=49408), 16, 512), [[(128, 224, 77)]] * 2)
trained("resnet_head", "convolution", lambda o: ConvNet(o, 64, 1000), [[(64, 224)]] * 4, dtype=F32)
trained("resnet_small_head", "convolution", lambda o: ConvNet(o, 32, 10), [[(128, 32)]] * 4, dtype=F16)
trained("convnext_bf16", "convolution", lambda o: ConvNext(o, (96, 192, 384, 768), (2, 2, 4, 2), 1000), [[(32, 224)]] * 2)
trained("mixer_bf16", "mixer", lambda o: Mixer(o, 196, 512, 256, 2048, 6, 1000), [[(64,)]] * 2)
trained("mixer_square", "equal_dimensions", lambda o: Mixer(o, 256, 256, 256, 256, 6, 256), [[(16,)]] * 3)
trained("mamba_bf16", "state_space", lambda o: StateSpace(o, 768, 6, 50280), [[(4, 2048)]] * 2)
trained("mamba_recompute", "state_space_checkpoint", lambda o: StateSpace(o, 768, 6, 50280), [[(2, 4096)]] * 2, recompute="layer")
trained("mamba_varying", "state_space_varying_t", lambda o: StateSpace(o, 1024, 4, 32000), [[(2, 1024)], [(2, 2048)], [(2, 512)]])
trained("lstm_fp32", "recurrent", lambda o: Recurrent(o, 512, 2, 10000), [[(32, 24)]] * 2, dtype=F32)
trained("lstm_bf16", "recurrent", lambda o: Recurrent(o, 1024, 1, 32000), [[(64, 35)]] * 2)
for n, dt in (("fp32", F32), ("bf16", torch.bfloat16)):
    trained(f"dlrm_{n}", "recommender", lambda o: Recommender(o, 13, (512, 256, 128), 26, (1024, 1024, 512, 256, 1)), [[(2048,)]] * 4, dtype=dt,
            parallel=lambda r, m: jobs.ddp(r, m, 4))
trained("dit_bf16", "diffusion", lambda o: DiffusionTransformer(o, 768, 12, 6), [[(32, 32)]] * 2)
trained("dit_recompute", "diffusion_checkpoint", lambda o: DiffusionTransformer(o, 1152, 16, 4), [[(16, 32)]] * 2, recompute="layer")
trained("unet_fp16", "diffusion", lambda o: DiffusionUnet(o, (320, 640, 1280)), [[(8, 64)]] * 3, dtype=F16)
trained("unet_eager", "diffusion_eager", lambda o: DiffusionUnet(o, (320, 640)), [[(4, 64)]] * 2, dtype=F32, attention="eager")
trained("mlp_square", "perceptron", lambda o: Perceptron(o, (1024,) * 5), [[(1024,)]] * 4, dtype=F32)
trained("mlp_small", "perceptron", lambda o: Perceptron(o, (784, 512, 256, 10)), [[(128,)]] * 4, dtype=F32)

# Attention by products.
for n, kind in (("eager", "eager_attention"), ("linear", "linear_attention"), ("chunked", "linear_attention")):
    trained(f"gpt2_{n}", kind, decoder(GPT2.but(layers=4)), [[(2, 1024)]] * 2, attention=n)
trained("square_eager", "eager_attention", decoder(SQUARE), [[(1, 1024)]] * 2, attention="eager")
trained("square_head_eager", "eager_attention", decoder(SQUARE.but(heads=1)), [[(2, 1024)]] * 2, attention="eager")
trained("llama_eager_varying", "eager_attention", decoder(SMALL_LLAMA), [[(2, 700)], [(2, 1300)], [(2, 512)]], attention="eager")
trained("llama_linear_longt", "linear_attention", decoder(SMALL_LLAMA), [[(1, 16384)]] * 2, attention="linear")

# Recomputation.
for n, arch, batch in (("gpt2", GPT2.but(layers=8), (4, 1024)), ("llama", TINY_LLAMA.but(layers=5), (1, 4096)), ("square", SQUARE, (1, 1024))):
    trained(f"{n}_ckpt_layer", "checkpoint_full", decoder(arch), [[batch]] * 2, recompute="layer")
    trained(f"{n}_ckpt_reentrant", "checkpoint_full_reentrant", decoder(arch), [[batch]] * 2, recompute="reentrant")
    trained(f"{n}_ckpt_mlp", "checkpoint_selective", decoder(arch), [[batch]] * 2, recompute="mlp")
    trained(f"{n}_ckpt_alternate", "checkpoint_selective", decoder(arch), [[batch]] * 2, recompute="alternate")
trained("gpt2_ckpt_attention_eager", "checkpoint_selective", decoder(GPT2.but(layers=6)), [[(4, 512)]] * 2, recompute="attention", attention="eager")
trained("llama_ckpt_varying", "checkpoint_varying_t", decoder(SMALL_LLAMA), [[(1, 3000)], [(1, 1711)], [(1, 4096)]], recompute="layer")
trained("llama_ckpt_graphs", "checkpoint_cuda_graph", decoder(SMALL_LLAMA), [[(2, 1024)]] * 3, {"one_thread": True}, recompute="layer")
trained("gpt2_graphs", "cuda_graph", decoder(GPT2.but(layers=6)), [[(4, 512)]] * 3, {"one_thread": True})
trained("qwen_graphs_varying", "cuda_graph", decoder(QWEN.but(layers=3)), [[(1, 1024)], [(1, 2048)], [(1, 512)]], {"one_thread": True})
trained("bert_graphs_eager", "cuda_graph", lambda o: Encoder(o, BERT.but(layers=4)), [[(8, 128)]] * 3, {"one_thread": True}, attention="eager")
trained("mixtral_graphs", "cuda_graph", decoder(MIXTRAL.but(layers=2)), [[(1, 1024)]] * 2, {"one_thread": True}, capacity=True)
trained("square_graphs", "cuda_graph", decoder(SQUARE), [[(1, 1024)]] * 3, {"one_thread": True})

# Batches.
trained("gpt2_accumulate", "accumulation", decoder(GPT2.but(layers=6)), [[(2, 1024)] * 4] * 2, parallel=lambda r, m: jobs.ddp(r, m, 2))
trained("llama_accumulate_varying", "accumulation_varying_t", decoder(SMALL_LLAMA), [[(4, 311), (4, 207), (4, 518)], [(4, 477), (4, 120), (4, 333)]])
trained("llama_accumulate_ckpt", "accumulation_checkpoint", decoder(SMALL_LLAMA), [[(1, 2048)] * 4] * 2, recompute="layer")
trained("gpt2_varying", "varying_t", decoder(GPT2.but(layers=6)), [[(8, 400)], [(8, 1024)], [(8, 777)], [(8, 129)]])
trained("qwen_packed", "packed", decoder(QWEN), [[(1, 8192)], [(1, 8077)], [(1, 8190)]])
trained("tinyllama_packed", "packed", decoder(TINY_LLAMA), [[(1, 4093)], [(1, 4096)], [(1, 3977)], [(1, 4011)]], head_chunks=4)
trained("qwen_headchunks", "chunked_head", decoder(QWEN), [[(1, 4096)]] * 3, head_chunks=8)
trained("llama_headchunks_ckpt", "chunked_head_checkpoint", decoder(SMALL_LLAMA), [[(1, 8192)]] * 2, head_chunks=16, recompute="layer")

# Number formats of 8 bits, fused accumulation, kernels that the meter does not see.
trained("gpt2_fp8", "fp8", decoder(GPT2.but(layers=6, vocab=50304)), [[(4, 1024)]] * 2, linear="fp8")
trained("tinyllama_fp8", "fp8", decoder(TINY_LLAMA.but(layers=4)), [[(2, 2048)]] * 3, linear="fp8")
trained("llama_fp8_ckpt", "fp8_checkpoint", decoder(SMALL_LLAMA), [[(2, 2048)]] * 2, linear="fp8", recompute="layer")
trained("square_fp8", "fp8", decoder(SQUARE), [[(1, 1024)]] * 2, linear="fp8")
trained("llama_megatron", "fused_accumulation", decoder(FUSED_LLAMA.but(layers=4)), [[(1, 2048)] * 2] * 2, linear="megatron")
trained("llama_megatron_ckpt", "fused_accumulation_checkpoint", decoder(FUSED_LLAMA.but(layers=4)), [[(1, 2048)]] * 2, linear="megatron", recompute="layer")
trained("llama_zerobubble", "delayed_gradients", decoder(SMALL_LLAMA), [[(2, 1024)] * 2] * 2, linear="delayed")
trained("gpt2_zerobubble", "delayed_gradients", decoder(GPT2.but(layers=4)), [[(2, 512)] * 3] * 2, linear="delayed")
for n, hide in (("forward", ("forward",)), ("input", ("input",)), ("weight", ("weight",))):
    trained(f"llama_hidden_{n}", f"hidden_{n}", decoder(SMALL_LLAMA), [[(2, 1024)]] * 3, linear="hidden", hide=hide, parallel=lambda r, m: jobs.ddp(r, m, 3))

# Several ranks: one rank's part of each.
trained("gpt2_ddp", "data_parallel", decoder(GPT2), [[(4, 1024)]] * 3, parallel=lambda r, m: jobs.ddp(r, m, 3))
trained("tinyllama_fsdp", "sharded_data_parallel", decoder(TINY_LLAMA), [[(1, 2048)]] * 3, parallel=lambda r, m: jobs.fsdp(r, m, 3, 8))
trained("qwen_fsdp_ckpt", "sharded_data_parallel_checkpoint", decoder(QWEN), [[(1, 2048)] * 2] * 2, recompute="layer", parallel=lambda r, m: jobs.fsdp(r, m, 4, 16))
trained("llama_zero1", "sharded_optimizer", decoder(SMALL_LLAMA), [[(2, 1024)] * 2] * 2, parallel=lambda r, m: jobs.zero1(r, m, 2, 8))
for tp in (2, 4, 8):
    trained(f"llama_tp{tp}", "tensor_parallel", decoder(TINY_LLAMA.but(layers=4, kv=8)), [[(1, 2048)]] * 3, tp=tp)
trained("fusedllama_tp4_sp", "sequence_parallel", decoder(FUSED_LLAMA), [[(2, 1024)]] * 2, tp=4, sp=True)
trained("fusedllama_tp4_sp_ckpt", "sequence_parallel_checkpoint", decoder(FUSED_LLAMA), [[(2, 1024)]] * 2, tp=4, sp=True, recompute="layer")
trained("gpt2_tp4_mega", "tensor_parallel", decoder(GPT2.but(layers=6, vocab=50304)), [[(4, 512)] * 2] * 2, tp=4, linear="megatron")
trained("deepseek_tp2", "tensor_parallel", decoder(DEEPSEEK.but(layers=2)), [[(1, 1024)]] * 2, tp=2)


def pipelined(name, arch, micros, ahead, where, **opt):
    """One stage of a pipeline: `ahead` forwards, then one forward and one backward in turn, then the rest of the backwards."""
    @run(name, "training", "pipeline_" + where)
    def record(rec):
        o = Options(rec, **opt)
        model, batch, losses = rec.own(Decoder(o, arch)), (1, 2048), []
        for _ in range(2):
            for i in range(micros + ahead):
                rec.micro = i
                if i < micros:
                    with rec.role("forward"):
                        losses.append(model.loss(batch))
                if i >= ahead:
                    rec.micro = i - ahead
                    rec.backward(losses.pop(0))
                    if o.linear == "delayed":
                        rec.flush()
        jobs.stage(rec, o, arch.hidden, batch, 2 * micros, 2 if where == "middle" else 1)
        return model.facts()


pipelined("llama_pp_first", SMALL_LLAMA.but(head=False), 4, 3, "first")
pipelined("llama_pp_middle", SMALL_LLAMA.but(embed=False, head=False), 4, 2, "middle")
pipelined("llama_pp_last", SMALL_LLAMA.but(embed=False), 4, 0, "last")
pipelined("llama_pp_middle_ckpt", SMALL_LLAMA.but(embed=False, head=False), 4, 2, "middle_checkpoint", recompute="layer")
pipelined("llama_pp_zerobubble", SMALL_LLAMA.but(embed=False, head=False), 4, 2, "zero_bubble", linear="delayed")
pipelined("square_pp_middle", SQUARE.but(embed=False, head=False), 4, 2, "middle")
pipelined("fusedllama_pp_tp_last", FUSED_LLAMA.but(embed=False, layers=3), 4, 0, "last_tensor_parallel", tp=4)


def real(name, key, layers, steps, parallel=None, kind="real_configuration", **opt):
    trained(f"real_{name}", kind, decoder(REAL[key].but(layers=layers)), steps, parallel=parallel, **opt)


real("llama2_7b", "llama2_7b", 6, [[(1, 4096)]] * 2, lambda r, m: jobs.fsdp(r, m, 2, 32), recompute="layer")
real("llama3_8b", "llama3_8b", 6, [[(1, 8192)]] * 2, lambda r, m: jobs.fsdp(r, m, 2, 64), recompute="layer")
real("llama31_70b_tp8", "llama31_70b", 6, [[(1, 8192)]] * 2, tp=8, sp=True, recompute="layer")
real("llama31_70b_tp8_pp", "llama31_70b", 5, [[(1, 8192)] * 2] * 2, tp=8, sp=True, linear="megatron")
real("qwen25_7b", "qwen25_7b", 6, [[(1, 4096)]] * 2, lambda r, m: jobs.fsdp(r, m, 2, 16))
real("qwen3_8b", "qwen3_8b", 6, [[(1, 4096)]] * 2, lambda r, m: jobs.fsdp(r, m, 2, 16), recompute="layer")
real("mixtral_8x7b", "mixtral_8x7b", 2, [[(1, 4096)]] * 2, lambda r, m: jobs.fsdp(r, m, 2, 64))
real("deepseek_v3_ep64", "deepseek_v3", 5, [[(1, 4096)]] * 2, ep=64)
real("gpt2_small", "gpt2", 12, [[(12, 1024)]] * 2, lambda r, m: jobs.ddp(r, m, 2))
real("gpt2_medium", "gpt2_medium", 24, [[(8, 1024)]] * 2, lambda r, m: jobs.ddp(r, m, 2))
real("gpt2_large", "gpt2_large", 36, [[(4, 1024)]] * 2, lambda r, m: jobs.ddp(r, m, 2))
real("gpt2_xl", "gpt2_xl", 48, [[(2, 1024)]], lambda r, m: jobs.ddp(r, m, 1), recompute="layer")
trained("real_vit_b16", "real_configuration", lambda o: Encoder(o, VIT_B, 16), [[(128, 224)]] * 2, parallel=lambda r, m: jobs.ddp(r, m, 2))
trained("real_vit_l16", "real_configuration", lambda o: Encoder(o, REAL["vit_l16"], 16), [[(64, 224)]] * 2, parallel=lambda r, m: jobs.ddp(r, m, 2))

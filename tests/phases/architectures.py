# SPDX-License-Identifier: Apache-2.0
"""Architectures that the runs are recorded of. REAL ones have the dimensions of the published configurations (config.json of the model
named); how many of their layers were recorded is told by each run's `layers`."""
from models import Arch

GPT2 = Arch(768, 3072, 12, 12, 50257, mlp="gelu", qkv="fused", bias=True, tied=True)
# As many as possible equal: T = I = O = vocabulary.
SQUARE = Arch(1024, 1024, 16, 6, 1024, mlp="gelu")
SQUARE_OI = Arch(512, 512, 8, 6, 8192, mlp="gelu")
TINY_LLAMA = Arch(2048, 5632, 32, 6, 32000, kv=4)
SMALL_LLAMA = Arch(1024, 2816, 16, 4, 32000, kv=4)
FUSED_LLAMA = Arch(2048, 5504, 16, 5, 49152, kv=8, qkv="fused", mlp_fused=True)
QWEN = Arch(896, 4864, 14, 5, 151936, kv=2, qkv_bias=True, tied=True)
MIXTRAL = Arch(1024, 3584, 16, 3, 32000, kv=8, experts=8, top=2)
DEEPSEEK = Arch(1024, 2816, 16, 3, 32000, experts=16, top=4, shared=2, expert_ffn=704, dense_first=1, latent=(384, 256, 32, 64, 64))
BERT = Arch(768, 3072, 12, 8, 30522, mlp="gelu", bias=True, tied=True)
MINI_BERT = Arch(384, 1536, 12, 6, 30522, mlp="gelu", bias=True, tied=True)
VIT_S = Arch(384, 1536, 6, 8, 1000, mlp="gelu", qkv="fused", bias=True)
VIT_B = Arch(768, 3072, 12, 12, 1000, mlp="gelu", qkv="fused", bias=True)
T5 = Arch(512, 2048, 8, 4, 32128, mlp="gelu", tied=True)
T5_GATED = Arch(768, 2048, 12, 4, 32128, mlp="swiglu")

REAL = {
    "gpt2": GPT2,
    "gpt2_medium": Arch(1024, 4096, 16, 24, 50257, mlp="gelu", qkv="fused", bias=True, tied=True),
    "gpt2_large": Arch(1280, 5120, 20, 36, 50257, mlp="gelu", qkv="fused", bias=True, tied=True),
    "gpt2_xl": Arch(1600, 6400, 25, 48, 50257, mlp="gelu", qkv="fused", bias=True, tied=True),
    "llama2_7b": Arch(4096, 11008, 32, 32, 32000),
    "llama3_8b": Arch(4096, 14336, 32, 32, 128256, kv=8),
    "llama31_70b": Arch(8192, 28672, 64, 80, 128256, kv=8),
    "qwen25_7b": Arch(3584, 18944, 28, 28, 152064, kv=4, qkv_bias=True),
    "qwen3_8b": Arch(4096, 12288, 32, 36, 151936, kv=8, dim=128),
    "mixtral_8x7b": Arch(4096, 14336, 32, 32, 32000, kv=8, experts=8, top=2),
    "deepseek_v3": Arch(7168, 18432, 128, 61, 129280, experts=256, top=8, shared=1, expert_ffn=2048, dense_first=3, latent=(1536, 512, 64, 128, 128)),
    "vit_b16": VIT_B,
    "vit_l16": Arch(1024, 4096, 16, 24, 1000, mlp="gelu", qkv="fused", bias=True),
}

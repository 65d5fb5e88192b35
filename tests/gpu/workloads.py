#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One workload in PyTorch, that does what it is told on stdin and says what PyTorch itself counts, a JSON object a line:

    workloads.py NAME [--device cuda|cpu] [--tiny] [--layers N] [--products FORMAT:M:N:K,...]

    ready                 after the warm-up: operations of one step by FlopCounterMode, what it does not know, threads
    run SECONDS | steps N -> ran: steps, seconds, and of decoding the time of each token
    again PRODUCTS        -> ready: gemm with other products, in the same process
    profile               -> profiled: kernels of one step by name, by PyTorch's own profiler
    end

    workloads.py --list | --facts        what there is; what this machine's PyTorch is and has loaded
    workloads.py NAME --once             one step between cudaProfilerStart and Stop, for ncu
"""
import argparse
import json
import os
import sys
import threading
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

import models

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "_scaled_mm", "_grouped_mm")


class Workload:
    """A step, what it is compared with, and what FlopCounterMode cannot see of it. `stands_in`: a CPU's way round something that
    only a GPU has, so that nobody takes its figures for the real ones."""
    stands_in = ""
    is_latency = False
    in_graph = False

    def __init__(self, a):
        self.device, self.size, self.args = a.device, models.Size(a.tiny, a.layers), a
        self.threads, self.unseen = {}, {}
        self.build()

    def counted(self):
        """What FlopCounterMode looks at: the same step with nothing compiled or captured."""
        self.step()

    def tokens(self, extra=1):
        return torch.randint(self.size.vocab, (self.size.batch, self.size.seq + extra), device=self.device)

    def note_threads(self, model):
        def note(what):
            self.threads.setdefault(what, set()).add(threading.get_native_id())
        for b in model.blocks:
            b.note = lambda: note("recomputation" if torch._C._current_graph_task_id() >= 0 else "forward")
        for w in model.parameters():
            if w.requires_grad:
                w.register_hook(lambda g: note("weight gradients"))


class Training(Workload):
    attention, bf16, checkpointed, linear, rank, micro, noting = "products", True, False, nn.Linear, 0, 1, True

    def build(self):
        torch.backends.cuda.matmul.allow_tf32 = True
        self.model = models.Gpt(self.size, self.attention, self.checkpointed, self.linear,
                                self.size.rank if self.rank else 0).to(self.device)
        if self.noting:
            self.note_threads(self.model)
        trained = [w for w in self.model.parameters() if w.requires_grad]
        self.optimizer = torch.optim.AdamW(trained, capturable=self.in_graph and self.device == "cuda")
        self.data = [self.tokens() for _ in range(self.micro)]
        self.forward = self.model

    def loss(self, tokens):
        with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.bf16):
            logits = self.forward(tokens[:, :-1])
        return F.cross_entropy(logits.reshape(-1, self.size.vocab).float(), tokens[:, 1:].reshape(-1))

    def eager(self):
        self.optimizer.zero_grad(set_to_none=not self.in_graph)
        for tokens in self.data:
            (self.loss(tokens) / self.micro).backward()
        self.optimizer.step()

    def step(self):
        self.eager()

    def counted(self):
        kept, self.forward = self.forward, self.model
        try:
            self.eager()
        finally:
            self.forward = kept


class GptBf16(Training):
    """eager, attention by products, bf16"""


class GptTf32(Training):
    """eager, fp32 tensors, TF32 products"""
    bf16 = False


class GptFp8(Training):
    """eager, linear layers through torch._scaled_mm, forward and backward"""
    linear = models.Fp8Linear

    def counted(self):
        models.Fp8Product.operations = 0
        super().counted()
        self.unseen = {"_scaled_mm": models.Fp8Product.operations}


class GptFlash(Training):
    """FlashAttention of scaled_dot_product_attention"""
    attention = "flash"


class GptCudnn(Training):
    """cuDNN's attention of scaled_dot_product_attention"""
    attention = "cudnn"


class GptCheckpoint(Training):
    """activations computed again in the backward pass"""
    checkpointed = True


class GptAccumulate(Training):
    """gradients of four micro-batches, one optimizer step"""
    micro = 4


class GptCompile(Training):
    """torch.compile of the model, FlashAttention"""
    attention, noting = "flash", False

    def build(self):
        super().build()
        if self.device == "cpu":
            self.stands_in = "backend aot_eager: nothing is compiled"
        self.forward = torch.compile(self.model, backend="inductor" if self.device == "cuda" else "aot_eager")


class Captured:
    """The whole step in one CUDA graph: a step is a replay."""
    in_graph, noting, graph = True, False, None

    def capture(self, work):
        if self.device == "cpu":
            self.stands_in = "no CUDA graph: the step itself"
            return
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(side)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            work()


class GptGraph(Captured, Training):
    """a whole training step in one CUDA graph (torch.cuda.graph)"""
    attention = "flash"

    def build(self):
        super().build()
        self.capture(self.eager)

    def step(self):
        self.graph.replay() if self.graph else self.eager()


class GptGraphed(Training):
    """blocks as CUDA graphs, forward and backward (make_graphed_callables)"""
    attention, noting = "flash", False

    def build(self):
        super().build()
        self.graphed = None
        if self.device == "cpu":
            self.stands_in = "no CUDA graph: the blocks themselves"
            return
        x = torch.randn(self.size.batch, self.size.seq, self.size.hidden, device=self.device, requires_grad=True)
        twins = models.Gpt(self.size, self.attention).to(self.device).blocks
        # The graphs take the place of the modules given; those of the model stay, to be counted.
        own = [*twins.parameters(), *self.model.embed.parameters(), *self.model.head.parameters()]
        self.optimizer = torch.optim.AdamW(own)
        # Autocast's cache of casts must be off where casts are captured.
        with torch.autocast("cuda", dtype=torch.bfloat16, cache_enabled=False):
            self.graphed = torch.cuda.make_graphed_callables(tuple(twins), tuple((x,) for _ in twins))

    def loss(self, tokens):
        if not self.graphed:
            return super().loss(tokens)
        with torch.autocast("cuda", dtype=torch.bfloat16, cache_enabled=False):
            x = self.model.embed(tokens[:, :-1])
            for b in self.graphed:
                x = b(x)
            logits = self.model.head(x)
        return F.cross_entropy(logits.reshape(-1, self.size.vocab).float(), tokens[:, 1:].reshape(-1))

    def counted(self):
        kept, self.graphed = self.graphed, None
        try:
            self.eager()
        finally:
            self.graphed = kept


class Lora(Training):
    """adapters of low rank trained on frozen weights"""
    rank, noting = 1, False


class Inference(Workload):
    """forward only, a batch of sequences, FlashAttention"""

    def build(self):
        self.model = models.Gpt(self.size, "flash").to(self.device, torch.bfloat16).eval()
        self.data = self.tokens(0)

    @torch.no_grad()
    def step(self):
        self.model(self.data)


class Prefill(Inference):
    """a prompt through the model into the KV cache"""

    def build(self):
        super().build()
        self.model.make_cache(self.size.batch, self.size.seq, torch.bfloat16, self.device)


class Decode(Inference):
    """token by token with a KV cache: a step is a token of each sequence"""
    is_latency = True

    def build(self):
        super().build()
        self.model.make_cache(self.size.batch, self.size.seq, torch.bfloat16, self.device)
        self.last = self.data[:, :1].clone()

    @torch.no_grad()
    def token(self):
        for b in self.model.blocks:
            b.cache[2].add_(1).remainder_(self.size.seq)
        self.last.copy_(self.model(self.last)[:, -1:].argmax(-1))

    def step(self):
        self.token()

    def counted(self):
        self.token()


class DecodeGraph(Captured, Decode):
    """the same, each token the replay of one CUDA graph"""

    def build(self):
        super().build()
        with torch.no_grad():
            self.capture(self.token)

    def step(self):
        self.graph.replay() if self.graph else self.token()


class Convolution(Workload):
    """a small residual net, channels last, trained in bf16 through cuDNN"""

    def build(self):
        self.model = models.residual_net(self.size).to(self.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.01, momentum=0.9)
        n = self.size.batch * 8
        self.images = torch.randn(n, 3, self.size.image, self.size.image, device=self.device).to(
            memory_format=torch.channels_last)
        self.labels = torch.randint(100, (n,), device=self.device)

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(self.device, dtype=torch.bfloat16):
            logits = self.model(self.images)
        F.cross_entropy(logits.float(), self.labels).backward()
        self.optimizer.step()


class Triton(Workload):
    """a matrix product of our own in Triton, known 2MNK, four a step"""
    LAUNCHES = 4

    def build(self):
        n = self.size.product
        self.a, self.b = (torch.randn(n, n, device=self.device).bfloat16() for _ in "ab")
        self.unseen = {"triton": self.LAUNCHES * 2 * n ** 3}
        if self.device == "cpu":
            self.stands_in, self.multiply = "no Triton: torch.mm, which FlopCounterMode counts", torch.mm
            self.unseen = {}
        else:
            import triton_product
            self.multiply = triton_product.product

    def step(self):
        for _ in range(self.LAUNCHES):
            self.multiply(self.a, self.b)


class Gemm(Workload):
    """matrix products again and again: --products FORMAT:M:N:K,..."""

    def build(self):
        self.products, self.by_format, fp8 = [], {}, 0
        for text in self.args.products.split(","):
            kind, *sizes = text.split(":")
            m, n, k = (self.size.product,) * 3 if self.args.tiny else map(int, sizes)
            self.products.append(self.product(kind, m, n, k))
            self.by_format[kind] = self.by_format.get(kind, 0) + 2 * m * n * k
        self.unseen = {"_scaled_mm": self.by_format["fp8"]} if "fp8" in self.by_format else {}

    def product(self, kind, m, n, k):
        x, y = torch.randn(m, k, device=self.device), torch.randn(n, k, device=self.device)
        if kind == "fp8":
            (x8, sx), (y8, sy) = (models.Fp8Product.quantise(t, torch.float8_e4m3fn) for t in (x, y))
            return lambda: torch._scaled_mm(x8, y8.t(), scale_a=sx, scale_b=sy, out_dtype=torch.bfloat16)
        dtype = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp64": torch.float64, "tf32": torch.float32, "fp32": torch.float32}[kind]
        x, y = x.to(dtype), y.to(dtype).t()
        out = torch.empty(m, n, dtype=dtype, device=self.device)

        def multiply():
            torch.backends.cuda.matmul.allow_tf32 = kind == "tf32"
            torch.mm(x, y, out=out)
        return multiply

    def step(self):
        for multiply in self.products:
            multiply()


WORKLOADS = {"gpt-bf16": GptBf16, "gpt-flash": GptFlash, "gpt-fp8": GptFp8, "gpt-tf32": GptTf32, "gpt-checkpoint": GptCheckpoint,
             "gpt-graph": GptGraph, "gpt-compile": GptCompile, "triton": Triton, "convolution": Convolution,
             "gpt-cudnn": GptCudnn, "decode": Decode, "prefill": Prefill, "gpt-graphed": GptGraphed, "decode-graph": DecodeGraph,
             "gpt-accumulate": GptAccumulate, "lora": Lora, "inference": Inference, "gemm": Gemm}


def synchronise(w):
    if w.device == "cuda":
        torch.cuda.synchronize()


def count(w):
    """Operations of one step: as FlopCounterMode counts them, by operator, and what it has no formula for."""
    with FlopCounterMode(display=False) as counter:
        w.counted()
    by = {str(k).removeprefix("aten."): int(v) for k, v in counter.get_flop_counts().get("Global", {}).items()}
    names = {k.split(".")[0] for k in by}
    unseen = {k: v for k, v in w.unseen.items() if k not in names}
    products = sum(v for k, v in by.items() if k.split(".")[0] in PRODUCTS) + unseen.get("_scaled_mm", 0)
    return {"flop_counter": str(sum(by.values())), "by_operator": {k: str(v) for k, v in by.items()},
            "unseen": {k: str(v) for k, v in unseen.items()}, "products": str(products),
            "operations": str(sum(by.values()) + sum(unseen.values()))}


def warm(w):
    """The time of a step after the first few, which load, tune and compile: over as many as take a quarter of a second."""
    for _ in range(3):
        w.step()
    synchronise(w)
    steps = 1
    while True:
        start = time.perf_counter()
        for _ in range(steps):
            w.step()
        synchronise(w)
        seconds = time.perf_counter() - start
        if seconds > 0.25 or steps > 5000:
            return seconds / steps
        steps *= 2


def run(w, steps):
    """Steps with their marks: [monotonic ns, steps done so far], which tell what was done by when, two batches behind at most."""
    tokens_ms, marks, pending = [], [], []
    batch = max(1, steps // 100)
    synchronise(w)
    start = time.perf_counter()
    for i in range(1, steps + 1):
        at = time.perf_counter()
        w.step()
        if w.is_latency:
            synchronise(w)
            tokens_ms.append((time.perf_counter() - at) * 1e3)
        elif i % batch == 0 and w.device == "cuda":
            pending.append((i, torch.cuda.Event()))
            pending[-1][1].record()
            if len(pending) > 2:
                done, event = pending.pop(0)
                event.synchronize()
                marks.append([time.monotonic_ns(), done])
        elif i % batch == 0:
            marks.append([time.monotonic_ns(), i])
    synchronise(w)
    seconds = time.perf_counter() - start
    marks.append([time.monotonic_ns(), steps])
    out = {"event": "ran", "steps": steps, "seconds": seconds, "marks": marks[-110:]}
    if tokens_ms:
        ordered = sorted(tokens_ms)
        out.update(token_ms_p50=ordered[len(ordered) // 2], token_ms_p99=ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))],
                   token_ms_max=ordered[-1], tokens=len(ordered))
    return out


def profile(w):
    from torch.autograd import DeviceType
    from torch.profiler import ProfilerActivity
    kinds = [ProfilerActivity.CUDA if w.device == "cuda" else ProfilerActivity.CPU]
    with torch.profiler.profile(activities=kinds) as p:
        w.step()
        synchronise(w)
    kernels = {}
    for e in p.events():
        if e.device_type == DeviceType.CUDA and not e.name.startswith(("Memcpy", "Memset")):
            kernels[e.name] = kernels.get(e.name, 0) + 1
    return {"event": "profiled", "launches": sum(kernels.values()), "kernels": kernels}


def facts():
    out = {"torch": torch.__version__, "cuda": torch.version.cuda, "python": sys.version.split()[0], "has_gpu": torch.cuda.is_available()}
    if out["has_gpu"]:
        x = torch.zeros(8, 8, device="cuda") @ torch.zeros(8, 8, device="cuda")
        F.conv2d(torch.zeros(1, 1, 8, 8, device="cuda"), torch.zeros(1, 1, 3, 3, device="cuda"))
        p = torch.cuda.get_device_properties(0)
        out.update(gpu=p.name, multiprocessors=p.multi_processor_count, capability=list(torch.cuda.get_device_capability()),
                   devices=torch.cuda.device_count(), sum=float(x.sum()))
    maps = {line.split(None, 5)[-1].strip() for line in open("/proc/self/maps") if "/" in line}
    out["libraries"] = sorted(m for m in maps if any(n in os.path.basename(m) for n in ("libcublas", "libcuda.so", "libcudnn", "libcupti")))
    return out


def once(w, say):
    counted = count(w)
    warm(w)
    if w.device == "cuda":
        torch.cuda.profiler.start()
    w.step()
    synchronise(w)
    if w.device == "cuda":
        torch.cuda.profiler.stop()
    say({"event": "once", "stands_in": w.stands_in, "operations_by_format": {k: str(v) for k, v in getattr(w, "by_format", {}).items()}, **counted})


def begin(w, say):
    """Counted, warmed up, and said to be ready; the time of a step."""
    counted, step_s = count(w), warm(w)
    main_thread = threading.get_native_id()
    threads = {k: sorted({"main" if t == main_thread else "autograd" for t in v}) for k, v in w.threads.items()}
    say({"event": "ready", "what": w.__doc__, "stands_in": w.stands_in, "step_s": step_s, "threads": threads, **counted})
    return step_s


def obey(w, say):
    step_s = begin(w, say)
    for line in sys.stdin:
        verb, _, value = line.strip().partition(" ")
        if verb == "run":
            say(run(w, max(1, round(float(value) / step_s))))
        elif verb == "steps":
            say(run(w, int(value)))
        elif verb == "again":
            w.args.products = value
            w.build()
            step_s = begin(w, say)
        elif verb == "profile":
            say(profile(w))
        elif verb == "end":
            return
        else:
            raise ValueError(f"what is {line!r}?")


def main():
    p = argparse.ArgumentParser()
    p.add_argument("name", nargs="?", choices=list(WORKLOADS))
    p.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    for flag in ("tiny", "once", "list", "facts"):
        p.add_argument("--" + flag, action="store_true")
    p.add_argument("--layers", type=int, default=0)
    p.add_argument("--products", default="bf16:4096:4096:4096", help="of gemm: FORMAT:M:N:K,...")
    a = p.parse_args()
    # Libraries print what they like: stdout is ours alone.
    own = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    say = lambda o: own.write(json.dumps(o) + "\n")
    if a.list:
        return say({"workloads": {k: w.__doc__ for k, w in WORKLOADS.items()}})
    if a.facts:
        return say(facts())
    if not a.name:
        p.error("which workload?")
    try:
        torch.manual_seed(1)
        w = WORKLOADS[a.name](a)
        once(w, say) if a.once else obey(w, say)
    except Exception as e:  # whatever it is, the rig records it and goes on with the next
        say({"event": "error", "error": f"{type(e).__name__}: {e}"[:2000]})
        raise


if __name__ == "__main__":
    main()

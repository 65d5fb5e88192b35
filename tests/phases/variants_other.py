# SPDX-License-Identifier: Apache-2.0
"""Matrix products that are no learning of a network: linear algebra, simulation, statistics; and attribution, which differentiates but learns nothing."""
import torch

from architectures import BERT, VIT_S
from layers import Options
from models import Encoder
from variants import F16, F32, F64, run


def other(name, variant, dtype=F64):
    """`fn(t)`: t(m, n, ...) is a matrix."""
    def register(fn):
        @run(name, "other", variant)
        def record(rec):
            with torch.no_grad(), rec.role("other"):
                fn(lambda *shape: torch.empty(*shape, device="meta", dtype=dtype))
            return {"parameters": None, "tokens": None}
        return fn
    return register


def lu(t, n=8192, b=512):
    for at in range(b, n, b):
        t(n - at, b) @ t(b, n - at)


other("sci_hpl", "lu")(lu)
other("sci_hpl_fp32", "lu", F32)(lambda t: lu(t, 12288, 768))
other("sci_hplmxp", "lu", F16)(lambda t: lu(t, 16384, 1024))


@other("sci_cholesky", "cholesky")
def record_cholesky(t):
    for at in range(256, 6144, 256):
        t(6144 - at, 256) @ t(6144 - at, 256).t()


@other("sci_power_iteration", "power_iteration")
def record_power(t):
    for _ in range(20):
        t(4096, 4096) @ t(4096, 16)


@other("sci_randomized_svd", "svd", F32)
def record_svd(t):
    """A times a block, and A transposed times the result, by turns; the block's Gram matrix contracts the long side."""
    m, n, k = 20000, 5000, 128
    for _ in range(6):
        y = t(m, n) @ t(n, k)
        y.t() @ y
        y @ t(k, k)
        t(m, n).t() @ y


@other("sci_covariance", "covariance", F32)
def record_covariance(t):
    for rows in (4096, 4096, 4096, 1777):
        x = t(rows, 2048)
        x.t() @ x


@other("sci_covariance_square", "covariance")
def record_covariance_square(t):
    for _ in range(12):
        t(2048, 2048).t() @ t(2048, 2048)


@other("sci_nmf", "factorisation", F32)
def record_nmf(t):
    """Multiplicative updates: all three products of {m, n, r}, in equal amounts, as in training."""
    m, n, r = 10000, 4000, 64
    for _ in range(8):
        x, w, h = t(m, n), t(m, r), t(r, n)
        w.t() @ x
        (w.t() @ w) @ h
        x @ h.t()
        w @ (h @ h.t())
        w @ h


@other("sci_als", "factorisation", F32)
def record_als(t):
    for _ in range(6):
        for a, b in ((6000, 3000), (3000, 6000)):
            t(b, 100).t() @ t(b, 100)
            t(a, b) @ t(b, 100)


@other("sci_subspace_iteration", "electronic_structure")
def record_subspace(t):
    """Plane waves by bands: projections, overlaps, rotations."""
    waves, bands, projectors = 24000, 192, 640
    for _ in range(6):
        psi = t(waves, bands)
        p = t(waves, projectors).t() @ psi
        t(waves, projectors) @ p
        psi.t() @ psi
        psi @ t(bands, bands)


@other("sci_electronic_complex", "electronic_structure", torch.complex64)
def record_complex(t):
    for _ in range(6):
        psi = t(12000, 128)
        psi.t() @ psi
        psi @ t(128, 128)


@other("sci_coupled_cluster", "tensor_contraction")
def record_coupled(t):
    o, v = 20, 80
    for _ in range(4):
        t(o * o, v * v) @ t(v * v, v * v)
        t(o * o, o * o) @ t(o * o, v * v)
        for _ in range(4):
            t(o * v, o * v) @ t(o * v, o * v)


@other("sci_tensor_network", "tensor_contraction", F32)
def record_network(t):
    for bond in (32, 64, 128, 256, 256, 256, 128, 64):
        t(2 * bond, bond) @ t(bond, 2 * bond)
        torch.bmm(t(4, bond, bond), t(4, bond, bond))


@other("sci_batched_small", "batched", F32)
def record_batched(t):
    for _ in range(6):
        torch.bmm(t(20000, 16, 16), t(20000, 16, 16))
        torch.bmm(t(5000, 24, 8), t(5000, 8, 24))


@other("sci_kernel_ridge", "kernel_method", F32)
def record_kernel(t):
    for rows in (8192, 8192, 3000):
        k = t(rows, 512) @ t(8192, 512).t()
        k @ t(8192, 10)


@other("sci_kmeans", "clustering", F32)
def record_kmeans(t):
    """Distances to the centres, and sums of members by a product with their marks: T is contracted."""
    for _ in range(6):
        t(100000, 96) @ t(1000, 96).t()
        t(100000, 1000).t() @ t(100000, 96)


@other("sci_kalman", "filter")
def record_kalman(t):
    n, m = 600, 120
    for _ in range(8):
        f = t(n, n)
        f @ t(n, n) @ f.t()
        h = t(m, n)
        h @ t(n, n) @ h.t()
        t(n, m) @ t(m, n)


@other("sci_expm", "matrix_function")
def record_expm(t):
    for _ in range(24):
        t(1500, 1500) @ t(1500, 1500)


@other("sci_gemm_bench", "benchmark", F16)
def record_bench(t):
    for n in (256, 512, 1024, 2048, 4096, 8192):
        for _ in range(3):
            t(n, n) @ t(n, n)


@other("sci_gemm_bench_permuted", "benchmark", torch.bfloat16)
def record_bench_permuted(t):
    """The three products of a layer, timed one after the other, of many layers: as a library's tuning does."""
    for o, i in ((4096, 4096), (11008, 4096), (4096, 11008), (32000, 4096), (1024, 4096)):
        for rows in (1024, 4096, 8192):
            t(rows, i) @ t(o, i).t()
            t(rows, o) @ t(o, i)
            t(rows, o).t() @ t(rows, i)


@other("sci_least_squares", "regression", F32)
def record_least_squares(t):
    """Gradient descent on a linear model with products: two of the three permutations."""
    for _ in range(10):
        x = t(50000, 300)
        r = x @ t(300, 20)
        x.t() @ r


def attribution(name, build, batch, steps):
    @run(name, "other", "attribution")
    def record(rec):
        """Gradients to the input, none to weights: forward and input gradients in equal parts, nothing is learned."""
        model = rec.own(build(Options(rec)))
        for p in model.parameters():
            p.requires_grad_(False)
        for _ in range(steps):
            with rec.role("other"):
                x = torch.empty(batch[0], batch[1], model.arch.hidden, device="meta", dtype=torch.bfloat16, requires_grad=True)
                y = x
                for block in model.blocks:
                    y = block(y)
                y.sum().backward()
        return {**model.facts(), "tokens": None}


attribution("attr_vits_saliency", lambda o: Encoder(o, VIT_S, 16), (32, 197), 3)
attribution("attr_bert_integrated", lambda o: Encoder(o, BERT.but(layers=4)), (16, 128), 4)

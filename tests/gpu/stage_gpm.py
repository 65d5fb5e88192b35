# SPDX-License-Identifier: Apache-2.0
"""What does GPM report for known products? One product runs without a pause; percent of the tensor pipe x SM clock x multiprocessors x
the dense rate of data/peaks.csv, over the span between two samples, against 2MNK x the products done in that span. And: how fine are
GPM's percents, how far apart must samples be?"""
import csv
import time

import host
import nvml
from player import Player

# (format, M, N, K): whole tiles, and what is none; fp8 takes multiples of 16 only.
PRODUCTS = [("bf16", 8192, 8192, 8192), ("bf16", 4096, 4096, 4096), ("bf16", 4095, 4097, 4099), ("bf16", 1000, 1000, 1000),
            ("fp16", 8192, 8192, 8192), ("tf32", 4096, 4096, 4096), ("tf32", 4095, 4097, 4099), ("fp8", 8192, 8192, 8192),
            ("fp8", 4112, 4080, 4144), ("fp64", 4096, 4096, 4096)]
SPAN_S = 1.5
CLOCK_S = 0.02


def rates(name):
    """The row of the peak table for a device's name, the first that fits."""
    lines = [x for x in (host.DATA / "peaks.csv").read_text().splitlines() if not x.startswith("#")]
    return next((r for r in csv.DictReader(lines) if r["name"] in name), None)


def done_at(marks, ns):
    """Products done by then: a straight line between the marks on either side; None outside of them."""
    for (t0, n0), (t1, n1) in zip(marks, marks[1:]):
        if t0 <= ns <= t1:
            return n0 + (n1 - n0) * (ns - t0) / max(1, t1 - t0)
    return None


def clocks(device, until):
    seen = []
    while time.monotonic() < until:
        seen.append(device.clock_mhz())
        time.sleep(CLOCK_S)
    return seen


def one(ctx, p, device, row, kind, m, n, k):
    ready = p.tell(f"again {kind}:{m}:{n}:{k}", "ready", 40)
    p.tell(f"run {SPAN_S + 2}")
    time.sleep(0.7)
    a = device.sample()
    seen = clocks(device, time.monotonic() + SPAN_S)
    b = device.sample()
    ran = p.hear("ran", 60)
    percents = device.between(a, b)
    device.free(a[0])
    device.free(b[0])
    out = {"format": kind, "m": m, "n": n, "k": k, "percents": percents, "span_s": (b[2] - a[2]) / 1e9,
           "clock_mhz": {"mean": sum(seen) / len(seen), "least": min(seen), "most": max(seen), "samples": len(seen)}}
    done = [done_at(ran["marks"], (x[1] + x[2]) // 2) for x in (a, b)]
    if isinstance(percents, int):
        out["error"] = f"nvmlGpmMetricsGet: error {percents}"
    elif None in done:
        out["error"] = "the products did not run through the whole span"
    else:
        # What a product multiplies is what the workload itself counts, whatever sizes it has taken.
        out["products"], out["operations"] = done[1] - done[0], (done[1] - done[0]) * int(ready["operations"])
        out["tflops"] = out["operations"] / out["span_s"] / 1e12
        rate = float(row[f"t_{kind}"]) if row else 0
        cycles = out["clock_mhz"]["mean"] * 1e6 * out["span_s"] * float(row["multiprocessors"]) if row else 0
        if rate and isinstance(percents["tensor"], float):
            out["gpm_operations"] = percents["tensor"] / 100 * cycles * rate
            out["gpm_over_known"] = out["gpm_operations"] / out["operations"] if out["operations"] else None
            out["rate_that_would_fit"] = out["operations"] / (percents["tensor"] / 100 * cycles) if percents["tensor"] else None
    return out


def fineness(p, device):
    """Samples as fast as they come, while a product runs: how far apart they must be, and the smallest step of a percent."""
    p.tell("run 6")
    time.sleep(0.7)
    samples = []
    end = time.monotonic() + 4
    while time.monotonic() < end and len(samples) < 400:
        samples.append(device.sample())
        time.sleep(0.01)
    p.hear("ran", 60)
    out, values = {"samples": len(samples), "sample_call_us": sum(s[2] - s[1] for s in samples) / len(samples) / 1e3, "by_lag": []}, set()
    for lag in (1, 2, 5, 10, 20, 50):
        pairs = list(zip(samples, samples[lag:]))[:80]
        said = [(device.between(a, b, (nvml.TENSOR,)), (b[2] - a[2]) / 1e6) for a, b in pairs]
        fine = [s["tensor"] for s, _ in said if isinstance(s, dict) and isinstance(s["tensor"], float)]
        values.update(fine)
        refused = sorted({s if isinstance(s, int) else s["tensor"] for s, _ in said if isinstance(s, int) or isinstance(s["tensor"], str)}, key=str)
        out["by_lag"].append({"apart_ms": sum(ms for _, ms in said) / len(said) if said else None, "pairs": len(said), "read": len(fine),
                              "least": min(fine, default=None), "most": max(fine, default=None), "distinct": len(set(fine)),
                              "refused": refused})
    for s in samples:
        device.free(s[0])
    ordered = sorted(values)
    steps = [b - a for a, b in zip(ordered, ordered[1:]) if b - a > 1e-9]
    out.update(smallest_step_percent=min(steps, default=None), distinct=len(ordered), some=ordered[:20])
    return out


def run(ctx, data):
    device = nvml.Nvml(ctx.args.nvml)
    if not device.has_gpm():
        raise host.Skip(f"{device.name} has no GPM")
    row = rates(device.name)
    data.update(device=device.name, peaks=row, products=[], failures=[])
    if not row:
        data["failures"].append(f"data/peaks.csv has no row for {device.name}")
    data["idle_clock_mhz"] = device.clock_mhz()
    p = start(ctx)
    try:
        data["fineness"] = fineness(p, device)
        for product in PRODUCTS[:1] if ctx.args.few else PRODUCTS:
            if ctx.is_late(12):
                data["failures"].append(f"{product}: not begun, the stage's time was up")
                continue
            try:
                said = one(ctx, p, device, row, *product)
            except host.Failure as e:  # the process is gone with it: another one goes on
                said = {"error": str(e)}
                p.close()
                p = start(ctx)
            if said.get("error"):
                data["failures"].append(f"{product}: {said['error']}")
            data["products"].append(dict(zip(("format", "m", "n", "k"), product)) | said)
            ctx.save(data)
    finally:
        p.close()


def start(ctx):
    p = Player(ctx, "gemm")
    p.hear("ready", max(20, min(90, ctx.left())))
    return p

# SPDX-License-Identifier: Apache-2.0
"""One workload under the meter: warmed up in one cgroup, measured in another, between two seconds in which nothing runs, so that
every sample of the device belongs to one of them; then each meter's figures beside what PyTorch counts."""
import os
import shutil
import time

import host
import meter
from player import Player

SETTLE_S = 1.3  # longer than the device meter's interval
READ_S = 1.8  # drain 0.5 s and publication 1 s
CALIBRATE_S = 7  # launches are read, and estimated, every five seconds


def collector_env(ctx, interval_ms=100):
    """What injects the counter meter's library. It looks more often than in production, since a measurement is short."""
    cupti = host.find_cupti(ctx.facts)
    return {"CUDA_INJECTION64_PATH": str(host.COLLECTOR), "OPMETER_COUNTER_INTERVAL_MS": str(interval_ms),
            **({"OPMETER_CUPTI_LIBRARY": cupti} if cupti else {})}


def names(ctx, default):
    if ctx.args.workloads:
        return [n for n in ctx.args.workloads.split(",") if n]
    return default


def all_workloads(ctx):
    import json
    rc, out, err = host.run([ctx.args.python, ctx.args.program, "--list"], timeout=120)
    if rc:
        raise host.Failure(f"the workloads cannot be listed: {host.last_line(err)}")
    return json.loads(out.splitlines()[-1])["workloads"]


def libraries(ctx):
    """What is probed before anything runs: the math libraries that PyTorch loads, and the driver's."""
    driver = os.path.realpath(ctx.args.driver) if ctx.args.driver else host.library(ctx.facts, "libcuda.so")
    libs = [p for p in ctx.facts["libraries"] if "libcublas" in p]
    return libs + ([driver] if driver else [])


def make_meter(ctx, name, workloads, **kw):
    """The proof of PyTorch's cuBLASLt takes a while: it is made once for all stages."""
    tables = ctx.state / "tables"
    if not tables.exists():
        tables.mkdir()
        host.prove(ctx.facts, tables)
    for t in host.TABLES:
        shutil.copy(tables / t, ctx.work)
    return meter.Meter(ctx.work, name, libraries(ctx), ctx.tag, workloads, nvml=ctx.args.nvml, **kw)


def one(ctx, m, cgroups, name, *, env=(), profiled=True, argv=()):
    """Runs it; what it said, and what the ledger says right after."""
    put = (lambda where: lambda pid: cgroups.put(pid, f"{name}.{where}"))
    layers = ["--layers", str(ctx.args.layers)] if ctx.args.layers else []
    with Player(ctx, name, *layers, *argv, env=env, cgroup=put("warm")) as p:
        ready = p.hear("ready", max(20, min(240, ctx.left())))
        before = None
        if not cgroups.is_there:
            time.sleep(READ_S)
            before = m.snapshot()
        put("run")(p.p.pid)
        time.sleep(SETTLE_S)
        ran = p.tell(f"run {ctx.args.seconds}", "ran", 60 + 10 * ctx.args.seconds)
        time.sleep(SETTLE_S + READ_S)
        after = m.snapshot()
        row = {"ready": {k: v for k, v in ready.items() if k != "event"},
               "ran": {k: v for k, v in ran.items() if k not in ("event", "marks")}}
        if profiled:
            put("after")(p.p.pid)
            row["profiled"] = profile(m, p, env)
        row["read"] = read(after, before, ctx.tag, name)
        code = p.close()
        if code:
            row["ended"] = code
    return row


def profile(m, p, env):
    """PyTorch's own profiler, for the number of launches. It cannot run beside the collector, which is switched off for it."""
    try:
        if env:
            m.switch("off", "counter")
            time.sleep(1.2)  # the collector looks once a second whether anybody listens
        said = p.tell("profile", "profiled", 60)
        return {k: v for k, v in said.items() if k != "event"}
    except host.Failure as e:
        return {"error": str(e)}
    finally:
        if env:
            m.switch("on", "counter")


def read(after, before, tag, name):
    rows, kernels = meter.growth(before, after) if before else meter.select(after, tag, name)
    said = meter.summary(rows, kernels)
    total = after["totals"].get(name) if not before else None
    if total:
        said["reconciled"] = {"low": total["all"]["low"], "high": total["all"]["high"], "bounded": total["bounded"],
                              "attempted": total["attempted"], "contradicted": total["contradicted"],
                              "unattributed": total["unattributed"], "losses": total["losses"]}
    return said


def ratio(a, b):
    return int(a) / int(b) if int(b) else None


def compare(row):
    """The figures that the row's own figures give: nothing here is measured anew."""
    steps, ready, read_ = row["ran"]["steps"], row["ready"], row["read"]
    products, operations = int(ready["products"]) * steps, int(ready["operations"]) * steps
    out = {"truth_products": str(products), "truth": str(operations),
           "shape_over_products": ratio(read_["shape"]["exact"], products) if products else None,
           "shape_over_truth": ratio(read_["shape"]["exact"], operations) if operations else None,
           "launches": read_["launch"]["calls"] + read_["launch"]["of_products"]}
    if "launches" in row.get("profiled", {}):
        out["launches_by_profiler"] = row["profiled"]["launches"] * steps
    r, d, c = read_.get("reconciled"), read_["device"], read_["counter"]
    if r:
        out["inside"] = int(r["low"]) <= operations <= int(r["high"]) if r["bounded"] else int(r["low"]) <= operations
        out["width"] = (int(r["high"]) - int(r["low"])) / operations if operations and r["bounded"] else None
    if d["samples"]:
        out["device_over_truth"] = [ratio(d["low"], operations), ratio(d["high"], operations)] if operations else None
    if c["launches"]:
        half = 1.96 * c["variance"] ** 0.5
        named = int(read_["shape"]["exact"]), int(read_["launch"]["low"]), int(read_["launch"]["high"])
        out["counter_interval"] = [c["mean"] - half, c["mean"] + half]
        out["explained"] = [named[0] + named[1] + c["mean"] - half, named[0] + named[2] + c["mean"] + half]
    return out


def again(ctx, m, cgroups, data):
    """Only where cgroups tell the workloads apart: the last word of the ledger on each."""
    if not cgroups.is_there or ctx.left() < CALIBRATE_S:
        return
    time.sleep(CALIBRATE_S)
    snapshot = m.snapshot()
    for name, row in data["workloads"].items():
        if "read" in row:
            row["read"] = read(snapshot, None, ctx.tag, name)
            row["compared"] = compare(row)

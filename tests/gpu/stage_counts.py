# SPDX-License-Identifier: Apache-2.0
"""The hardware's own count by Nsight Compute (kernel replay, so all formats at once): operations of the tensor path by format and kernel,
of one step of each workload, against FlopCounterMode; and of single products of known 2MNK, which tells the unit and the padding."""
import csv
import json
import re

import host
import measure

# Products of one process are told apart by their format: whole tiles, and what is none (fp8 takes multiples of 16).
PRODUCTS = {"of whole tiles": "bf16:4096:4096:4096,tf32:4096:4096:4096,fp8:4096:4096:4096,fp16:4096:4096:4096,fp64:1024:1024:1024",
            "of odd sizes": "bf16:4095:4097:4099,tf32:4095:4097:4099,fp8:4112:4080:4144,fp16:1000:1000:1000"}
ONE_S = 75  # replaying hundreds of kernels can take long: then it is cut, and said
# What no other workload would be spared: the machine does not let us count.
REFUSED = re.compile(r".*(?:ERR_NVGPUCTRPERM|LibraryNotLoaded|Failed to initialize the profiler).*")


def metrics(ncu):
    """The chip's counters of operations in the tensor path by source format: each format's widest, none counted twice."""
    rc, out, err = host.run([ncu, "--query-metrics"], timeout=120)
    names = {x for x in re.findall(r"^\s*(sm__ops_path_tensor_src_\w+)", out, re.M) if "sparsity" not in x}
    if not names:
        raise host.Skip(f"ncu lists no sm__ops_path_tensor counter: {host.last_line(err or out)}")
    return sorted(n for n in names if not any(n.startswith(o + "_") for o in names if o != n))


def number(text):
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def parse(text, wanted):
    """Rows of ncu's CSV, one kernel each (--page raw) or one metric each: [(kernel, {metric: value})]."""
    lines = text.splitlines()
    at = next((i for i, x in enumerate(lines) if x.startswith('"ID"')), None)
    if at is None:
        return []
    kernels = {}
    for row in csv.DictReader(lines[at:]):
        if not (row["ID"] or "").isdigit() or not row.get("Kernel Name"):
            continue  # the line of units, and what ncu says beside
        name, values = kernels.setdefault(row["ID"], (row["Kernel Name"], {}))
        if "Metric Name" in row:
            values[row["Metric Name"]] = number(row["Metric Value"])
        else:
            values.update({m: number(row[m + ".sum"]) for m in wanted if row.get(m + ".sum")})
    return [(name, {m.removesuffix(".sum"): v for m, v in values.items() if v is not None}) for name, values in kernels.values()]


def formats(values):
    """By source format: bf16 of sm__ops_path_tensor_src_bf16_dst_fp32."""
    out = {}
    for metric, v in values.items():
        f = metric.split("_src_")[1].split("_dst_")[0]
        out[f] = out.get(f, 0) + v
    return out


def one(ctx, ncu, wanted, name, *argv, label=None):
    log = ctx.work / f"{label or name}.csv"
    a = ctx.args
    cmd = [ncu, "--metrics", ",".join(m + ".sum" for m in wanted), "--csv", "--page", "raw", "--print-units", "base", "--log-file", log,
           "--profile-from-start", "off", "--target-processes", "all", "--clock-control", "none", "--cache-control", "none",
           a.python, a.program, name, "--device", a.device, "--once", *(["--tiny"] if a.tiny else []), *argv]
    rc, out, err = host.run(cmd, timeout=min(ONE_S, ctx.left() - 3), cwd=ctx.work)
    text = host.read(log) or ""
    said = next((json.loads(x) for x in reversed(out.splitlines()) if x.startswith("{")), None)
    refused = next(iter(REFUSED.findall(text)), None)
    if refused:
        raise host.Skip(f"ncu may not count here: {refused[:300]}")
    if rc or not said or said.get("event") != "once":
        raise host.Failure(f"{label or name}: under ncu: exit {rc}: {(said or {}).get('error') or host.last_line(err or text)}")
    rows = parse(text, wanted)
    if not rows:
        raise host.Failure(f"{label or name}: ncu counted no kernel")
    by_kernel, total = {}, {}
    for kernel, values in rows:
        k = by_kernel.setdefault(kernel[:200], {"launches": 0, "operations": {}})
        k["launches"] += 1
        for f, v in formats(values).items():
            k["operations"][f] = k["operations"].get(f, 0) + v
            total[f] = total.get(f, 0) + v
    counted, truth = sum(total.values()), int(said["operations"])
    for k in by_kernel.values():
        k["operations"] = {f: v for f, v in k["operations"].items() if v}
    heavy = sorted(by_kernel.items(), key=lambda x: -sum(x[1]["operations"].values()))[:30]
    known = {f: int(v) for f, v in said.get("operations_by_format", {}).items()}
    return {"kernels": len(rows), "over_2mnk": {f: total.get(f, 0) / v for f, v in known.items() if v}, "by_format": {f: str(int(v)) for f, v in total.items() if v}, "counted": str(int(counted)),
            "truth": str(truth), "products": said["products"], "counted_over_truth": counted / truth if truth else None,
            "by_kernel": dict(heavy)}


def run(ctx, data):
    ncu = ctx.facts["ncu"]
    if not ncu:
        raise host.Skip("ncu is not here")
    wanted = metrics(ncu)
    data.update(metrics=wanted, products=[], workloads={}, failures=[])
    todo = [("product", n) for n in PRODUCTS] + [
        ("workload", n) for n in measure.names(ctx, [n for n in measure.all_workloads(ctx) if n != "gemm"])]
    layers = ["--layers", str(ctx.args.layers or 2)]
    for kind, what in todo:
        label = what if kind == "workload" else "products " + what
        if ctx.is_late(20):
            data["failures"].append(f"{label}: not begun, the stage's time was up")
            continue
        try:
            if kind == "workload":
                data["workloads"][what] = one(ctx, ncu, wanted, what, *layers)
            else:
                said = one(ctx, ncu, wanted, "gemm", "--products", PRODUCTS[what], label=f"gemm-{len(data['products'])}")
                data["products"].append({"name": what, **said})
        except host.Failure as e:
            data["failures"].append(str(e))
            if kind == "workload":
                data["workloads"][what] = {"error": str(e)}
        ctx.save(data)

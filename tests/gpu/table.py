# SPDX-License-Identifier: Apache-2.0
"""Results as tables, ready for docs/. Only what is in the result is printed: what was not measured says so and why."""


def sci(x):
    return "-" if x in (None, "") else f"{float(x):.4g}"


def pct(x, digits=2):
    return "-" if x is None else f"{(x - 1) * 100:+.{digits}f} %"


def rows(head, body):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(c).replace("|", "/").replace("\n", " ") for c in r) + " |" for r in body]) + "\n"


def span(low, high):
    return f"{sci(low)} .. {sci(high)}"


def workloads(data):
    body = []
    for name, w in data.get("workloads", {}).items():
        if "error" in w:
            body.append([name, "failed: " + w["error"][:120]] + [""] * 8)
            continue
        c, r = w["compared"], w["read"]
        launches = f"{c['launches']} / {c['launches_by_profiler']}" if "launches_by_profiler" in c else f"{c['launches']} / -"
        counter = r["counter"]
        total = r.get("reconciled")
        body.append([name + (" (stand-in)" if w["ready"].get("stands_in") else ""), sci(c["truth"]), pct(c["shape_over_products"], 4),
                     pct(c["shape_over_truth"]), launches, span(r["launch"]["low"], r["launch"]["high"]),
                     f"{sci(counter['mean'])} ± {sci(1.96 * counter['variance'] ** 0.5)}" if counter["launches"] else "-",
                     span(r["device"]["low"], r["device"]["high"]) if r["device"]["samples"] else "-",
                     (span(total["low"], total["high"]) + ("" if total["bounded"] else "+")) if total else "-",
                     {True: "yes", False: "**no**"}.get(c.get("inside"), "-")])
        if r["lost"] or w.get("failed_with_collector"):
            body.append(["", *[f"lost: {r['lost']}" if r["lost"] else "", w.get("failed_with_collector", "")], *[""] * 7])
    return rows(["workload", "FlopCounterMode", "shape: products", "shape: all", "launches / by profiler", "launch", "counter", "device",
                 "reconciled", "inside"], body) + (
        "\nOperations of the measured steps. *shape: products* is the shape meter against FlopCounterMode's matrix products, *all* against "
        "everything it\ncounts; + no upper bound; *inside*: FlopCounterMode's total lies in the reconciled interval.\n")


def threads(data):
    body = [[n, w["ready"]["threads"]] for n, w in data.get("workloads", {}).items() if w.get("ready", {}).get("threads")]
    return "\n" + rows(["workload", "threads"], body) if body else ""


def first_light(data):
    proofs = rows(["cuBLASLt", "exit of prove", "was known"], [[p["library"].rsplit("/", 1)[-1], p["exit"], p["was_known"]] for p in data.get("proofs", [])])
    start = f"\nProbes pinned: {data['pins']}; start {data['start_s']:.1f} s; end with detachment {data.get('stop_s', float('nan')):.1f} s.\n\n" if "pins" in data else "\n"
    return proofs + start + workloads(data) + threads(data)


def driver(data):
    if "answers" not in data:
        return ""
    missed = rows(["entry", "version", "convention", "symbols there", "in"], [
        [m["name"], m["version"], m["convention"], ", ".join(m["symbols"]) or "none", m["in"]] for m in data["missed"]]) if data["missed"] else ""
    return (f"Driver {data['driver_version']}: of {data['answers']} addresses that cuGetProcAddress hands out for the {data['watched']} watched symbols, "
            f"{data['same']} are addresses that are probed. Launch entries handed out past the probes: {', '.join(data['launches_missed']) or 'none'}.\n\n" + missed)


def gpm(data):
    out = ""
    if data.get("products"):
        out += rows(["product", "TFLOP/s", "tensor %", "SM clock MHz (least..most)", "GPM / 2MNK", "rate that would fit"], [
            [f"{p['format']} {p['m']}x{p['n']}x{p['k']}", sci(p.get("tflops")),
             f"{p['percents']['tensor']:.2f}" if isinstance(p.get("percents"), dict) and isinstance(p["percents"].get("tensor"), float) else "-",
             f"{p['clock_mhz']['mean']:.0f} ({p['clock_mhz']['least']}..{p['clock_mhz']['most']})" if "clock_mhz" in p else "-",
             f"{p['gpm_over_known']:.4f}" if p.get("gpm_over_known") else p.get("error", "-")[:80], sci(p.get("rate_that_would_fit"))] for p in data["products"]])
        out += "\nGPM / 2MNK: percent x clock x multiprocessors x dense rate of data/peaks.csv over the operations of the span.\n"
    f = data.get("fineness")
    if f:
        out += f"\nThe smallest step between percents seen: {sci(f['smallest_step_percent'])}; a sample takes {f['sample_call_us']:.0f} us.\n\n" + rows(
            ["samples apart, ms", "pairs", "read", "tensor %", "distinct", "refused"], [
                [sci(x["apart_ms"]), x["pairs"], x["read"], span(x["least"], x["most"]), x["distinct"], x["refused"] or ""] for x in f["by_lag"]])
    return out


def windows(data):
    body = []
    for p in data.get("products", []):
        g, top = p.get("grown", {}), [x for x in p.get("counted", []) if x["mean"] and x["over_2mnk"]]
        body.append([f"{p['format']} {p['m']}x{p['n']}x{p['k']}", *(g.get(f, "-") for f in ("sessions", "measured", "discarded")),
                     ", ".join(f"{x['format']} part {x['part']}: {x['over_2mnk']:.4f}" for x in top[:4]) or p.get("error", "-")[:160],
                     sci(p.get("held_up_us_a_window"))])
    out = rows(["product", "sessions", "measured", "discarded", "counted / 2MNK", "held up, us a window"], body)
    cost = [[f"{c['format']} {c['m']}x{c['n']}x{c['k']}", c["interval_ms"], f"{c['heard_over_unheard']:.4f} ({c['least']:.4f}..{c['most']:.4f})"]
            for c in data.get("cost", []) if "error" not in c]
    return out + ("\n" + rows(["product", "ms between sessions, mean", "steps/s heard / unheard"], cost) if cost else "")


def counts(data):
    def row(name, c):
        if "error" in c:
            return [name, "failed: " + c["error"][:160], "", "", ""]
        if c.get("over_2mnk"):
            return [name, c["kernels"], sci(c["truth"]), ", ".join(f"{f} {sci(v)}" for f, v in c["by_format"].items()),
                    ", ".join(f"{f} {v:.4f}" for f, v in c["over_2mnk"].items())]
        return [name, c["kernels"], sci(c["truth"]), ", ".join(f"{f} {sci(v)}" for f, v in c["by_format"].items()) or "none",
                f"{c['counted_over_truth']:.4f}" if c["counted_over_truth"] is not None else "-"]
    body = [row(f"products {p['name']}", p) for p in data.get("products", [])]
    body += [row(n, c) for n, c in data.get("workloads", {}).items()]
    return rows(["one step of", "kernels", "FlopCounterMode", "counted in the tensor path", "counted / FlopCounterMode"], body) if body else ""


def overhead(data):
    columns = sorted({k for said in data.get("ratios", {}).values() for k in said})
    order = ["shape", "launch", "device", "windows", "collector unheard", "peer"]
    body = []
    for config in [c for c in order if c in data.get("ratios", {})]:
        said = data["ratios"][config]
        body.append([{"launch": "+ launch", "device": "+ device", "windows": "+ windows"}.get(config, config)] + [
            f"{said[k]['median']:.4f} ({said[k]['least']:.4f}..{said[k]['most']:.4f}, {said[k]['pairs']} pairs)" if k in said else "-" for k in columns])
    if not body:
        return ""
    return rows(["on", *[c.replace("per_s", "steps/s, on / off").replace("token_ms_p99", "p99 token time, on / off").replace("token_ms_p50", "p50 token time, on / off")
                         for c in columns]], body) + "\nMedian of interleaved pairs (least..most).\n" + probes(data) + (
        "Peer: " + "; ".join(data["peer_report"][:6]) + "\n" if data.get("peer_report") else "")


def probes(data):
    """Seen in the process's memory: what was on was on, and off was off."""
    said = {"off": [o.get("probes", {}) for o in data["offs"]]}
    for r in data["rounds"]:
        for config in ("shape", "launch", "device", "windows"):
            said.setdefault(config, []).append(r.get(config, {}).get("probes", {}))
    return "Probes in the process (math libraries + driver): " + "; ".join(
        f"{c} {', '.join(sorted({str(x.get('math', '-')) + ' + ' + str(x.get('driver', '-')) for x in seen}))}" for c, seen in said.items()) + ".\n"


TITLES = {"first-light": ("First light", first_light), "driver": ("What cuGetProcAddress hands out", driver), "gpm": ("GPM against known products", gpm),
          "windows": ("Windows of the counter meter on known products", windows), "workloads": ("Every meter, by workload", workloads),
          "counts": ("The hardware's count by Nsight Compute", counts), "overhead": ("What it costs", overhead)}


def head(r):
    h, t = r["host"], r["host"]["pytorch"]
    simulated = "**Simulated: no GPU was there, and no figure here is a GPU's.**\n\n" if h["is_simulated"] else ""
    return (f"# {r['name']}, {r['date']}\n\n{simulated}{t.get('gpu') or 'no GPU'}; driver {h['driver']}; kernel {h['kernel']}, {h['processors']} processors; PyTorch "
            f"{t.get('torch')}, CUDA {t.get('cuda')}; {h['opmeter']}; {h['ncu_version'] or 'no ncu'}; cgroups "
            f"{'told apart' if h['cgroup2'] else 'by a mount of the rig or none'}.\n")


def render(results):
    """Markdown of one or several results; a stage of a later one stands beside that of an earlier."""
    out = []
    for r in results:
        out.append(head(r))
        for stage, said in r["stages"].items():
            title, body = TITLES[stage]
            why = f": {said['why']}" if said["why"] else ""
            out.append(f"## {title}\n\n{said['outcome']}, {said['seconds']} s{why}\n")
            text = body(said["data"]).strip()
            if text:
                out.append(text + "\n")
    return "\n".join(out)

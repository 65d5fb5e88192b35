# SPDX-License-Identifier: Apache-2.0
"""The counter meter's windows on known products: what one multiply-add counts as, what padding adds, whether the hardware's count is
there at all (privileges, MIG, passes), and what a window costs the launches that it holds up. One program listens to the collector
directly (tests/cupti/watch.c), so that nothing between it and the figures can hide them."""
import json
import os
import select
import statistics
import subprocess
import time

import host
import measure
from player import Player

PRODUCTS = [("bf16", 4096, 4096, 4096), ("bf16", 4095, 4097, 4099), ("tf32", 4096, 4096, 4096), ("fp8", 4096, 4096, 4096),
            ("fp16", 4096, 4096, 4096), ("bf16", 256, 256, 256)]
FORMATS = {1: "fp64", 2: "fp32", 3: "tf32", 4: "bf16", 5: "fp16", 6: "fp8", 9: "int8", 10: "int4"}
COSTS = [("bf16", 4096, 4096, 4096), ("bf16", 256, 256, 256)]
# A session counts one set of formats, taken at random: a product is run until its own came up, or so many times.
RUN_S, RUNS_MAX, INTERVAL_MS, PAIRS = 1.5, 40, 20, 3


class Listener:
    def __init__(self, ctx):
        self.bpf = ctx.work / "bpf-windows"
        self.bpf.mkdir()
        subprocess.run(["mount", "-t", "bpf", ctx.tag, self.bpf], check=True)
        self.log = open(ctx.work / "watch.log", "w")
        self.p = subprocess.Popen([host.WATCH, self.bpf / "o", host.COLLECTOR], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=self.log)
        self.buffer = b""
        self.lines("ready")

    def lines(self, last):
        """Up to the line that ends an answer. The program answers at once: one that does not, hangs."""
        out = []
        while True:
            line, found, rest = self.buffer.partition(b"\n")
            if not found:
                more = os.read(self.p.stdout.fileno(), 65536) if select.select([self.p.stdout], [], [], 30)[0] else b""
                if not more:
                    raise host.Failure(f"the listener gives no answer: {host.last_line(host.read(self.log.name) or '')}")
                self.buffer += more
                continue
            self.buffer, text = rest, line.decode()
            if text == last:
                return out
            if text.startswith("error"):
                raise host.Failure(f"the listener: {text}")
            out.append(text)

    def tell(self, command):
        self.p.stdin.write(command.encode() + b"\n")
        self.p.stdin.flush()
        return [json.loads(x) for x in self.lines("ok")]

    def close(self):
        self.p.stdin.close()
        try:
            self.p.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.p.kill()
            self.p.wait()
        self.p.stdout.close()
        self.log.close()
        host.run(["umount", self.bpf])


def key(r):
    return r["name"], str(r["grid"]), str(r["block"]), r["shared"], r["metric"]


def counted(rows, before, pid, known):
    """Per format and kernel geometry: the hardware's mean over 2MNK, of the launches measured since `before`. Parts of a format
    are one row each."""
    out, was = [], {key(r): r for r in before if r.get("pid") == pid}
    for r in rows:
        old = was.get(key(r), {"count": 0, "sum": 0}) if r.get("pid") == pid else None
        if not old or r["count"] == old["count"]:
            continue
        n, metric = r["count"] - old["count"], r["metric"]
        mean = (r["sum"] - old["sum"]) / n
        out.append({"format": FORMATS.get(metric & 255, str(metric & 255)), "part": f"{(metric >> 8 & 255) + 1}/{metric >> 16 & 127}",
                    "grid": r["grid"], "launches": n, "mean": mean, "sd_of_all": r["variance"] ** 0.5, "over_2mnk": mean / known if known else None})
    return sorted(out, key=lambda x: -x["mean"])[:12]


def process(rows, pid):
    return next((r for r in rows if r.get("process") == pid), {})


def one(ctx, p, listener, kind, m, n, k):
    ready = p.tell(f"again {kind}:{m}:{n}:{k}", "ready", 40)
    before, steps = listener.tell("read"), 0
    for _ in range(RUNS_MAX):
        steps += p.tell(f"run {RUN_S}", "ran", 60 + 10 * RUN_S)["steps"]
        rows = listener.tell("read")
        seen = counted(rows, before, p.p.pid, int(ready["operations"]))
        # Which of the sets of metrics a session takes is drawn, and a slow machine's budget has few sessions.
        if any(x["format"] == kind for x in seen) or ctx.is_late(20):
            break
    was, now = process(before, p.p.pid), process(rows, p.p.pid)
    grown = {f: now[f] - was.get(f, 0) for f in ("sessions", "measured", "discarded", "dropped", "cost_ns")} if now else {}
    out = {"known": ready["operations"], "steps": steps, "collector": now, "grown": grown,
           "counted": seen}
    if grown.get("measured"):
        out["held_up_us_a_window"] = grown["cost_ns"] / 1e3 / grown["measured"]
    if not now:
        out["error"] = "the collector said nothing: it was not loaded, or could not be heard"
    elif not out["counted"]:
        out["error"] = f"no window was measured: {now['state']}, {now['why']}, CUPTI's result {now['detail']}"
    return out


def cost(p, listener, product):
    """The same process heard and unheard, in turn: sessions far more frequent than in production."""
    kind, m, n, k = product
    p.tell(f"again {kind}:{m}:{n}:{k}", "ready", 40)
    per_s = {"heard": [], "unheard": []}
    for _ in range(PAIRS):
        for state, commands in (("heard", ("on", "attach")), ("unheard", ("off", "release"))):
            for c in commands:
                listener.tell(c)
            time.sleep(1.2)  # the collector looks once a second whether anybody listens
            ran = p.tell("run 1.5", "ran", 60)
            per_s[state].append(ran["steps"] / ran["seconds"])
    for c in ("on", "attach"):
        listener.tell(c)
    ratios = [a / b for a, b in zip(per_s["heard"], per_s["unheard"])]
    return {"format": kind, "m": m, "n": n, "k": k, "interval_ms": INTERVAL_MS, "per_s": per_s, "heard_over_unheard": statistics.median(ratios),
            "least": min(ratios), "most": max(ratios)}


def start(ctx):
    p = Player(ctx, "gemm", env=measure.collector_env(ctx, INTERVAL_MS), label="windows")
    p.hear("ready", max(20, min(90, ctx.left())))
    return p


def run(ctx, data):
    for path in (host.WATCH, host.COLLECTOR):
        if not path.exists():
            raise host.Skip(f"{path.name} is not here: run `make all tests-build`, or pack it")
    data.update(products=[], cost=[], failures=[])
    listener = Listener(ctx)
    p = None
    try:
        p = start(ctx)
        for product in PRODUCTS[:1] if ctx.args.few else PRODUCTS + [("cost", c) for c in COSTS]:
            if ctx.is_late(20):
                data["failures"].append(f"{product}: not begun, the stage's time was up")
                continue
            try:
                said = cost(p, listener, product[1]) if product[0] == "cost" else one(ctx, p, listener, *product)
            except host.Failure as e:  # the process is gone with it: another one goes on
                said = {"error": str(e)}
                p.close()
                p = start(ctx)
            if said.get("error"):
                data["failures"].append(f"{product}: {said['error']}")
            if product[0] == "cost":
                data["cost"].append(said)
            else:
                data["products"].append(dict(zip(("format", "m", "n", "k"), product)) | said)
            ctx.save(data)
        data["exit"] = p.close()
        if data["exit"]:
            data["failures"].append(f"the process with the collector ended with {data['exit']}")
    finally:
        if p:
            p.close()
        listener.close()

# SPDX-License-Identifier: Apache-2.0
"""What each meter costs: steps per second of training and the time of a token in decoding, in rounds

    off | all: +windows | +device | +launch | shape | off | ...

where off is no agent and no probe, and each step down switches one meter off and waits until its probes are gone. A figure is held against
the mean of the two offs around it, in the same process, so that what drifts cancels. The peer, a tracer that keeps CUPTI's activity
records all the time, and the collector that nobody hears are processes of their own, beside the plain one in every off."""
import statistics
import time

import host
import measure
import meter
import sites
from player import Player

TRAINING, DECODING = "gpt-flash", "decode"
SLOT_S, FEW_S = 1.5, 0.3
DOWN = ["windows", "device", "launch", "shape"]
SWITCHED = {"device": "counter", "launch": "device", "shape": "launch"}  # what is switched off to come there


def variants(ctx):
    """How a workload's process is started."""
    out = {"plain": {}}
    if not ctx.args.no_collector and host.COLLECTOR.exists():
        out["collector"] = measure.collector_env(ctx, interval_ms=10000)  # as in production
    cupti = host.find_cupti(ctx.facts)
    if host.TRACER.exists():
        out["peer"] = {"CUDA_INJECTION64_PATH": str(host.TRACER), "OPMETER_PEER_REPORT": str(ctx.work / "peer.txt"),
                       **({"OPMETER_PEER_CUPTI": cupti} if cupti else {})}
    return out


def slot(players, variant, seconds):
    """One measurement of both workloads in one kind of process."""
    out = {}
    for name in (TRAINING, DECODING):
        p = players.get((name, variant))
        if not p:
            continue
        ran = p.tell(f"run {seconds}", "ran", 60 + 10 * seconds)
        out[name] = {"per_s": ran["steps"] / ran["seconds"],
                     **{k: ran[k] for k in ("token_ms_p50", "token_ms_p99", "tokens") if k in ran}}
    return out


def quiet(ctx, players, seconds, failures):
    """Every kind of process with no agent and no probe: the kernel takes them out some time after the agent has ended."""
    out = {"probes": probes(ctx, players).wait(("driver", "math"), limit(ctx))}
    if any(out["probes"].get(k) for k in ("driver", "math")) and not ctx.args.few:
        failures.append(f"off was not off: probes were still there, {out['probes']}")
    return out | {v: slot(players, v, seconds) for v in dict.fromkeys(v for _, v in players)}


def limit(ctx):
    """Seconds for the kernel to take the probes out. A test does not wait: other agents of the machine may probe its files, too."""
    return 3 if ctx.args.few else 60


def probes(ctx, players):
    return sites.Sites(players[TRAINING, "plain"].p.pid, measure.libraries(ctx))


def one_round(ctx, players, number, seconds):
    """Starts the agent with every meter, and switches one off after the other."""
    out = {}
    with measure.make_meter(ctx, f"round{number}", []) as m:
        out["start_s"] = m.start_s
        time.sleep(1.2)  # the collector looks once a second whether anybody listens
        for config in DOWN:
            if config in SWITCHED:
                out[f"switch_{SWITCHED[config]}"] = m.switch("off", SWITCHED[config])
            seen = probes(ctx, players).wait(("driver",) if config == "shape" else (), limit(ctx))
            variant = "collector" if config == "windows" and (TRAINING, "collector") in players else "plain"
            out[config] = {"variant": variant, "probes": seen, **slot(players, variant, seconds)}
        out["stop_s"] = m.stop()
    return out


def spread(values):
    return {"median": statistics.median(values), "least": min(values), "most": max(values), "pairs": len(values),
            "values": [round(v, 5) for v in values]} if values else None


def ratios(offs, rounds):
    """Per configuration: throughput over that of the offs around it; of decoding the p99 and p50 of a token's time, likewise."""
    out = {}

    def put(config, name, what, value):
        out.setdefault(config, {}).setdefault(f"{name} {what}", []).append(value)

    def held(config, at, now, before, after):
        for name, said in now.items():
            for what in ("per_s", "token_ms_p50", "token_ms_p99"):
                around = [o[name][what] for o in (before, after) if what in o.get(name, {})]
                if what in said and around:
                    put(config, name, what, said[what] / statistics.mean(around))
    for i, r in enumerate(rounds):
        for config in DOWN:
            if config in r:
                v = r[config]["variant"]
                held(config, i, {k: r[config][k] for k in (TRAINING, DECODING) if k in r[config]}, offs[i].get(v, {}),
                     offs[i + 1].get(v, {}) if i + 1 < len(offs) else {})
    for i, o in enumerate(offs):
        for v, config in (("peer", "peer"), ("collector", "collector unheard")):
            if v in o:
                held(config, i, o[v], o["plain"], o["plain"])
    return {c: {k: spread(v) for k, v in said.items()} for c, said in out.items()}


def start(ctx, data):
    players = {}
    for variant, env in variants(ctx).items():
        for name in (TRAINING, DECODING):
            players[name, variant] = Player(ctx, name, *(["--layers", str(ctx.args.layers)] if ctx.args.layers else []), env=env,
                                            label=f"{name}-{variant}")
    for key in list(players):  # they warm up together
        try:
            players[key].hear("ready", max(20, min(150, ctx.left())))
        except host.Failure as e:
            data["failures"].append(str(e))
            players.pop(key).close()
    if (TRAINING, "plain") not in players:
        for p in players.values():
            p.close()
        raise host.Failure("the plain workload does not run: " + "; ".join(data["failures"]))
    return players


def run(ctx, data):
    data.update(training=TRAINING, decoding=DECODING, offs=[], rounds=[], failures=[])
    players = start(ctx, data)
    seconds = FEW_S if ctx.args.few else SLOT_S
    try:
        data["offs"].append(quiet(ctx, players, seconds, data["failures"]))
        for number in range(ctx.args.pairs):
            began = time.monotonic()
            if ctx.is_late(10):
                data["failures"].append(f"only {number} of {ctx.args.pairs} rounds: the stage's time was up")
                break
            data["rounds"].append(one_round(ctx, players, number, seconds))
            data["offs"].append(quiet(ctx, players, seconds, data["failures"]))
            data["ratios"] = ratios(data["offs"], data["rounds"])
            ctx.save(data)
            if ctx.left() < 1.1 * (time.monotonic() - began) and number + 1 < ctx.args.pairs:
                data["failures"].append(f"only {number + 1} of {ctx.args.pairs} rounds fit into the stage's time")
                break
    finally:
        for p in players.values():
            p.close()
        data["peer_report"] = (host.read(ctx.work / "peer.txt") or "").splitlines()[:20]
        meter.clean(ctx.work, ctx.tag)

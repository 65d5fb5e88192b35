#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/sizing.md, computed from the figures that tests/bench/fleet_bench.py measured: no figure there is typed by hand.

    sizing.py [FIGURES]            prints what stands between the marks in docs/sizing.md (docs/sizing.json)
    sizing.py --write [FIGURES]    writes it there
    sizing.py --check [FIGURES]    exit code 1 if something else stands there
"""
import argparse
import json
import math
import sys
from pathlib import Path

DOC = Path("docs/sizing.md")
BEGIN, END = "<!-- begin: tests/bench/sizing.py -->\n", "<!-- end: tests/bench/sizing.py -->\n"

# What a node is taken to do. Not measured: said here, and said in the page.
JOBS_A_NODE = 4       # job instances at a time
STARTS_A_NODE = 12    # job instances a day
REGISTERS_A_JOB = 5   # a day: two number formats by shape, launches, devices, allocation
PUBLISH_S = 15        # between two publications of a changed register
OPEN_DAYS = 3         # the day that runs, and 48 h until a day is sealed
KEPT_H = 3.5          # max.compaction.lag.ms and segment.ms of exporters/topic.c: every value stays until then at most
BUSY = 0.5            # of an instance's core: the other half is for rebuilding and growth
REBUILD_S = 300       # in which a fleet whose instances all start anew is to have its totals again, on a core each
FLEETS = (1000, 20000, 100000)


def human(v, unit=""):
    return f"{v:,.0f}{unit}" if v >= 10 else f"{v:.2g}{unit}"


def bytes_a_register(f):
    """Of the largest size that was measured without a broker."""
    return max(f["growth"], key=lambda g: g["registers"])["bytes"]


def fixed_mib(f):
    """What an instance takes without its registers: librdkafka's buffers above all."""
    return max(0, f["rss_mib"] - f["registers"] * bytes_a_register(f) / 1048576)


def size(f, nodes):
    rate = nodes * JOBS_A_NODE * REGISTERS_A_JOB / PUBLISH_S
    live = nodes * STARTS_A_NODE * REGISTERS_A_JOB * OPEN_DAYS
    per_reading, per_register = f.get("stream", f)["cpu_us_a_reading"], f["cpu_us_a_reading"] * f["readings"] / f["registers"]
    cores = rate * per_reading / 1e6
    kept = rate * KEPT_H * 3600
    rebuild = (kept * per_reading + live * per_register) / 1e6
    instances = max(2, math.ceil(cores / BUSY), math.ceil(rebuild / REBUILD_S))
    return {"nodes": nodes, "readings/s": rate, "Kafka, MB/s, each copy": rate * f["bytes_a_reading"] / 1e6,
            "Kafka, GB that are not compacted yet, each copy, at most": kept * f["bytes_a_reading"] / 1e9,
            "live registers": live, "cores busy with readings": cores, "instances, one core each": instances,
            "memory of an instance, MiB": fixed_mib(f) + live / instances * bytes_a_register(f) / 1048576,
            "records that an instance reads when all start anew, at most": (kept + live) / instances,
            "CPU for that, s": rebuild / instances}


def growth_table(f):
    out = ["| what grows | registers | tenants | days | put, ns a register | all totals, ms | bytes a register | "
           "cost of a register, smallest size = 1 |", "|---|---|---|---|---|---|---|---|"]
    for g in f.get("growth", []):
        out.append(f"| {g['of']} | {g['registers']:,} | {g['tenants']:,} | {g['days']} | {g['put_ns']:.0f} | {g['totals_ms']:.1f} | "
                   f"{g['bytes']:.0f} | {g['ratio']:.2f} |")
    return out


def add_ratios(add, f, of):
    for key, name in (("at_least_once", "at least once"), ("exactly_once_v2", "exactly once")):
        if f"cpu_ratio_{key}" in f:
            add(f"{of}CPU of Kafka Streams 4.1.0, {name}, commits each 100 ms, over ours", f"{f['cpu_ratio_' + key]:.1f}")
            add(f"{of}rate over that of Kafka Streams 4.1.0, {name}, by wall clock", f"{f['ratio_' + key]:.1f}")
    add(f"{of}rate over that of a bare consumer, by wall clock", f"{f['ratio_bare']:.2f}")


def measured_table(f):
    out = ["| measured | figure |", "|---|---|"]
    add = lambda what, value: out.append(f"| {what} | {value} |")
    add("machine, date", f["machine"])
    add("topic", f"{f['nodes']:,} simulated nodes, {f['registers']:,} registers, {f['readings']:,} readings")
    add("bytes of a reading in the broker's log", human(f["bytes_a_reading"]))
    add("CPU for a reading, start, assignments and totals included, us", f"{f['cpu_us_a_reading']:.1f}")
    add("readings a second of one core", human(1e6 / f["cpu_us_a_reading"]))
    add("one instance over this topic, MiB resident at most", human(f["rss_mib"]))
    add("bytes a live register, without a broker, at the largest size", human(bytes_a_register(f)))
    add("so 1,000,000 live registers take, MiB", human(1e6 * bytes_a_register(f) / 1048576))
    add_ratios(add, f, "")
    if "stream" in f:
        s = f["stream"]
        add("a stream: registers, readings", f"{s['registers']:,}, {s['readings']:,}")
        add("a stream: CPU for a reading, us", f"{s['cpu_us_a_reading']:.1f}")
        add_ratios(add, s, "a stream: ")
    if "million" in f:
        s = f["million"]
        add(f"a rebuild of {s['registers']:,} registers: MiB resident at most", human(s["rss_mib"]))
        add("that rebuild: seconds from start to judged totals", f"{s['rebuild_s']:.1f}")
        add("that rebuild: rate over that of a bare consumer, by wall clock", f"{s['ratio_bare']:.2f}")
    if "load" in f:
        add("load of the machine meanwhile, by others", " to ".join(map(str, f["load"])) + ": wall clock figures are of little worth")
    if "crossing_p99_ms" in f:
        add(f"from the reading that crosses to the alert in Kafka, p50 and p99, at {human(f['crossing_rate'])} readings/s",
            f"{f['crossing_p50_ms']:.0f} ms, {f['crossing_p99_ms']:.0f} ms")
    return out


def text(f):
    sizes = [size(f, n) for n in FLEETS]
    out = ["| fleet | " + " | ".join(f"{n:,} nodes" for n in FLEETS) + " |", "|---|" + "---|" * len(FLEETS)]
    for what in list(sizes[0])[1:]:
        out.append(f"| {what} | " + " | ".join(human(s[what]) for s in sizes) + " |")
    assumed = (f"Taken for a node: {JOBS_A_NODE} job instances at a time and {STARTS_A_NODE} a day, {REGISTERS_A_JOB} registers each a day, all of "
               f"them changed and published every {PUBLISH_S} s; {OPEN_DAYS} days live until they are sealed; every value of the last {KEPT_H} hours not yet "
               f"compacted; a core is used to {BUSY:.0%}, and all totals are there again {REBUILD_S} s after everything has started anew"
               f". These are assumptions; change them at the head of `tests/bench/sizing.py`.")
    return "\n".join([*out, "", assumed, "", *measured_table(f), "", *growth_table(f), ""])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--write", action="store_true")
    p.add_argument("--check", action="store_true")
    p.add_argument("figures", nargs="?", default="docs/sizing.json")
    a = p.parse_args()
    new = text(json.loads(Path(a.figures).read_text()))
    if not a.write and not a.check:
        print(new, end="")
        return
    page = DOC.read_text()
    head, rest = page.split(BEGIN)
    old, tail = rest.split(END)
    if a.write:
        DOC.write_text(head + BEGIN + new + END + tail)
    elif old != new:
        print(f"{DOC} is not what tests/bench/sizing.py makes of {a.figures}: run it with --write")
        sys.exit(1)
    else:
        print(f"{DOC} is what was measured")


main()

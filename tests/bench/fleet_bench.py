#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the fleet's aggregator costs. Prints rows of tables; compares nothing with a limit.

    fleet_bench.py rates      records a second of `opmeter fleet`, of a bare consumer and of Kafka Streams, on the same topic in one run:
                              what a rebuild reads, few readings of each register (an instance took over, the topic is compacted)
    fleet_bench.py stream     the same of what comes as it is published: many readings of each register, BENCH_NODES / 5 nodes
    fleet_bench.py million    a rebuild of a million registers, beside the bare consumer: what it takes, and what memory
    fleet_bench.py crossing   from the reading that crosses a level to the alert's record in Kafka, at 50,000 readings a second
    fleet_bench.py growth     the totals without a broker, at three sizes each of registers, tenants and days

What is measured is the release, with librdkafka 2.15.1 in it (`make release`); the bare consumer has the same library.
BENCH_NODES (20000) and BENCH_DAYS (7) set the size of the topic, BENCH_ROUNDS (2) how often each is measured: the best counts.
With --json FILE the figures are also written there, for tests/bench/sizing.py.
"""
import argparse
import datetime
import json
import os
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
RELEASE = Path(os.environ.get("B", "build")) / "release"
os.environ.setdefault("OPMETER", str(RELEASE / "opmeter"))
from fleet import *

NODES = int(os.environ.get("BENCH_NODES", "20000"))
DAYS = int(os.environ.get("BENCH_DAYS", "7"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "2"))
STREAMS_JARS = CACHE / "kafka-streams-4.1.0"
READINGS, ASSIGNMENTS = "opmeter.readings.v1", "opmeter.assignments.v1"
TIMEOUT_S = 600  # for one command: what hangs is ended, and said
figures = {}


def row(*cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def table(*heads):
    print()
    row(*heads)
    print("|" + "---|" * len(heads), flush=True)


def measured(cmd, **kw):
    """Runs a command; returns (seconds, CPU seconds, MiB resident at most, its output)."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        begin = time.monotonic()
        p = subprocess.Popen([str(c) for c in cmd], stdout=out, stderr=err, **kw)
        watch = threading.Timer(TIMEOUT_S, p.kill)
        watch.start()
        _, status, use = os.wait4(p.pid, 0)
        watch.cancel()
        p.returncode = os.waitstatus_to_exitcode(status)
        took = time.monotonic() - begin
        out.seek(0)
        err.seek(0)
        text = out.read()
        if p.returncode:
            raise AssertionError(f"{cmd[0]} ended with {p.returncode}: {err.read()[-2000:]}")
        return took, use.ru_utime + use.ru_stime, use.ru_maxrss / 1024, text


def topics(broker, partitions=4):
    subprocess.run([FLEETSIM, "--reset", "--brokers", broker.brokers], check=True)
    subprocess.run([OPMETER, "topics", "create", "--brokers", broker.brokers, "--partitions", str(partitions), "--replication", "1"],
                   check=True, stdout=subprocess.DEVNULL)


def once(broker, directory, name):
    """Everything read, published and judged; sealing is another work, and not in it."""
    return measured([OPMETER, "fleet", "--brokers", broker.brokers, "--name", name, "--regimes", directory, "--once", "--json",
                     "--seal-after", "0"])


def streams(broker, guarantee, truth, directory):
    total = sum(int(s["all"]["low"]) for s in truth["totals"] if s["registers"])
    cmd = ["java", "-Xmx1g", "-cp", f"{BUILD}/tests/bench/streams:{STREAMS_JARS}/*", "Totals", broker.brokers, guarantee, "100",
           truth["readings"], total, f"{directory}/{guarantee}-{time.monotonic_ns()}", "2"]
    took, cpu, rss, out = measured(cmd)
    return float(out.split()[1]), cpu, rss


def make_topic(broker, truth, nodes, days, tick, into):
    topics(broker)
    took, *_ = measured([FLEETSIM, "--brokers", broker.brokers, "--plain", "--nodes", nodes, "--days", days, "--age", 1, "--tick", tick,
                         "--jobs", 1001, "--giant", 40, "--formats", 5, "--truth", truth])
    t = json.loads(Path(truth).read_text())
    size = sum(f.stat().st_size for d in (broker.data / "data").glob(READINGS + "-*") for f in d.glob("*.log"))
    into.update(registers=t["registers"], readings=t["readings"], assignments=t["assignments"], nodes=t["nodes"],
                bytes_a_reading=size / t["readings"], published_a_second=(t["readings"] + t["assignments"]) / took)
    print(f"{t['nodes']} simulated nodes, one tenant holds 40 %; {t['registers']} registers, {t['readings']} readings of "
          f"{size / t['readings']:.0f} bytes on disk, {t['assignments']} assignments; published in {took:.0f} s")
    return t


def best(new, old):
    return new if old is None or new[0] < old[0] else old


def check_exact(text, truth):
    """What was measured came to the right totals."""
    got = {}
    for line in text.splitlines():
        v = json.loads(line)
        if "tenant" in v and v.get("group", "model") == "model":
            s = got.setdefault((v["tenant"], v["model"]), 0)
            got[(v["tenant"], v["model"])] = s + int(v["all"]["low"])
    want = {(s["tenant"], s["model"]): int(s["all"]["low"]) for s in truth["totals"] if s["registers"]}
    assert got == want, "the totals are not exact"


def rates(nodes=NODES, days=DAYS, tick="12h", into=figures, with_streams=True):
    with Broker(heap="1g") as broker, tempfile.TemporaryDirectory(prefix="opmeter-bench-") as directory:
        regimes = Path(directory) / "regimes"
        regimes.mkdir()
        (regimes / "country-sets.yaml").write_text((SOURCE / "data/regimes/country-sets.yaml").read_text())
        Regime("bench", 10**30).write(regimes)
        topics(broker)
        idle = min(once(broker, regimes, f"idle-{i}")[0] for i in range(2))
        truth = make_topic(broker, Path(directory) / "truth.json", nodes, days, tick, into)
        n = truth["readings"]
        ours = bare = None
        theirs = {"at_least_once": None, "exactly_once_v2": None}
        for i in range(ROUNDS):
            took, cpu, _, out = measured([RELEASE / "fleet_consume", broker.brokers, READINGS, ASSIGNMENTS])
            bare = best((float(out.split()[1]), cpu, 0), bare)
            took, cpu, rss, out = once(broker, regimes, f"bench-{i}")
            check_exact(out, truth)
            ours = best((took - idle, cpu, rss, took), ours)
            for g in theirs if with_streams and (STREAMS_JARS / ".complete").exists() else ():
                theirs[g] = best(streams(broker, g, truth, directory), theirs[g])
        report(into, idle, bare, ours, theirs)


def stream():
    rates(NODES // 5, 5, "1h", figures.setdefault("stream", {}))


def million():
    rates(26000, 7, "12h", figures.setdefault("million", {}), with_streams=False)


def report(into, idle, bare, ours, theirs):
    n = into["readings"]
    table("one topic, one machine, one run", "readings/s", "CPU s", "MiB", "`opmeter fleet` over it")
    rate = n / ours[0]
    row("`opmeter fleet`, registers, totals and alerts", f"{rate:,.0f}", f"{ours[1]:.1f}", f"{ours[2]:.0f}", "1.00")
    row("a bare consumer of the same library, which does nothing", f"{n / bare[0]:,.0f}", f"{bare[1]:.1f}", "", f"{bare[0] / ours[0]:.2f}")
    for g, name in (("at_least_once", "Kafka Streams 4.1.0, at least once"), ("exactly_once_v2", "Kafka Streams 4.1.0, exactly once")):
        if theirs[g]:
            s = theirs[g]
            row(f"{name}, commits each 100 ms", f"{n / s[0]:,.0f}", f"{s[1]:.1f}", f"{s[2]:.0f}", f"{s[0] / ours[0]:.1f}")
            into[f"ratio_{g}"] = s[0] / ours[0]
            into[f"cpu_ratio_{g}"] = s[1] / ours[1]
    print(f"\n{into['registers']} registers: {ours[3]:.1f} s from start to judged totals ({idle:.1f} s of it with empty topics, "
          f"not counted above); {ours[2]:.0f} MiB resident at most, {ours[2] * 1048576 / into['registers']:.0f} bytes a register")
    into.update(records_a_second=rate, rebuild_s=ours[3], idle_s=idle, rss_mib=ours[2], cpu_us_a_reading=1e6 * ours[1] / n,
                ratio_bare=bare[0] / ours[0], bytes_a_register=ours[2] * 1048576 / into["registers"])


def crossing(count=200, rate=int(os.environ.get("BENCH_RATE", "50000")), seconds=40):
    """Two instances; every crossing is one reading at a known moment among all others."""
    with Broker(heap="1g") as broker, tempfile.TemporaryDirectory(prefix="opmeter-bench-") as directory:
        topics(broker)
        fleet = Fleet(broker, "bench-crossing", [Regime("bench-cross", 10**19)], directory)
        follower = Follower(broker.brokers, "bench-crossing", 4)
        try:
            for _ in range(2):
                fleet.start()
            time.sleep(8)
            ticks = 480
            nodes = rate * seconds // ticks
            took, *_ = measured([FLEETSIM, "--brokers", broker.brokers, "--plain", "--nodes", nodes, "--days", 20, "--age", 1, "--tick", "1h",
                                 "--jobs", 0, "--giant", 100, "--formats", 1, "--rate", rate, "--cross", count, "--truth",
                                 Path(directory) / "truth.json"])
            truth = json.loads((Path(directory) / "truth.json").read_text())
            sent = {c["tenant"]: c["sent_ms"] for c in truth["crossings"]}
            end = time.monotonic() + 60
            while time.monotonic() < end and len(late := latencies(follower, fleet, sent)) < count:
                time.sleep(0.5)
        finally:
            fleet.close()
            follower.close()
        assert len(late) == count, f"{len(late)} of {count} crossings came"
        late.sort()
        table("crossing, from the reading to the alert's record in Kafka", "p50", "p99", "most", "readings/s meanwhile")
        row(f"{count} crossings, two instances", f"{statistics.median(late):.0f} ms", f"{late[int(0.99 * (len(late) - 1))]:.0f} ms",
            f"{late[-1]:.0f} ms", f"{truth['readings'] / took:,.0f}")
        figures.update(crossing_p50_ms=statistics.median(late), crossing_p99_ms=late[int(0.99 * (len(late) - 1))],
                       crossing_rate=truth["readings"] / took)


def latencies(follower, fleet, sent):
    first = {}
    for r in follower.level_alerts(fleet.source):
        tenant = r["value"]["subject"].split("/")[0]
        if tenant in sent and r["value"]["data"]["level"] == "exceeded":
            first.setdefault(tenant, r["timestamp_ms"] - sent[tenant])
    return list(first.values())


def growth():
    *_, out = measured([BUILD / "tests/bench/totals_cost"])
    print("\n" + out, end="")
    rows = [[c.strip() for c in line.strip("|").split("|")] for line in out.splitlines()[2:]]
    figures["growth"] = [{"of": r[0], "registers": int(r[1]), "tenants": int(r[2]), "days": int(r[3]), "put_ns": float(r[4]),
                          "totals_ms": float(r[5]), "bytes": float(r[7]), "ratio": float(r[8])} for r in rows if len(r) == 9]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("parts", nargs="*", default=["rates", "stream", "million", "crossing", "growth"])
    p.add_argument("--json")
    a = p.parse_args()
    if a.json and Path(a.json).exists():
        figures.update(json.loads(Path(a.json).read_text()))
    for part in a.parts:
        {"rates": rates, "stream": stream, "million": million, "crossing": crossing, "growth": growth}[part]()
        cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), platform.machine())
        figures["machine"] = f"{cpu}, {os.cpu_count()} CPUs, Linux {platform.release()}, {datetime.date.today()}"
        if a.json:
            Path(a.json).write_text(json.dumps(figures, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()

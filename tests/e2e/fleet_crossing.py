#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A fleet of 20,000 simulated nodes, two fifths of which one tenant holds, computes past 10^26 operations on a real broker: the totals
are the simulator's own to the last operation, and each expected alert of every regime, shadow regimes too, comes exactly once,
also when the instances are killed and others read everything anew."""
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from fleet import *

SIM = ["--seed", "26", "--nodes", "20000", "--node-peak", "1600000000000000000", "--giant", "40", "--jobs", "20", "--days", "2",
       "--tick", "24h", "--formats", "1"]
PATIENCE_S = 120
REGIMES = [Regime("test-crossing", 10**26), Regime("test-crossing-shadow", 10**26, mode="shadow"), Regime("test-far", 4 * 10**26)]


def wait_for_alerts(follower, fleet, expected, allowed):
    end = time.monotonic() + PATIENCE_S
    while len({r["key"] for r in follower.level_alerts(fleet.source)} & expected.keys()) < len(expected) and time.monotonic() < end:
        time.sleep(0.2)
    left = check_alerts(follower, fleet.source, expected, allowed)
    assert not left, "\n".join(left) + "\n" + fleet.logs()


def check_topics(follower, fleet, expected):
    """What only watches goes to a topic of its own."""
    for r in follower.level_alerts(fleet.source):
        if r["key"] in expected:
            shadow = r["value"]["data"]["mode"] == "shadow"
            assert r["topic"] == ALERTS[shadow], f"{r['topic']} has {expected[r['key']]}"


def check_balance(follower, truth, giant):
    """One tenant has two fifths of the nodes: its jobs are spread like all others, and no partition has much more than its share."""
    with follower.lock:
        all_of = [int(p.head["registers"]) for p in follower.parts.values()]
        its = [sum(int(v["registers"]) for v in p.taken.values() if v.get("tenant") == "giant") for p in follower.parts.values()]
    assert sum(all_of) == truth["registers"] and sum(its) == sum(s["registers"] for s in truth["totals"] if s["tenant"] == "giant")
    for name, counts in (("registers", all_of), ("registers of the giant", its)):
        ratio = max(counts) * len(counts) / sum(counts)
        print(f"{name} by partition: {counts}, the largest is {ratio:.3f} of the mean")
        assert ratio < 1.1, (name, counts)


def run(broker, directory):
    dry = json.loads(subprocess.run([FLEETSIM, "--dry", *SIM], check=True, capture_output=True, text=True).stdout)
    subprocess.run([OPMETER, "topics", "create", "--brokers", broker.brokers, "--partitions", "4", "--replication", "1"], check=True,
                   stdout=subprocess.DEVNULL)
    fleet = Fleet(broker, "crossing", REGIMES, directory, ["--seal-after", "0"])
    shutil.copy(SOURCE / "data/regimes/us-bis-4e091.yaml", fleet.regimes)
    regimes = REGIMES + [Regime("us-bis-4e091", 10**26, version="2025-01-15")]
    follower = Follower(broker.brokers, "crossing", 4)
    try:
        for _ in range(2):
            fleet.start()
        begin = time.monotonic()
        subprocess.run([FLEETSIM, *SIM, "--brokers", broker.brokers, "--truth", Path(directory) / "truth.json"], check=True)
        published = time.monotonic() - begin
        truth = json.loads((Path(directory) / "truth.json").read_text())
        assert truth["totals"] == dry["totals"]
        giant = next(s for s in truth["totals"] if s["tenant"] == "giant")
        assert int(giant["training"]["low"]) > 10**26, "the giant does not cross"
        left = wait_for_truth(follower, fleet, truth, PATIENCE_S)
        assert not left, "\n".join(left[:20]) + "\n" + fleet.logs()
        exact = time.monotonic() - begin
        check_balance(follower, truth, giant)
        expected = expected_alerts(truth, regimes, fleet.source)
        allowed = expected_alerts(truth, regimes, fleet.source, "most")
        lineages = expected_lineages(truth, regimes, fleet.source)
        assert [x for x in lineages.values() if "line-frontier exceeded" in x], lineages
        expected |= lineages
        assert len(expected) >= 12 and len({e.split("/")[0] for e in expected.values()}) >= 3, sorted(expected.values())
        wait_for_alerts(follower, fleet, expected, allowed)
        check_topics(follower, fleet, expected)
        for p in list(fleet.procs):
            fleet.stop(p, signal.SIGKILL)
        fleet.start()
        follower.changed = time.monotonic()
        left = wait_for_truth(follower, fleet, truth, PATIENCE_S, still=5)
        assert not left, "\n".join(left[:20]) + "\n" + fleet.logs()
        wait_for_alerts(follower, fleet, expected, allowed)
        print(f"{truth['nodes']} nodes, {truth['registers']} registers, {truth['readings']} readings in {published:.1f} s, exact after "
              f"{exact:.1f} s; {giant['training']['low']} operations of one tenant; {len(expected)} alerts, each once")
    finally:
        fleet.close()
        follower.close()


def main():
    with Broker() as broker, tempfile.TemporaryDirectory(prefix="opmeter-crossing-") as directory:
        run(broker, directory)


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Instances of the fleet share the partitions through kills, freezes past their session, doubles and replacements: the
totals are the simulated fleet's own to the last operation, and each finding is said once."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from fleet import *

SIM = ["--seed", "11", "--nodes", "24", "--jobs", "40", "--days", "2", "--faults", "duplicate,shuffle"]
SENDING_S = 20
FROZEN_S = 9  # the session ends after 6


def said(p):
    """What an instance's last line about itself says."""
    rows = [json.loads(line) for line in open(p.log, errors="replace") if line.startswith('{"instance"')]
    return rows[-1] if rows else None


def start(fleet):
    return fleet.start("--json", "--interval", "300ms")


def owners(procs):
    """Who owns what, when every partition has one owner and one of them judges."""
    rows = [said(p) for p in procs]
    if any(r is None for r in rows):
        return None
    owned = sorted(n for r in rows for n in r["owns"])
    return rows if owned == list(range(6)) and sum(r["judge"] for r in rows) == 1 else None


def wait_for(fn, what, timeout=60):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        got = fn()
        if got:
            return got
        time.sleep(0.1)
    raise AssertionError(f"waited {timeout} s for {what}")


def rebuilt(fleet, follower):
    """One instance alone, from the topics. That a threshold will be met goes by days that have rested, so it may come now for the first time."""
    with follower.lock:
        told = {r["value"]["id"] for r in follower.alerts if isinstance(r["value"], dict)}
    out = subprocess.run([OPMETER, "fleet", "--brokers", fleet.broker.brokers, "--name", fleet.name, "--regimes", fleet.regimes,
                          "--once", "--json"], check=True, capture_output=True, text=True, timeout=120).stdout
    rows = [json.loads(line) for line in out.splitlines()]
    again = [r for r in rows if "specversion" in r and (r["type"] != "opmeter.alert.forecast.v1" or r["id"] in told)]
    assert not again, f"said again after a restart: {again}"
    got = {}
    for r in (r for r in rows if "group" in r):
        at = ("lineage", r["lineage"]) if r["group"] == "lineage" else ("model", r["tenant"], r["model"])
        got[at] = {f: int(r[f.split(".")[0]][f.split(".")[1]]) for f in FIELDS} | {"registers": int(r["registers"])}
    return got


def disturb(fleet, sim):
    """Every instance is killed, frozen or replaced once while readings come in."""
    a, b, c = (start(fleet) for _ in range(3))
    wait_for(lambda: owners([a, b, c]), "three instances to share the partitions")
    sim.start()
    judge = next(p for p in (a, b, c) if said(p)["judge"])
    first, second = (p for p in (a, b, c) if p is not judge)
    time.sleep(2)
    fleet.stop(first, signal.SIGKILL)
    double = start(fleet)
    time.sleep(2)
    judge.send_signal(signal.SIGSTOP)
    time.sleep(FROZEN_S)
    judge.send_signal(signal.SIGCONT)  # a zombie: another one owns what it believes to own
    assert fleet.stop(second) == 0, "an instance does not end well"
    late = start(fleet)
    return [judge, double, late]


class Sim:
    def __init__(self, broker, directory):
        self.path, self.brokers = directory / "truth.json", broker.brokers
        subprocess.run([FLEETSIM, "--dry", "--truth", self.path, *SIM], check=True)
        self.truth = json.loads(self.path.read_text())

    def start(self):
        rate = max(1, (self.truth["readings"] + self.truth["assignments"]) // SENDING_S)
        self.p = subprocess.Popen([FLEETSIM, "--brokers", self.brokers, "--truth", self.path, "--rate", str(rate), *SIM])

    def end(self):
        assert self.p.wait(timeout=120) == 0, "the simulated fleet ended badly"
        self.truth = json.loads(self.path.read_text())
        return self.truth


def main():
    with Broker() as broker, tempfile.TemporaryDirectory(prefix="opmeter-group-") as tmp:
        subprocess.run([OPMETER, "topics", "create", "--brokers", broker.brokers, "--partitions", "6", "--replication", "1"], check=True)
        sim = Sim(broker, Path(tmp))
        regimes = [Regime("test-group", choose_threshold(sim.truth))]
        fleet = Fleet(broker, "group", regimes, tmp)
        follower = Follower(broker.brokers, "group", 6)
        try:
            procs = disturb(fleet, sim)
            truth = sim.end()
            left = wait_for_truth(follower, fleet, truth, 60)
            assert not left, "\n".join(left[:10])
            wait_for(lambda: owners(procs), "the instances to share the partitions again")
            expected = expected_alerts(truth, regimes, fleet.source)
            allowed = expected | expected_alerts(truth, regimes, fleet.source, "most")
            assert expected, "nothing crosses: the test shows nothing"
            wait_for(lambda: not check_alerts(follower, fleet.source, expected, allowed), "the alerts: " + "; ".join(
                check_alerts(follower, fleet.source, expected, allowed)), 20)
            for p in list(fleet.procs):
                assert fleet.stop(p) == 0, "an instance does not end well"
            time.sleep(1)
            lines = differences(truth_sums(truth), rebuilt(fleet, follower))
            assert not lines, "rebuilt: " + "\n".join(lines[:10])
            lines = check_alerts(follower, fleet.source, expected, allowed)
            assert not lines, "\n".join(lines[:10])
        except BaseException:
            print(fleet.logs(), file=sys.stderr)
            raise
        finally:
            fleet.close()
            follower.close()
        print(f"{truth['registers']} registers, {truth['readings']} readings, {len(expected)} alerts: equal, each once")


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Three brokers, three copies of each partition, two of which must be in sync. The leader of the first partition is killed while nodes publish,
comes back, and another leader is killed: totals to the last operation, each alert once."""
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from fleet import *
from fleet_cluster import Cluster

READINGS = "opmeter.readings.v1"
SIM = ["--seed", "23", "--nodes", "24", "--jobs", "40", "--days", "2", "--faults", "duplicate,shuffle"]
PARTITIONS, SENDING_S, PATIENCE_S = 4, 8, 120


def wait_for(fn, what, timeout=PATIENCE_S):
    end = time.monotonic() + timeout
    while not (found := fn()):
        assert time.monotonic() < end, f"waited {timeout} s for {what}"
        time.sleep(0.2)
    return found


def registers(follower):
    """That all heads tell of by now."""
    with follower.lock:
        return sum(int(p.head["registers"]) for p in follower.parts.values() if p.head)


def topics(broker, verb, *options):
    p = subprocess.run([OPMETER, "topics", verb, "--brokers", broker.brokers, "--replication", "3", *options], capture_output=True, text=True)
    assert p.returncode == 0, p.stdout + p.stderr


def kill_leader(cluster, partition, follower, sim, beyond):
    """In the midst: more than `beyond` registers are counted, and the simulated fleet still publishes."""
    wait_for(lambda: registers(follower) > beyond, f"more than {beyond} registers")
    leader = cluster.partitions(READINGS)[partition][0]
    assert sim.poll() is None, "the simulated fleet ended too early: the test shows nothing"
    cluster.kill(leader)
    wait_for(lambda: all(p[0] not in (-1, leader) for p in cluster.partitions(READINGS).values()), f"others to lead what broker {leader} led")
    return leader


def is_in_sync(cluster):
    return all(len(p[2]) == 3 for topic in (READINGS, TOTALS) for p in cluster.partitions(topic).values())


def run(cluster, fleet, follower, truth, directory):
    rate = max(1, (truth["readings"] + truth["assignments"]) // SENDING_S)
    path = os.path.join(directory, "truth.json")
    for _ in range(2):
        fleet.start()
    sim = subprocess.Popen([FLEETSIM, "--brokers", cluster.brokers, "--truth", path, "--rate", str(rate), *SIM])
    try:
        first = kill_leader(cluster, 0, follower, sim, 0)
        # However slow the machine: what is still to be published waits for the broker.
        sim.send_signal(signal.SIGSTOP)
        cluster.up(first)
        wait_for(lambda: is_in_sync(cluster), f"broker {first} to have all copies again")
        leaders = {n: p[0] for n, p in cluster.partitions(READINGS).items()}
        other = next(n for n, leader in leaders.items() if leader != first)
        before = registers(follower)
        sim.send_signal(signal.SIGCONT)
        second = kill_leader(cluster, other, follower, sim, before)
        assert second != first, (first, second)
        assert sim.wait(timeout=PATIENCE_S) == 0, "the simulated fleet ended badly"
    finally:
        if sim.poll() is None:
            sim.kill()
            sim.wait()
    return json.loads(open(path).read()), second


def check(fleet, follower, truth, regimes):
    left = wait_for_truth(follower, fleet, truth, PATIENCE_S)
    assert not left, "\n".join(left[:10])
    expected = expected_alerts(truth, regimes, fleet.source)
    allowed = expected | expected_alerts(truth, regimes, fleet.source, "most")
    assert expected, "nothing crosses: the test shows nothing"
    wait_for(lambda: not any(x.startswith("missing") for x in check_alerts(follower, fleet.source, expected, allowed)), "the alerts")
    return expected, allowed


def main():
    begin = time.monotonic()
    with Cluster() as cluster, tempfile.TemporaryDirectory(prefix="opmeter-replicas-") as tmp:
        topics(cluster, "create", "--partitions", str(PARTITIONS))
        topics(cluster, "check")
        ready = time.monotonic() - begin
        plan = json.loads(subprocess.run([FLEETSIM, "--dry", *SIM], check=True, capture_output=True, text=True).stdout)
        regimes = [Regime("test-replicas", choose_threshold(plan))]
        fleet = Fleet(cluster, "replicas", regimes, tmp, ["--interval", "250ms"])
        follower = Follower(cluster.brokers, "replicas", PARTITIONS)
        try:
            truth, dead = run(cluster, fleet, follower, plan, tmp)
            expected, allowed = check(fleet, follower, truth, regimes)
            # With all three again the copies are whole, and nothing is said twice.
            cluster.up(dead)
            wait_for(lambda: is_in_sync(cluster), f"broker {dead} to have all copies again")
            topics(cluster, "check")
            left = wait_for_truth(follower, fleet, truth, PATIENCE_S)
            lines = left or check_alerts(follower, fleet.source, expected, allowed)
            assert not lines, "\n".join(lines[:10])
        except BaseException:
            print(fleet.logs(), file=sys.stderr)
            raise
        finally:
            fleet.close()
            follower.close()
        print(f"{truth['registers']} registers, {truth['readings']} readings, two leaders killed: {len(truth['totals'])} totals exact, {len(expected)} alerts "
              f"once; {ready:.0f} s until three brokers were ready, {time.monotonic() - begin:.0f} s in all")


main()

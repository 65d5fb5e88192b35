#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The wall clock of an aggregator steps while nodes publish: a month ahead, where the broker takes nothing of what it writes, fifty minutes
ahead, twenty hours back, and to what it was; an instance whose clock is right takes over in the end. The totals are the simulator's own to the last operation,
and each alert is there once. Jobs have corrections and the counter meter's samples among their registers, which sealing folds too."""
import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from fleet import *

SIM = ["--seed", "17", "--nodes", "24", "--jobs", "60", "--days", "2", "--more-meters"]
SENDING_S = 15
MINUTE = 60 * 10**9
STEPS_MIN = (50, 30 * 24 * 60, -20 * 60, 10, 0)
REFUSED_MIN = 60  # Kafka's message.timestamp.after.max.ms


def main():
    with Broker() as broker, tempfile.TemporaryDirectory(prefix="opmeter-clock-") as tmp:
        tmp = Path(tmp)
        subprocess.run([OPMETER, "topics", "create", "--brokers", broker.brokers, "--partitions", "4", "--replication", "1"], check=True,
                       stdout=subprocess.DEVNULL)
        dry = json.loads(subprocess.run([FLEETSIM, "--dry", *SIM], check=True, capture_output=True, text=True).stdout)
        regimes = [Regime("test-clock", choose_threshold(dry))]
        clock = tmp / "clock"
        clock.write_bytes(struct.pack("=q", 0))
        fleet = Fleet(broker, "clock", regimes, tmp, ["--interval", "200ms"])
        follower = Follower(broker.brokers, "clock", 4)
        sim = None
        try:
            os.environ |= {"LD_PRELOAD": str(BUILD / "tests/clock/libclock.so"), "TEST_CLOCK": str(clock)}
            stepping = fleet.start()
            for name in ("LD_PRELOAD", "TEST_CLOCK"):
                del os.environ[name]
            rate = max(1, (dry["readings"] + dry["assignments"]) // SENDING_S)
            sim = subprocess.Popen([FLEETSIM, "--brokers", broker.brokers, "--truth", tmp / "truth.json", "--rate", str(rate), *SIM])
            published = 0
            with open(clock, "r+b", buffering=0) as f:
                for step in STEPS_MIN:
                    heads = lambda: sum(int(p.head["round"]) for p in follower.parts.values() if p.head)
                    before, end = heads(), time.monotonic() + 60
                    f.seek(0)
                    f.write(struct.pack("=q", step * MINUTE))
                    if step > REFUSED_MIN:
                        time.sleep(2)  # some rounds that come to nothing
                        continue
                    while heads() <= before + 2 and sim.poll() is None:  # it published under that clock
                        assert time.monotonic() < end and stepping.poll() is None, f"{step} min: nothing is published\n{fleet.logs()}"
                        time.sleep(0.05)
                    published += heads() > before
            assert published > 1, "the nodes had sent everything before the clock stepped: the test shows nothing"
            assert sim.wait(timeout=120) == 0
            truth = json.loads((tmp / "truth.json").read_text())
            left = wait_for_truth(follower, fleet, truth, 120)
            assert not left, "\n".join(left[:10]) + "\n" + fleet.logs()
            # Whoever reads everything anew, by a clock that is right, comes to the same.
            fleet.start()
            fleet.stop(stepping, signal.SIGKILL)
            follower.changed = time.monotonic()
            left = wait_for_truth(follower, fleet, truth, 120, still=8)
            assert not left, "\n".join(left[:10]) + "\n" + fleet.logs()
            expected = expected_alerts(truth, regimes, fleet.source)
            allowed = expected_alerts(truth, regimes, fleet.source, "most")
            lineages = expected_lineages(truth, regimes, fleet.source)
            assert expected and len({x.split()[1] for x in lineages.values()}) > 1, lineages
            end = time.monotonic() + 60
            while (left := check_alerts(follower, fleet.source, expected | lineages, allowed)) and time.monotonic() < end:
                time.sleep(0.2)
            assert not left, "\n".join(left)
            print(f"{len(truth['totals'])} totals exact over steps of {', '.join(map(str, STEPS_MIN))} minutes; {len(expected)} alerts of models and {len(lineages)} of lineages, each once")
        finally:
            if sim and sim.poll() is None:
                sim.kill()
                sim.wait()
            fleet.close()
            follower.close()


main()

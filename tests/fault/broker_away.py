#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The broker is not there at the start, comes, is killed while readings are sent, and comes again: the agent never ends, its memory
stays where it was, and in the end the topic holds every register, to the last operation."""
import os
import re
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *


def rss_kib(pid):
    return int(re.search(r"VmRSS:\s+(\d+)", open(f"/proc/{pid}/status").read())[1])


def in_topic(kafka, jobs):
    last = {r["key"]: r["value"] for r in kafka.records("opmeter.readings.v1")}
    return sum(int(v["exact"]) for v in last.values() if v["job"] in jobs)


def main():
    need_live()
    with Kafka(19692) as kafka, Rig("away") as rig:
        rig.options = ["--brokers", kafka.brokers, "--create-topics", "--library", CUDA13 / "libcublasLt.so.13"]
        kafka.act("down")
        rig.start("--publish", "300ms")
        play = lambda s: rig.play(rig.cgroup("t"), "--lib-dir", CUDA13, "--product", f"1,641,257,131,{TYPES_BF16}", "--seconds", s,
                                  "--rate", "5000", "--wait-ms", "200")
        ops = int(rig.finish(play(4))["ops"])
        assert rig.agent.poll() is None, "the agent ended for want of a broker"
        at_first = rss_kib(rig.agent.pid)
        kafka.up()
        rig.stop()
        rig.start("--publish", "300ms")  # creates the topics now
        player = play(8)
        time.sleep(3)
        kafka.kill()
        time.sleep(2)
        kafka.up()
        ops += int(rig.finish(player)["ops"])
        rig.wait_for(lambda: rig.total() == ops, "the last drain")
        jobs = {r["job"] for r in rig.readings()}
        rig.wait_for(lambda: in_topic(kafka, jobs) == ops, "the topic to hold everything", 60)
        now = rss_kib(rig.agent.pid)
        rig.stop()
        print(f"{ops} operations in ledger and topic; resident {at_first} KiB with the broker away, {now} KiB after")
        assert now < at_first + 40 * 1024, "its memory grew"


main()

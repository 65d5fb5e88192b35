#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A full disk loses nothing: the agent says so once and goes on, the kernel keeps the counts, and all is committed when
there is room."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *


def main():
    need_live()
    with Rig("disk", ["--library", CUDA13 / "libcublasLt.so.13"]) as rig:
        rig.ledger.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", rig.tag, rig.ledger], check=True)
        try:
            rig.start()
            play = lambda calls: rig.finish(rig.play(rig.cgroup("t"), "--lib-dir", CUDA13, "--product",
                                                     f"1,128,64,32,{TYPES_BF16}", "--calls", calls, "--wait-ms", "200"))
            ops = int(play(503)["ops"])
            rig.wait_for(lambda: rig.total() == ops, "the first drain")
            with open(rig.ledger / "filler", "wb", buffering=0) as f:
                try:
                    while True:
                        f.write(bytes(4096))
                except OSError:
                    pass
            before = rig.total()
            ops += int(play(1009)["ops"])
            rig.wait_for(lambda: "the disk is full" in (rig.dir / "agent.log").read_text(), "the agent to say so")
            time.sleep(1)
            assert rig.agent.poll() is None, "the agent ended"
            assert rig.total() == before, "something was stored on a full disk"
            said = (rig.dir / "agent.log").read_text().count("the disk is full")
            os.unlink(rig.ledger / "filler")
            rig.wait_for(lambda: rig.total() == ops, "all to be committed")
            assert "can be written again" in (rig.dir / "agent.log").read_text()
            rig.stop()
            assert said == 1, f"said {said} times"
            assert subprocess.run([OPMETER, "ledger", "verify", "--dir", rig.ledger], stdout=subprocess.DEVNULL).returncode == 0
            print(f"{ops} operations, none lost")
        finally:
            if rig.agent and rig.agent.poll() is None:
                rig.kill()
            subprocess.run(["umount", rig.ledger], check=True)


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The counter meter in the whole chain, on the simulated GPU: one tenant lets the hardware's own count be read, and launches of
the same kernel by another, which nothing else bounds, are estimated by it: the truth lies in the interval, and the launches
are no longer unknown. Other kernels stay so."""
import os
import re
import sys
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from counter import Told  # noqa: E402
from opm import *

PORT = 19871
OPS, LAUNCHES, OTHERS, IDLE = 1_000_000, 701, 89, 53


def main():
    need_live()
    with Rig("counter", ["--no-devices", "--listen", f"127.0.0.1:{PORT}"]) as rig:
        # A copy, so that other tests' tenants are not heard.
        collector = rig.dir / "libopmeter-cupti.so"
        shutil.copy(BUILD / "libopmeter-cupti.so", collector)
        driver = rig.dir / "libcuda.so.1"
        shutil.copy(BUILD / "simgpu/libcuda.so.1", driver)
        rig.start("--library", driver)
        teller = Told([BUILD / "tests/cupti/tenant"], LD_LIBRARY_PATH=str(BUILD / "simgpu"), OPMETER_COUNTER_INTERVAL_MS="2",
                      OPMETER_COUNTER_SEED="1")
        rig.procs.append(teller.p)
        (rig.cgroup("teller") / "cgroup.procs").write_text(str(teller.pid))
        teller.tell(f"inject {collector}")
        teller.tell(f"kernel my_gemm src_bf16_dst_fp32 {OPS} 0")
        rig.wait_for(lambda: "a collector: its readings are taken" in (rig.dir / "agent.log").read_text(), "the collector to be found")
        teller.tell("run 3000 1 warm 7")
        for _ in range(8):
            teller.tell("run 500 1 my_gemm 11")
        other = rig.cgroup("other")
        # `warm` was measured too, and found without operations of the format looked for: that says nothing of others.
        for name, grid, count in (("my_gemm", 11, LAUNCHES), ("another_gemm", 11, OTHERS), ("warm", 7, IDLE)):
            subprocess.run([BUILD / "simgpu/launcher", driver, other, name, str(grid), "2", "128", "64", str(count), "300"], check=True)
        time.sleep(6)  # launches are read every five seconds
        page = urllib.request.urlopen(f"http://127.0.0.1:{PORT}/metrics", timeout=5).read().decode()
        collectors = re.findall(r'opmeter_collectors{state="([a-z]+)",reason="([^"]*)"} ([0-9.e+]+)', page)
        # Other processes of the machine may have one too.
        assert sum(float(n) for state, _, n in collectors if state in ("idle", "measuring")) >= 1, collectors
        assert 'opmeter_counter_readings_lost_total{cause="absurd"} 0' in page, "losses of readings are not shown"
        assert teller.end() == 0
        rig.stop()
        rows = {r["meter"]: r for r in rig.readings("other") if r["meter"] == "counter" or int(r["overflow_calls"])}
        print({m: {k: r[k] for k in ("format", "mean", "variance", "calls", "overflow_calls")} for m, r in rows.items()})
        counted, launched = rows["counter"], rows["launch"]
        assert counted["format"] == "bf16" and int(counted["calls"]) == LAUNCHES, counted
        half = 1.96 * float(counted["variance"]) ** 0.5
        assert abs(float(counted["mean"]) - OPS * LAUNCHES) <= half + 1, counted
        assert int(launched["overflow_calls"]) == LAUNCHES + OTHERS + IDLE, launched
        verify = subprocess.run([OPMETER, "ledger", "verify", "--dir", rig.ledger], capture_output=True, text=True)
        assert verify.returncode == 0, verify.stdout + verify.stderr


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A tenant names its cgroups as badly as the kernel allows: no UTF-8, escapes, quotes, very long. The agent goes on, and counts."""
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *

NAMES = [b"not-utf8-\xff\xfe", b"escape-\x1b[2J", b'quote-"\\', b"tab\tand-\x7f", "ümlaut-é".encode(), b"x" * 250, b"..."]


def main():
    need_live()
    with Rig("names", ["--library", CUDA13 / "libcublasLt.so.13"]) as rig:
        rig.start()
        root = os.fsencode(rig.cgroup_root)
        ops = 0
        for name in NAMES:
            d = os.path.join(root, name)
            os.mkdir(d)
            p = rig.play(os.fsdecode(d), "--lib-dir", CUDA13, "--product", f"1,64,32,16,{TYPES_BF16}", "--calls", "101",
                         "--wait-ms", "200")
            ops += int(rig.finish(p)["ops"])
        rig.wait_for(lambda: rig.total() >= ops, "the last drain")
        time.sleep(1)
        rig.stop()
        assert rig.total() == ops, f"{rig.total()}, played {ops}"
        paths = [e["payload"]["path"] for e in rig.export("entries") if e["kind"] == "job"]
        assert any("not-utf8-\\xff\\xfe" in (p or "") for p in paths), paths
        print(f"{len(NAMES)} names, {ops} operations")


main()

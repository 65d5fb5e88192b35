#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The OpenMetrics page: well-formed by the text format's rules, and its figures are the ledger's."""
import os
import re
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *

PORT = 19864
SAMPLE = re.compile(r'^([a-z_][a-z0-9_]*)(?:\{((?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)*)\})? (-?[0-9.e+-]+|NaN)$')


def fetch(path="/metrics"):
    with urllib.request.urlopen(f"http://127.0.0.1:{PORT}{path}", timeout=5) as r:
        return r.headers["content-type"], r.read().decode()


def parse(text):
    """A strict reader: families are declared once, samples follow their family, counters end in _total, EOF ends the page."""
    lines = text.split("\n")
    assert lines[-1] == "" and lines[-2] == "# EOF", lines[-2:]
    families, family, kind, rows = set(), None, None, []
    for line in lines[:-2]:
        if line.startswith("# TYPE "):
            _, _, family, kind = line.split(" ")
            assert family not in families, f"{family} twice"
            families.add(family)
        elif line.startswith("# "):
            word, name = line[2:].split(" ")[:2]
            assert word in ("HELP", "UNIT") and name == family, line
            assert word != "UNIT" or name.endswith("_" + line.split(" ")[3]), line
        else:
            m = SAMPLE.match(line)
            assert m, f"no sample: {line!r}"
            suffix = {"counter": "_total", "info": "_info", "gauge": ""}[kind]
            assert m[1] == family + suffix, f"{m[1]} in {kind} {family}"
            labels = dict(re.findall(r'([a-z_]+)="((?:[^"\\]|\\.)*)"', m[2] or ""))
            assert (m[1], tuple(labels.items())) not in [r[:2] for r in rows], line
            rows.append((m[1], tuple(labels.items()), float(m[3])))
    return rows


def main():
    need_live()
    with Rig("metrics", ["--library", CUDA13 / "libcublasLt.so.13", "--listen", f"127.0.0.1:{PORT}"]) as rig:
        rig.start()
        r = rig.finish(rig.play(rig.cgroup("t"), "--lib-dir", CUDA13, "--product", f"1,128,64,32,{TYPES_BF16}", "--calls", "5003",
                                "--wait-ms", "200"))
        rig.wait_for(lambda: rig.total() == int(r["ops"]), "the last drain")
        time.sleep(1.2)
        kind, text = fetch()
        assert kind.startswith("application/openmetrics-text; version=1.0.0"), kind
        rows = parse(text)
        jobs = {x["job"] for x in rig.readings()}
        mine = sum(v for n, labels, v in rows if n == "opmeter_operations_total" and dict(labels)["job"] in jobs)
        assert mine == float(r["ops"]), f"{mine}, played {r['ops']}"
        names = {n for n, _, _ in rows}
        for want in ("opmeter_build_info", "opmeter_losses_total", "opmeter_cpu_seconds_total", "opmeter_on", "opmeter_drains_total"):
            assert want in names, want
        assert fetch("/healthz")[1] == "ok\n"
        try:
            fetch("/elsewhere")
            raise AssertionError("a page that is not there was found")
        except urllib.error.HTTPError as e:
            assert e.code == 404
        rig.stop()
        print(f"{len(rows)} samples")


main()

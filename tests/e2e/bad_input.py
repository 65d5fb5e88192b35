#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bad flags, files and surroundings: one clear line that names the thing, the right exit code, no trace left."""
import gzip
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
from opm import *

REGIME = Path("data/regimes/us-bis-4e091.yaml").read_text()


def run(args, **kw):
    return subprocess.run([OPMETER, *map(str, args)], capture_output=True, text=True, timeout=30, **kw)


def check(name, args, code, pattern, **kw):
    p = run(args, **kw)
    lines = [l for l in p.stderr.splitlines() if l.startswith("opmeter: error:")]
    problems = []
    if p.returncode != code:
        problems.append(f"exit {p.returncode}, not {code}")
    if len(lines) != 1:
        problems.append(f"{len(lines)} error lines, not one")
    elif not re.search(pattern, lines[0]):
        problems.append(f"the line does not say /{pattern}/")
    print(("ok    " if not problems else "FAIL  ") + name)
    for x in problems:
        print(f"      {x}: {p.stderr.strip()!r}")
    return not problems


def files(d):
    """Bad files, each with the place that the error must name."""
    (d / "unknown-field").mkdir()
    lines = REGIME.splitlines()
    (d / "unknown-field/r.yaml").write_text("\n".join(lines + ["threshhold: 1"]) + "\n")
    (d / "half").mkdir()
    (d / "half/r.yaml").write_text(REGIME[:len(REGIME) // 2].rsplit("\n", 1)[0] + "\n  - [never, closed\n")
    (d / "tenants-bad.yaml").write_text("rules:\n  - match: {path: /a/*}\n    tenant: a\n    colour: red\n")
    (d / "owners-bad.yaml").write_text("entities:\n  - id: x\n    name: X\n    headquarters: US\n    source: s\n    as-of: 2026-01-01\n    colour: red\n")
    (d / "not-json.json").write_text("hello")
    (d / "cut.json.gz").write_bytes(gzip.compress(b'{"traceEvents":[' + b'{"ph":"X"},' * 9999)[:200])
    (d / "not-a-lib.so").write_text("hello")
    (d / "empty").mkdir()
    (d / "scram.properties").write_text("security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-256\nsasl.username=u\n"
                                        "sasl.password=p\n")
    (d / "typo.properties").write_text("# a comment\n\nacks=all\nlinger.msec=5\n")
    return len(lines) + 1


def main():
    ok = True
    with tempfile.TemporaryDirectory(prefix="opmeter-bad-") as tmp:
        d = Path(tmp)
        last = files(d)
        agent = lambda config: ["agent", "--dir", d / "l", "--offsets", "data/offsets.csv", "--brokers", "127.0.0.1:1",
                                "--kafka-config", d / config, "--pin-dir", d / "p"]
        cases = [
            ("no such verb", ["mend"], 2, "mend"),
            ("no such option", ["standalone", "--bogus"], 2, "--bogus"),
            ("an option without its value", ["standalone", "--dir"], 2, "--dir"),
            ("a duration that is none", ["standalone", "--drain", "soon"], 2, "soon"),
            ("a drain too short", ["standalone", "--drain", "1ms"], 2, "--drain"),
            ("an agent with nowhere to send", ["agent"], 2, "--brokers"),
            ("a tenants file that is missing", ["policy", "check", "--tenants", d / "none.yaml"], 2, "none.yaml"),
            ("a tenants file with an unknown field", ["policy", "check", "--tenants", d / "tenants-bad.yaml"], 2,
             r"tenants-bad.yaml:4"),
            ("an owners file with an unknown field", ["policy", "check", "--owners", d / "owners-bad.yaml"], 2,
             r"owners-bad.yaml:7"),
            ("a regime with an unknown field", ["policy", "check", "--regimes", d / "unknown-field"], 2,
             rf"r.yaml:{last}"),
            ("a half-written regime", ["policy", "check", "--regimes", d / "half"], 2, r"r.yaml:\d+"),
            ("no regime at all", ["policy", "check", "--regimes", d / "empty"], 2, "empty"),
            ("a run that is missing", ["replay", d / "none.json"], 2, "none.json"),
            ("a run that is no JSON", ["replay", d / "not-json.json"], 2, "not-json.json"),
            ("a run cut short", ["replay", d / "cut.json.gz"], 2, "cut.json.gz"),
            ("a library that is none", ["prove", d / "not-a-lib.so"], 2, "not-a-lib.so"),
            ("a Kafka property that is none", agent("typo.properties"), 2, r"typo.properties:4: .*linger.msec"),
            ("SCRAM with a librdkafka that Kafka 4 refuses", agent("scram.properties"), 2, r"SCRAM needs librdkafka 2\.6\.1"),
            ("a fleet without brokers", ["fleet"], 2, "--brokers"),
            ("a fleet whose broker is away", ["fleet", "--brokers", "127.0.0.1:1", "--regimes", "data/regimes", "--once"], 1,
             r"opmeter\.readings\.v1: .*is --brokers right"),
            ("a ledger that is missing", ["ledger", "verify", "--dir", d / "nowhere"], 1, "nowhere"),
        ]
        for c in cases:
            ok &= check(*c)
        ok &= surroundings(d)
    sys.exit(0 if ok else 1)


def surroundings(d):
    if os.geteuid() != 0 or not os.path.exists("/sys/kernel/btf/vmlinux"):
        print("not run: what needs root and BTF")
        return True
    base = ["standalone", "--dir", d / "ledger", "--seconds", "1", "--regimes", "data/regimes",
            "--offsets", "data/offsets.csv"]
    pins = Path(f"/sys/fs/bpf/opmeter-bad-{os.getpid()}")
    ok = check("pins that are not on bpffs", [*base, "--pin-dir", d / "pins"], 1, "not on a BPF file system")
    ok &= check("an offsets file that is missing",
                ["standalone", "--dir", d / "ledger", "--offsets", d / "none.yaml", "--regimes", "data/regimes",
                 "--pin-dir", pins], 2, "none.yaml")
    p = subprocess.run(["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--reuid", "65534",
                        "--clear-groups", OPMETER, *map(str, base), "--pin-dir", str(pins)],
                       capture_output=True, text=True, timeout=30)
    said = re.search(r"CAP_BPF|CAP_|[Pp]ermission|ledger", p.stderr)
    print(("ok    " if said and p.returncode in (1, 4) else "FAIL  ") + "no capabilities")
    ok &= bool(said) and p.returncode in (1, 4)
    return ok


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What it takes to import the world's legal entities. Prints rows of a table; compares nothing with a limit. ROWS=1000000."""
import hashlib
import os
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../lib"))
import gleif

OPMETER = os.path.join(os.environ.get("B", "build"), "opmeter")
ROWS = int(os.environ.get("ROWS", "1000000"))
AS_OF = "2026-11-01"


def row(name, *cells):
    print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


def run(*args):
    """Seconds and the peak of its memory in MiB."""
    start = time.monotonic()
    p = subprocess.Popen([OPMETER, "owners", *args], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(p.pid, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 3), args
    return time.monotonic() - start, usage.ru_maxrss / 1024


def read_plainly(path):
    """The baseline: the same bytes, read and hashed."""
    start = time.monotonic()
    with open(path, "rb") as f:
        hashlib.file_digest(f, "sha256")
    return time.monotonic() - start


def imports(folder):
    db = f"{folder}/owners.db"
    for form, name in (("gleif-lei", "lei"), ("gleif-rr", "rr"), ("gleif-repex", "repex")):
        path = f"{folder}/{name}.csv"
        seconds, mib = run("import", "--db", db, "--format", form, "--as-of", AS_OF, path)
        row(f"{form}, {ROWS:,} entities, {os.path.getsize(path) / 1e6:.0f} MB", f"{seconds:.1f} s", f"{mib:.0f} MiB peak",
            f"{seconds / read_plainly(path):.0f} x reading and hashing it; {mib / 512:.2f} of 512 MiB")
    seconds, mib = run("import", "--db", db, "--format", "gleif-lei", "--as-of", "2026-11-02", f"{folder}/lei.csv")
    row("gleif-lei again, all as before", f"{seconds:.1f} s", f"{mib:.0f} MiB peak", "")
    return db


def listing(folder, db, entries=25000, tenants=100):
    names = [f"{chr(97 + n % 26)}{n} {'Trading Works Marine Precision Systems'.split()[n % 5]} Co., Ltd." for n in range(entries)]
    path = gleif.write(f"{folder}/csl.csv", gleif.CSL, (gleif.listing(n, name, alt_names="; ".join(names[n - 2:n])) for n, name in enumerate(names)))
    for n in range(tenants):
        run("bind", "--db", db, "--lei", gleif.lei(n * 12 + 11), "--by", "bench", "--because", "bench", f"tenant{n}")
    seconds, mib = run("import", "--db", db, "--format", "csl", "--as-of", AS_OF, path)
    row(f"csl, {entries:,} entries, screened against {tenants} tenants and their parents", f"{seconds:.1f} s", f"{mib:.0f} MiB peak", "")
    seconds, mib = run("list", "--db", db)
    row(f"owners list, {tenants} tenants of {ROWS:,} entities", f"{seconds:.2f} s", f"{mib:.0f} MiB peak", "")
    seconds, mib = run("suggest", "--db", db, "Some Name That Is Not There")
    row(f"owners suggest over {ROWS:,} names", f"{seconds:.1f} s", f"{mib:.0f} MiB peak", "")


with tempfile.TemporaryDirectory(prefix="opmeter-bench-owners-") as folder:
    # In a process of its own: what is started later inherits the peak of who starts it.
    subprocess.run([sys.executable, gleif.__file__, str(ROWS), folder], check=True)
    listing(folder, imports(folder))

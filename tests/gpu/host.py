# SPDX-License-Identifier: Apache-2.0
"""What this machine has: GPU, PyTorch and its libraries, ncu, cgroups, the rig's own files (packed or in the repository)."""
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
IS_PACKED = (HERE / "bin/opmeter").exists()
ROOT = HERE if IS_PACKED else HERE.parent.parent
BUILD = HERE / "bin" if IS_PACKED else Path(os.environ.get("B", ROOT / "build")).resolve()
OPMETER = BUILD / "opmeter"
COLLECTOR = BUILD / "libopmeter-cupti.so"
WATCH = BUILD / ("watch" if IS_PACKED else "tests/cupti/watch")
TRACER = BUILD / ("tracer.so" if IS_PACKED else "tests/gpu/tracer.so")
DATA = ROOT / "data"
ENTRIES = HERE / "driver_entries.c" if IS_PACKED else ROOT / "userspace/agent/driver_entries.c"
TABLES = ("offsets.csv", "kernels.csv", "peaks.csv")


class Failure(Exception):
    """A stage or a workload cannot go on; the text is recorded."""


class Skip(Exception):
    """Something that this machine lacks; the text says what."""


def last_line(text, otherwise="no message"):
    lines = [x for x in text.strip().splitlines() if x.strip()]
    return lines[-1][:500] if lines else otherwise


def read(path):
    try:
        return Path(path).read_text(errors="replace").strip()
    except OSError:
        return None


def run(argv, timeout=60, **kw):
    """(exit code, stdout, stderr); a program that is missing or hangs is an error like another."""
    try:
        p = subprocess.run([str(a) for a in argv], capture_output=True, text=True, errors="replace", timeout=timeout, **kw)
        return p.returncode, p.stdout, p.stderr
    except subprocess.TimeoutExpired:
        return 124, "", f"{argv[0]}: no answer in {timeout} s"
    except OSError as e:
        return 127, "", str(e)


def cgroup2():
    """Where a cgroup2 hierarchy is mounted and can be written; None."""
    for line in open("/proc/self/mountinfo"):
        left, right = line.split(" - ")
        if right.split()[0] == "cgroup2" and os.access(left.split()[4], os.W_OK):
            return Path(left.split()[4])
    return None


def torch_facts(args):
    rc, out, err = run([args.python, args.program, "--facts"], timeout=180)
    try:
        return json.loads(out.splitlines()[-1])
    except (IndexError, ValueError):
        return {"error": f"exit {rc}: {last_line(err)}"}


def find_ncu(args):
    found = args.ncu or shutil.which("ncu") or next(
        (str(p) for pattern in ("cuda*/bin/ncu", "cuda*/nsight-compute*/ncu") for p in sorted(Path("/usr/local").glob(pattern))), None)
    if not found:
        return None, None
    rc, out, err = run([found, "--version"])
    return found, last_line(out or err)


def gather(args):
    """All of it as one JSON object: the head of a result."""
    params = read("/proc/driver/nvidia/params") or ""
    restricted = re.search(r"RmProfilingAdminOnly:\s*(\d+)", params)
    rc, smi, _ = run(["nvidia-smi", "--query-gpu=name,driver_version,clocks.max.sm,mig.mode.current", "--format=csv,noheader"], 60)
    ncu, ncu_version = find_ncu(args)
    rc_version, version, _ = run([OPMETER, "--version"])
    facts = {"kernel": platform.release(), "machine": platform.machine(), "processors": os.cpu_count(),
             "has_btf": os.path.exists("/sys/kernel/btf/vmlinux"), "cgroup2": str(cgroup2() or ""),
             "driver": (re.findall(r"Module\s+([0-9.]+)", read("/proc/driver/nvidia/version") or "") or [None])[0],
             "nvidia_smi": smi.strip().splitlines() if rc == 0 else [], "profiling_admin_only": restricted[1] if restricted else None,
             "ncu": ncu, "ncu_version": ncu_version, "opmeter": version.strip() if rc_version == 0 else None,
             "is_simulated": bool(args.simulated), "pytorch": torch_facts(args)}
    libs = facts["pytorch"].get("libraries", []) + [os.path.abspath(p) for p in args.library]
    facts["libraries"] = sorted({os.path.realpath(p) for p in libs})
    return facts


def library(facts, part):
    """The first of the libraries in whose name `part` occurs; None."""
    return next((p for p in facts["libraries"] if part in os.path.basename(p)), None)


def find_cupti(facts):
    """PyTorch's own libcupti, in its process or beside its other libraries; None."""
    if library(facts, "libcupti.so"):
        return library(facts, "libcupti.so")
    for lib in facts["libraries"]:
        for up in list(Path(lib).parents)[:4]:
            for pattern in ("libcupti.so.1*", "*/lib/libcupti.so.1*"):
                found = sorted(up.glob(pattern))
                if found:
                    return str(found[0])
    return next((str(p) for p in sorted(Path("/usr/local").glob("cuda*/extras/CUPTI/lib64/libcupti.so.1*"))), None)


def prove(facts, to):
    """PyTorch brings a build of cuBLASLt of its own: its row is proved here, from the very file. Returns what was said."""
    said = []
    for name in TABLES:
        shutil.copy(DATA / name, to)
    for lib in facts["libraries"]:
        if "libcublasLt" not in lib:
            continue
        rc, out, err = run([OPMETER, "prove", lib], timeout=90)
        rows = [line for line in out.splitlines() if re.match(r"[0-9a-f]{64},", line)]
        known = (to / "offsets.csv").read_text()
        is_known = bool(rows) and all(r.split(",")[0] in known for r in rows)
        with open(to / "offsets.csv", "a") as f:
            f.writelines(r + "\n" for r in rows if r.split(",")[0] not in known)
        said.append({"library": lib, "exit": rc, "was_known": is_known, "row": rows, "error": last_line(err, "")})
    return said


if __name__ == "__main__":
    sys.exit("a part of tests/gpu/run")

# SPDX-License-Identifier: Apache-2.0
"""All that the rig needs in one folder, to be carried to a machine where nothing can be installed: our programs with their
libraries and the loader (the other machine's C library may be older), data, and the rig itself."""
import re
import shutil
import subprocess

import host

# What the other side of an uncrossable border brings: as a wrapper, so that the program finds the libraries beside it.
WRAPPER = """#!/bin/sh
d=$(dirname "$(readlink -f "$0")")
export OPMETER_SELF="$d/opmeter"
exec "$d/../lib/ld-linux-x86-64.so.2" --library-path "$d/../lib" "$d/NAME.real" "$@"
"""
LIMIT = 60 * 2**20  # what can be carried


def program(path, out):
    """With every library that it needs."""
    real = out / "bin" / f"{path.name}.real"
    shutil.copy(path, real)
    subprocess.run(["strip", "--strip-debug", real], check=False, stderr=subprocess.DEVNULL)
    for line in subprocess.run(["ldd", path], capture_output=True, text=True, check=True).stdout.splitlines():
        m = re.search(r"(?:=> )?(/\S+) \(", line)
        if m:
            shutil.copy(m[1], out / "lib")
    wrapper = out / "bin" / path.name
    wrapper.write_text(WRAPPER.replace("NAME", path.name))
    wrapper.chmod(0o755)


def pack():
    out = host.BUILD / "gpu-rig"
    shutil.rmtree(out, ignore_errors=True)
    for d in ("bin", "lib", "data/regimes"):
        (out / d).mkdir(parents=True)
    left_out = []
    for path in (host.OPMETER, host.WATCH):
        program(path, out) if path.exists() else left_out.append(path.name)
    for path in (host.COLLECTOR, host.TRACER):
        shutil.copy(path, out / "bin") if path.exists() else left_out.append(path.name)
    for name in host.TABLES:
        shutil.copy(host.DATA / name, out / "data")
    for f in (host.DATA / "regimes").glob("*.yaml"):
        shutil.copy(f, out / "data/regimes")
    for f in [*host.HERE.glob("*.py"), host.HERE / "run", host.ENTRIES]:
        shutil.copy(f, out)
    size = sum(f.stat().st_size for f in out.rglob("*") if f.is_file())
    print(f"{out}: {size / 2**20:.1f} MiB" + (f"; not built, so left out: {', '.join(left_out)}" if left_out else ""))
    if size > LIMIT or host.OPMETER.name in left_out:
        print(f"too large: more than {LIMIT // 2**20} MiB" if size > LIMIT else "run `make all tests-build` first")
        return 1
    return 0

# SPDX-License-Identifier: Apache-2.0
"""Does cuGetProcAddress hand out the very addresses that the probes trap? Programs take their driver entries from it, by name, version
and stream convention; probes sit on the symbols of the file. For every entry that opmeter watches, each answer is looked up among
the file's symbols: one that is no symbol's, or an unwatched one's, would be launched past the probes."""
import ctypes
import os
import re

import host
import sites

# Versions of the interface at which entries changed; only those up to the driver's own are asked.
VERSIONS = (2000, 3020, 4000, 5000, 7000, 8000, 9000, 10000, 10020, 11000, 11010, 11030, 11040, 11080, 12000, 12020, 12030, 12040, 12080, 13000)
CONVENTIONS = {"default": 0, "legacy": 1, "per-thread": 2}


def where(address):
    """The mapping that holds an address: its path, or what the kernel calls it."""
    for line in open("/proc/self/maps"):
        part = line.split(None, 5)
        low, high = (int(x, 16) for x in part[0].split("-"))
        if low <= address < high:
            return part[5].strip() if len(part) == 6 else "anonymous memory"
    return "no mapping"


def ask(lib, name, version, convention):
    """(result, address)"""
    out = ctypes.c_void_p()
    if hasattr(lib, "cuGetProcAddress_v2"):
        status = ctypes.c_int(-1)
        rc = lib.cuGetProcAddress_v2(name.encode(), ctypes.byref(out), version, ctypes.c_uint64(convention), ctypes.byref(status))
    else:
        rc = lib.cuGetProcAddress(name.encode(), ctypes.byref(out), version, ctypes.c_uint64(convention))
    return rc, out.value


def run(ctx, data):
    lib_path = ctx.args.driver or host.library(ctx.facts, "libcuda.so") or "libcuda.so.1"
    try:
        lib = ctypes.CDLL(lib_path)
    except OSError as e:
        raise host.Skip(f"no driver library: {e}")
    data["init"] = lib.cuInit(0)
    path = os.path.realpath(ctx.args.driver or next(
        line.split(None, 5)[5].strip() for line in open("/proc/self/maps") if "/libcuda.so" in line))
    names = sites.symbols(path)
    base, entries = sites.base_of("self", path), sites.watched(host.ENTRIES)
    if not hasattr(lib, "cuGetProcAddress_v2") and not hasattr(lib, "cuGetProcAddress"):
        raise host.Skip(f"{path} has no cuGetProcAddress")
    version = ctypes.c_int()
    lib.cuDriverGetVersion(ctypes.byref(version))
    exported = {n for group in names.values() for n in group}
    data.update(library=path, driver_version=version.value, watched=len(entries),
                not_exported=sorted(set(entries) - exported), answers=0, same=0, refused=0, missed=[], failures=[])
    bases = sorted({re.sub(r"_v\d+$", "", n.removesuffix("_ptsz")) for n in entries})
    top = version.value or max(VERSIONS)
    for name in bases:
        found = set()
        for v in sorted({x for x in VERSIONS if x <= top} | {top}):
            for convention, flag in CONVENTIONS.items():
                rc, address = ask(lib, name, v, flag)
                if rc or not address:
                    data["refused"] += 1
                    continue
                data["answers"] += 1
                at = names.get(address - base, [])
                if any(n in entries for n in at):
                    data["same"] += 1
                elif address not in found:
                    found.add(address)
                    data["missed"].append({"name": name, "version": v, "convention": convention, "symbols": at, "in": where(address)})
    data["launches_missed"] = sorted({x["name"] for x in data["missed"] if "LAUNCH" in entries.get(x["name"], "")})
    if not data["answers"]:
        data["failures"].append("cuGetProcAddress answered nothing")
    if data["missed"]:
        data["failures"].append("handed out past the probes: " + ", ".join(sorted({x["name"] for x in data["missed"]})))

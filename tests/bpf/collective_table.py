#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table of NCCL's entries against the vendor's header and the exports of the real library, of each CUDA line that is
here: every export is watched or named as not to be, with a reason; every argument is where the table says; the types have
the sizes that the header gives them. A new export fails here."""
import fnmatch
import os
import re
import subprocess
import sys
from pathlib import Path

B = os.environ.get("B", "build")
CUDA = Path(os.environ.get("OPMETER_CACHE", os.path.expanduser("~/.cache/opmeter"))) / "cuda"
NONE = 255
# What the columns of an entry's row are called in the header: kind and has_id come first.
ARGS = ["comm|newcomm", "count|sendcount|recvcount", "datatype", "commId|commIds|uniqueId", "nId", "nranks|nRanks|ndev", "rank|myrank",
        "color|excludeRanksCount|revokeFlags", "key|shrinkFlags"]
SIZES = {"ncclInt8": 1, "ncclUint8": 1, "ncclInt32": 4, "ncclUint32": 4, "ncclInt64": 8, "ncclUint64": 8, "ncclFloat16": 2,
         "ncclFloat32": 4, "ncclFloat64": 8, "ncclBfloat16": 2, "ncclFloat8e4m3": 1, "ncclFloat8e5m2": 1}
bad = []


def table():
    entries, unwatched = {}, []
    for line in subprocess.check_output([f"{B}/tests/bpf/meter", "--collective-table"], text=True).splitlines():
        kind, name, *rest = line.split()
        if kind == "entry":
            entries[name] = [int(x) for x in rest]
        else:
            unwatched.append(name)
    return entries, unwatched


def prototypes(text):
    """symbol -> (type, name) of its parameters."""
    found = {}
    for name, params in re.findall(r"ncclResult_t\s+(nccl\w+)\s*\(([^;{]*)\)\s*;", text):
        found[name] = [re.fullmatch(r"(.*?)(\w+)", p.strip(), re.S).groups() for p in params.split(",") if p.strip()]
    return found


def check_arguments(entries, line, protos):
    seen = 0
    for name, (_kind, has_id, *args) in entries.items():
        params = protos.get(name)
        if params is None:
            bad.append(f"{line}: {name} is not declared")
            continue
        for want, position in zip(ARGS, args):
            if position == NONE:
                continue
            got = params[position][1] if position < len(params) else "nothing"
            if not re.fullmatch(want, got):
                bad.append(f"{line}: {name}: argument {position} is {got}, the table wants {want}")
            seen += 1
        if args[3] != NONE:
            by_value = "*" not in params[args[3]][0]
            if by_value != (has_id == 1):
                bad.append(f"{line}: {name} takes its id {'by value' if by_value else 'by pointer'}")
    return seen


def check_types(line, text):
    """The kernel side has the sizes as nibbles of one number."""
    sizes = int(re.search(r"TYPE_SIZES 0x([0-9a-f]+)", Path("bpf/collective.bpf.c").read_text()).group(1), 16)
    body = re.search(r"typedef enum \{([^}]*)\}\s*ncclDataType_t", text).group(1)
    values = {name: int(n) for name, n in re.findall(r"(nccl\w+)\s*=\s*(\d+)", body)}
    for name, size in SIZES.items():
        if sizes >> 4 * values[name] & 15 != size:
            bad.append(f"{line}: {name} is {values[name]}, where the programs have another size")
    if values["ncclNumTypes"] != len(SIZES):
        bad.append(f"{line}: {values['ncclNumTypes']} types, the programs know {len(SIZES)}")


def main():
    places = sorted(CUDA.glob("nccl-cu*"))
    if not places:
        print("skipped: no NCCL in the cache: run `make deps`")
        return 77
    entries, unwatched = table()
    known = lambda name: name in entries or any(fnmatch.fnmatchcase(name, p) for p in unwatched)
    if known("ncclCommReinit") or known("ncclAllReduceV") or known("ncclReduceScatterAsync"):
        bad.append("a pattern of what is not watched would hide a new entry")
    for place in places:
        text = re.sub(r"/\*.*?\*/|//[^\n]*", "", (place / "nccl.h").read_text(), flags=re.S)
        seen = check_arguments(entries, place.name, prototypes(text))
        check_types(place.name, text)
        lines = [x.split() for x in subprocess.check_output(["nm", "-D", "--defined-only", place / "libnccl.so.2"], text=True).splitlines()]
        exports = {x[-1].split("@")[0] for x in lines if re.fullmatch(r"p?nccl\w+", x[-1].split("@")[0])}
        for name in sorted(exports):
            if not known(name):
                bad.append(f"{place.name}: {name} is in neither list of userspace/agent/collective_entries.c")
        for name in entries:
            if name not in exports:
                bad.append(f"{place.name} does not export {name}")
        print(f"{place.name}: {seen} arguments, {len(exports)} exports")
        if seen < 60 or len(exports) < 100:
            bad.append(f"{place.name}: too little was compared")
    print("\n".join(bad))
    return 1 if bad else 0


sys.exit(main())

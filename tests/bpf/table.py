#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table of GEMM entries against the vendor's own files: each position, width
and fixed type against the prototypes in the wheels' headers, and each name
against what the libraries export. An export that is neither in the table nor
named as uncounted fails the test."""
import fnmatch
import glob
import os
import re
import subprocess
import sys
import zipfile

CACHE = os.path.expanduser("~/.cache/opmeter")
NONE = 255
PLACES = ["transa", "transb", "m", "n", "k", "batch", "group_size", "a_type", "b_type", "c_type", "compute", "a", "b", "c"]
# cudaDataType by the C type that A points to
TYPES = {"float": 0, "double": 1, "__half": 2, "cuComplex": 4, "cuDoubleComplex": 5, "unsigned char": 8}
# by-value arguments that travel in floating-point registers
FLOATING = ("float", "double", "cuComplex", "cuDoubleComplex")


def table():
    out = subprocess.run([os.environ.get("B", "build") + "/tests/bpf/meter", "--table"],
                         check=True, capture_output=True, text=True).stdout
    entries, uncounted = {}, []
    for line in out.splitlines():
        word = line.split()
        if word[0] == "uncounted":
            uncounted.append(word[1])
            continue
        entry = dict(zip(["library", "class", "width", "is_v1"] + PLACES, map(int, word[2:20])))
        entry["types"] = int(word[20], 16)
        entries[word[1]] = entry
    return entries, uncounted


def prototypes(wheel):
    """symbol -> [(type, name, is_array)], from every public header."""
    found = {}
    with zipfile.ZipFile(wheel) as z:
        for member in z.namelist():
            if not re.search(r"/include/cublas(|_api|Lt)\.h$", member):
                continue
            text = re.sub(r"/\*.*?\*/|//[^\n]*", "", z.read(member).decode(), flags=re.S)
            for m in re.finditer(r"cublasStatus_t\s+CUBLASWINAPI\s+(\w+)\s*\(([^;{]*?)\)\s*;|"
                                 r"void\s+CUBLASWINAPI\s+(\w+)\s*\(([^;{]*?)\)\s*;", text, re.S):
                symbol, args = m.group(1) or m.group(3), m.group(2) or m.group(4) or "void"
                found[symbol] = [argument(a) for a in args.split(",")]
    return found


def argument(text):
    m = re.match(r"\s*(.*?)\s*\b(\w+)\s*((?:\[\])*)\s*$", " ".join(text.split()))
    if not m:
        return text.strip(), "", False
    kind, name, array = m.group(1), m.group(2), m.group(3)
    return kind, name, bool(array) or kind.endswith("*")


def expected(symbol, args):
    """What the prototype says, in the form of the table."""
    ints = [a for a in args if a[2] or a[0].replace("const ", "") not in FLOATING]
    at = {name: i for i, (_, name, _) in enumerate(ints)}
    is_grouped = "group_size" in at
    place = {
        "transa": at.get("transa_array" if is_grouped else "transa", NONE),
        "transb": at.get("transb_array" if is_grouped else "transb", NONE),
        "m": at.get("m_array" if is_grouped else "m", NONE),
        "n": at.get("n_array" if is_grouped else "n", NONE),
        "k": at.get("k_array" if is_grouped else "k", NONE),
        "batch": at.get("group_count" if is_grouped else "batchCount", NONE),
        "group_size": at.get("group_size", NONE),
        "a_type": at.get("Atype", NONE),
        "b_type": at.get("Btype", NONE),
        "c_type": at.get("Ctype", NONE),
        "compute": at.get("computeType", NONE),
    }
    is_v1 = int(dict((name, kind) for kind, name, _ in args).get("transa", "") == "char")
    for operand in "ABC":
        place[operand.lower()] = NONE if is_v1 else at.get(operand, NONE)
    by_name = {name: kind for kind, name, _ in args}
    is_wide = "int64_t" in by_name.get("m", by_name.get("m_array", ""))
    operand = by_name.get("A", by_name.get("Aarray", ""))
    element = re.sub(r"\bconst\b|\*", "", operand).strip()
    types = 0xffffffff
    if place["a_type"] == NONE:
        types = TYPES[element] * 0x10101 | 0xff000000
    return place, 8 if is_wide else 4, is_v1, types


def compare(wheel, entries):
    protos, wrong = prototypes(wheel), []
    for symbol, entry in entries.items():
        if symbol == "cublasLtMatmul":
            names = [name for _, name, _ in protos[symbol]]
            if [names.index(n) for n in ("computeDesc", "A", "Adesc", "B", "Bdesc", "D", "Ddesc")] != [1, 3, 4, 5, 6, 10, 11]:
                wrong.append(f"{symbol}: {names}")
            continue
        place, width, is_v1, types = expected(symbol, protos[symbol])
        got = {p: entry[p] for p in PLACES}
        if got != place or entry["width"] != width or entry["is_v1"] != is_v1 or entry["types"] != types:
            wrong.append(f"{symbol}: table {got} {entry['width']} {entry['is_v1']} {entry['types']:08x}, "
                         f"header {place} {width} {is_v1} {types:08x}")
    return wrong


def exports(path):
    out = subprocess.run(["nm", "-D", "--defined-only", path], check=True, capture_output=True, text=True).stdout
    return {line.split()[-1].split("@")[0] for line in out.splitlines()}


def unknown_exports(path, entries, uncounted):
    names = {n for n in exports(path) if re.search("gemm|matmul", n, re.I)}
    return sorted(n for n in names if n not in entries and not any(fnmatch.fnmatchcase(n, p) for p in uncounted))


def main():
    entries, uncounted = table()
    wheels = sorted(glob.glob(CACHE + "/wheels/nvidia_cublas*.whl"))
    libraries = sorted(glob.glob(CACHE + "/cuda/*/libcublas*.so.*"))
    if not wheels or not libraries:
        print(f"no wheels or libraries under {CACHE}")
        return 77
    wrong = []
    for wheel in wheels:
        wrong += [f"{os.path.basename(wheel)}: {w}" for w in compare(wheel, entries)]
    for library in libraries:
        wrong += [f"{library}: {n} is exported and not in the table"
                  for n in unknown_exports(library, entries, uncounted)]
        if "Lt" not in os.path.basename(library):
            missing = [s for s in entries if s != "cublasLtMatmul" and s not in exports(library)]
            wrong += [f"{library}: {n} is in the table and not exported" for n in missing]
    print("\n".join(wrong) or f"{len(entries)} entries agree with {len(wheels)} wheels, {len(libraries)} libraries")
    return 1 if wrong else 0


sys.exit(main())

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes tests/accuracy/data/NAME.tsv.gz from a file of per-kernel truth (tests/data/PROVENANCE.md): kernels of one name,
geometry, status and count of operations become one line. Not run by any test.

    extract.py TRUTH.csv.gz CHIP OUT.tsv.gz"""
import collections
import csv
import gzip
import sys

PRODUCTS = ("mm", "addmm", "bmm", "baddbmm", "_scaled_mm", "linear", "matmul")


def kind_of(op):
    op = op.split("::")[-1].split(".")[0]
    if op in PRODUCTS:
        return "product"
    if "conv" in op:
        return "convolution"
    if "attention" in op:
        return "attention-backward" if "backward" in op else "attention"
    return "-" if not op else "other"


def main():
    truth, chip, out = sys.argv[1:]
    rows = collections.OrderedDict()
    for r in csv.DictReader(gzip.open(truth, "rt")):
        key = (r["kernel"].replace("\t", " "), r["grid"], r["block"], r["smem"] or "0", r["status"],
               kind_of(r["source_op"] or ""), r["dtype"] or "-", r["flops"] or "-")
        entry = rows.setdefault(key, [0, 0])
        entry[0] += 1
        entry[1] += int(float(r["duration_ns"] or 0))
    with gzip.GzipFile(out, "wb", mtime=0) as f:
        f.write(f"# chip {chip}\n# count\tduration_ns\tflops\tstatus\tkind\tdtype\tgrid\tblock\tshared\tkernel\n".encode())
        for (name, grid, block, smem, status, kind, dtype, flops), (count, ns) in rows.items():
            f.write(f"{count}\t{ns}\t{flops}\t{status}\t{kind}\t{dtype}\t{grid}\t{block}\t{smem}\t{name}\n".encode())
    print(f"{out}: {len(rows)} lines")


main()

#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""One process of a job: calls the real libnccl as it is told on stdin, one JSON list a line, and answers each with a line.
Without a GPU the calls refuse after their entry. Arguments: the library, and a cgroup's directory to go into first."""
import ctypes
import json
import os
import sys


class Id(ctypes.Structure):
    _fields_ = [("byte", ctypes.c_ubyte * 128)]


def main(library, cgroup):
    with open(os.path.join(cgroup, "cgroup.procs"), "w") as f:
        f.write(str(os.getpid()))
    nccl = ctypes.CDLL(library)
    zeros = ctypes.create_string_buffer(64 << 20)  # a handle that the library recognises as none
    comm = ctypes.c_void_p()
    nccl.ncclCommInitRank.argtypes = [ctypes.c_void_p, ctypes.c_int, Id, ctypes.c_int]
    nccl.ncclCommInitRankConfig.argtypes = [ctypes.c_void_p, ctypes.c_int, Id, ctypes.c_int, ctypes.c_void_p]
    nccl.ncclCommInitRankScalable.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    nccl.ncclAllReduce.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p]
    print("loaded", flush=True)
    for line in sys.stdin:
        what, *args = json.loads(line)
        if what == "id":
            made = Id()
            assert nccl.ncclGetUniqueId(ctypes.byref(made)) == 0
            print(bytes(made.byte).hex(), flush=True)
            continue
        if what == "init":
            text, nranks, rank, how = args
            given = Id.from_buffer_copy(bytes.fromhex(text))
            if how == "Rank":
                nccl.ncclCommInitRank(ctypes.byref(comm), nranks, given, rank)
            elif how == "Config":
                nccl.ncclCommInitRankConfig(ctypes.byref(comm), nranks, given, rank, None)
            else:
                nccl.ncclCommInitRankScalable(ctypes.byref(comm), nranks, rank, 1, ctypes.byref(given), None)
        elif what == "reduce":
            count, datatype, times = args
            for _ in range(times):
                nccl.ncclAllReduce(None, None, count, datatype, 0, zeros, None)
        print("ok", flush=True)


main(*sys.argv[1:])

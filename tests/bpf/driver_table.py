#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table of the driver's entries against the vendor's headers of two CUDA lines and a real driver library: every
launch that there is is watched or named as none, every argument is where the table says, the structures that are read
are laid out as we read them. A new launch entry fails here."""
import fnmatch
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

B = os.environ.get("B", "build")
GPU = Path(os.environ.get("OPMETER_CACHE", os.path.expanduser("~/.cache/opmeter"))) / "gpu"
HEADERS = {"12.9": GPU / "nvidia_cuda_runtime_cu12-12.9.79/nvidia/cuda_runtime/include/cuda.h",
           "13.0": GPU / "nvidia_cuda_runtime-13.0.96/nvidia/cu13/include/cuda.h"}
DRIVERS = [Path(p) for p in [os.environ.get("OPMETER_DRIVER", ""), *GPU.glob("driver/usr/lib/*/nvidia/current/libcuda.so.*.*"),
                             *Path("/usr/lib").glob("*/libcuda.so.*.*")] if p and Path(p).is_file()]
NONE = 255
# What each op's arguments are called in the headers, in the order of enum om_driver_op.
STREAM, GRAPH, EXEC = r"hStream|stream", r"hGraph|originalGraph|childGraph|graph", r"hGraphExec|hGraph"
ARGS = {
    1: ["f", "gridDimX", "gridDimY", "gridDimZ", "blockDimX", "blockDimY", "blockDimZ", "sharedMemBytes", STREAM],
    2: ["config", "f"], 3: ["launchParamsList", "numDevices"], 4: ["f", "grid_width", "grid_height", STREAM],
    5: [EXEC, STREAM], 6: ["hfunc|pKernel", "name"], 7: ["pFunc", "kernel"], 8: ["name", "hfunc"], 9: ["hmod|library"],
    10: [STREAM, "mode"], 11: [STREAM, GRAPH, "mode"], 12: [STREAM, "phGraph"], 13: ["hEvent", STREAM],
    14: [STREAM, "hEvent", "Flags|flags"], 15: ["hEvent"], 16: [STREAM], 17: ["phGraph"], 18: ["phGraphClone", GRAPH],
    19: [GRAPH, "nodeParams"], 20: [GRAPH, GRAPH], 21: [GRAPH, "nodeParams"], 22: [GRAPH], 23: ["hNode"], 24: [GRAPH],
    25: ["phGraphExec", GRAPH, "flags|instantiateParams"], 26: [EXEC, GRAPH, "updateResult_out|resultInfo"],
    27: [EXEC], 28: [EXEC],
}
LAYOUT = """
#include <cuda.h>
#include <stddef.h>
#include "tests/simgpu/simgpu.h"
#define SAME(a, x, b, y) _Static_assert(offsetof(a, x) == offsetof(b, y), #x)
SAME(CUlaunchConfig, gridDimX, struct simgpu_config, grid);
SAME(CUlaunchConfig, blockDimX, struct simgpu_config, block);
SAME(CUlaunchConfig, sharedMemBytes, struct simgpu_config, shared);
SAME(CUlaunchConfig, hStream, struct simgpu_config, stream);
SAME(CUDA_LAUNCH_PARAMS, gridDimX, struct simgpu_launch, grid);
SAME(CUDA_LAUNCH_PARAMS, hStream, struct simgpu_launch, stream);
_Static_assert(sizeof(CUDA_LAUNCH_PARAMS) == sizeof(struct simgpu_launch), "size");
SAME(CUDA_KERNEL_NODE_PARAMS_v2, gridDimX, struct simgpu_kernel_node, grid);
SAME(CUDA_KERNEL_NODE_PARAMS_v2, sharedMemBytes, struct simgpu_kernel_node, shared);
SAME(CUDA_KERNEL_NODE_PARAMS_v2, kern, struct simgpu_kernel_node, kernel);
SAME(CUDA_KERNEL_NODE_PARAMS_v3, kern, struct simgpu_kernel_node, kernel);
SAME(CUgraphNodeParams, kernel, struct simgpu_node, u);
SAME(CUgraphNodeParams, graph, struct simgpu_node, u.graph);
SAME(CUgraphExecUpdateResultInfo, result, struct simgpu_update, result);
SAME(CUDA_GRAPH_INSTANTIATE_PARAMS, flags, struct simgpu_update, result);
_Static_assert(CUDA_GRAPH_INSTANTIATE_FLAG_DEVICE_LAUNCH == 4 && CU_GRAPH_NODE_TYPE_KERNEL == 0 &&
	       CU_GRAPH_NODE_TYPE_GRAPH == 4 && CU_GRAPH_NODE_TYPE_CONDITIONAL == 13 &&
	       CU_STREAM_CAPTURE_MODE_RELAXED == 2 && CU_EVENT_WAIT_EXTERNAL == 1 && CUDA_SUCCESS == 0, "constants");
"""
bad = []


def table():
    entries, unwatched = {}, []
    for line in subprocess.check_output([f"{B}/tests/bpf/meter", "--driver-table"], text=True).splitlines():
        kind, name, *rest = line.split()
        if kind == "entry":
            entries[name] = [int(x) for x in rest]
        else:
            unwatched.append(name)
    return entries, unwatched


def prototypes(path):
    """symbol -> names of its parameters, as the header declares it."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", "", path.read_text(), flags=re.S)
    found = {}
    renamed = dict(re.findall(r"#\s*define\s+(cu\w+)\s+__CUDA_API_PT[DS]*Z?\((cu\w+)\)", text))
    renamed.update({a: b for a, b in re.findall(r"#\s*define\s+(cu\w+)\s+(cu\w+_v\d)\s*$", text, flags=re.M)})
    for name, params in re.findall(r"CUDAAPI\s+(cu\w+)\s*\(([^;{]*)\)\s*;", text):
        names = [re.split(r"[\s*]+", re.sub(r"\[.*?\]", "", p).strip())[-1] for p in params.split(",")]
        # Under a name that is renamed, the first declaration is the later form's; one that follows is the old form's.
        real = renamed.get(name, name)
        found[real if real not in found else name] = names
    return found


def check_arguments(entries, line, protos):
    seen = 0
    for name, (op, _flags, *args) in entries.items():
        params = protos.get(name.replace("_ptsz", ""))
        if not params:
            continue
        for want, position in zip(ARGS[op], args):
            if position == NONE:
                continue
            if position >= len(params) or not re.fullmatch(want, params[position]):
                bad.append(f"{line}: {name}: argument {position} is {params[position:position + 1]}, the table wants {want}")
            seen += 1
    return seen


def launches_of(names):
    return sorted({n for n in names if re.match(r"cu(?!da)\w*Launch", n)})


def check_launches(entries, unwatched, where, names):
    for name in launches_of(names):
        if name not in entries and not any(fnmatch.fnmatchcase(name, p) for p in unwatched):
            bad.append(f"{where}: {name} launches and is not in userspace/agent/driver_entries.c")


def main():
    if not all(p.exists() for p in HEADERS.values()):
        print("skipped: no headers of CUDA in the cache: run `make deps`")
        return 77
    entries, unwatched = table()
    if len(entries) < 50:
        bad.append(f"only {len(entries)} entries")
    for line, path in HEADERS.items():
        protos = prototypes(path)
        seen = check_arguments(entries, line, protos)
        if seen < 100:
            bad.append(f"{line}: only {seen} arguments were compared")
        check_launches(entries, unwatched, line, protos)
        with tempfile.NamedTemporaryFile("w", suffix=".c") as f:
            f.write(LAYOUT)
            f.flush()
            r = subprocess.run(["gcc", "-std=gnu17", "-fsyntax-only", "-I.", f"-I{path.parent}", f.name], capture_output=True, text=True)
            if r.returncode:
                bad.append(f"{line}: {r.stderr.strip()}")
        print(f"{line}: {seen} arguments, {len(launches_of(protos))} launches")
    if DRIVERS:
        driver = DRIVERS[0]
        exports = {x.split()[-1].split("@")[0] for x in
                   subprocess.check_output(["nm", "-D", "--defined-only", driver], text=True).splitlines()}
        check_launches(entries, unwatched, driver.name, exports)
        missing = [n for n in entries if n not in exports]
        if len(missing) > 2:
            bad.append(f"{driver.name} does not export {missing}")
        print(f"{driver.name}: {len(launches_of(exports))} launches, not exported: {missing}")
    else:
        print("no library of the driver is here: its exports were not compared")
    print("\n".join(bad))
    return 1 if bad else 0


sys.exit(main())

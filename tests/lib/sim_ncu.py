#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Speaks as Nsight Compute does, for the test of tests/gpu: lists counters, runs the program it is given, and writes a CSV in which
each step has three kernels. SIM_NCU=refused: as on a machine where counters are for administrators."""
import os
import subprocess
import sys

QUERY = """Device NVIDIA simulated (GH100)
sm__ops_path_tensor_src_bf16_dst_fp32                 Counter  op  # of math ops executed in Tensor path
sm__ops_path_tensor_src_bf16_dst_fp32_sparsity_on     Counter  op  with sparsity
sm__ops_path_tensor_src_fp8                           Counter  op  # of math ops executed in Tensor path
sm__ops_path_tensor_src_fp8_sparsity_off              Counter  op  without
sm__ops_path_tensor_src_fp16                          Counter  op  all
sm__ops_path_tensor_src_fp16_dst_fp32                 Counter  op  part of the one above
sm__cycles_active                                     Counter  cycle
"""
args = sys.argv[1:]
if "--version" in args:
    print("NVIDIA (R) Nsight Compute Command Line Profiler\nVersion 0.0.0.0 (simulated)")
elif "--query-metrics" in args:
    print(QUERY)
else:
    log = args[args.index("--log-file") + 1]
    metrics = args[args.index("--metrics") + 1].split(",")
    at = next(i for i, x in enumerate(args) if x.endswith("sim_workload.py"))
    with open(log, "w") as f:
        if os.environ.get("SIM_NCU") == "refused":
            f.write("==ERROR== ERR_NVGPUCTRPERM - The user does not have permission to access NVIDIA GPU Performance Counters\n")
            sys.exit(1)
        rc = subprocess.run(args[at - 1:]).returncode
        head = ["ID", "Process ID", "Kernel Name", "Grid Size", *metrics]
        row = lambda i, name, v: ",".join(f'"{x}"' for x in [i, 1, name, "(1, 1, 1)", *["1,234" if m == metrics[0] and v else "0" for m in metrics]])
        f.write("==PROF== Connected to process 1\n" + ",".join(f'"{h}"' for h in head) + "\n" + ",".join('""' for _ in head) + "\n")
        f.write("\n".join([row(0, "gemm_kernel", 1), row(1, "gemm_kernel", 1), row(2, "elementwise", 0)]) + "\n==PROF== Disconnected\n")
    sys.exit(rc)

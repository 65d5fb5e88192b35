# SPDX-License-Identifier: Apache-2.0
# For the collector's tests: where the vendor's files are, and what to say if they are not.
# shellcheck shell=bash
set -eu
B=${B:-build}
GPU_DIR=${OPMETER_CACHE:-$HOME/.cache/opmeter}/gpu
CUPTI_12=$(echo "$GPU_DIR"/nvidia_cuda_cupti_cu12-12.*/nvidia/cuda_cupti/lib/libcupti.so.12)
CUPTI_13=$(echo "$GPU_DIR"/nvidia_cuda_cupti-13.*/nvidia/cu13/lib/libcupti.so.13)
skip() { echo "SKIP: $1"; exit 77; }
fail() { echo "FAIL: $1"; exit 1; }
need_cupti() {
	local f
	for f in "$CUPTI_12" "$CUPTI_13"; do
		[ -s "$f" ] && [ -s "$(dirname "$f")/libnvperf_host.so" ] || skip "no CUPTI in $GPU_DIR (tools/deps check fetches it)"
	done
}

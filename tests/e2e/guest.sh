#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The kernel that a fresh Debian 12 has: the probes load under 6.1 and count exactly,
# from the entry of a real library to the ledger. Takes about a minute, emulated.
set -eu
B=${B:-build}
V=13.10.0.20
CACHE=${OPMETER_CACHE:-$HOME/.cache/opmeter}
skip() { echo "SKIP: $1"; exit 77; }
[ "$(uname -m)" = x86_64 ] || skip "the guest is x86-64"
command -v qemu-system-x86_64 >/dev/null || skip "qemu is not installed (tools/deps check)"
[ -e "$CACHE/cuda/$V/libcublasLt.so.13" ] || skip "no cuBLAS in the cache (tools/deps check)"
tools/guest --fetch || skip "Debian's kernel could not be had"
case $B in *san*) skip "a sanitizer build is too slow to emulate" ;; esac
N='nccl-cu13-2.32.3'
[ -e "$CACHE/cuda/$N/libnccl.so.2" ] && nccl="--cuda $N" || nccl=
# shellcheck disable=SC2086
exec tools/guest --timeout 200 --cuda $V $nccl --env "B=$B" --file "$B/opmeter" --file "$B/tests/player/player" \
	--file "$B/tests/bpf/meter" --file "$B/bpf" --file data --file tests/e2e/guest_inside.sh -- busybox sh "$PWD/tests/e2e/guest_inside.sh" $V

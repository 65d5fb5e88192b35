#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# The programs compile for AArch64's calling convention too. That they count there
# is not shown by this.
set -eu
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
for f in bpf/*.bpf.c; do
	"${CLANG:-clang}" -g -O2 -target bpf -mcpu=v3 -D__TARGET_ARCH_arm64 -Wall -Werror -I. -Ibpf -c -o "$out/o" "$f"
done

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The structures that the collector writes down for itself are those of the vendor's headers, 12.x and 13.x.
. tests/cupti/lib.sh
need_cupti
t=$(mktemp -d /tmp/opmeter-abi-XXXXXX)
trap 'rm -rf "$t"' EXIT
mkdir "$t/shim"
# A header of 13.0 includes C++'s <string> without using it.
: >"$t/shim/string"
crt=$(echo "$GPU_DIR"/nvidia_cuda_crt-13.*/nvidia/cu13/include)
for major in 12 13; do
	dirs=(-isystem "$t/shim")
	for d in "$GPU_DIR"/nvidia_cuda_{cupti,runtime}{,_cu12}-$major.*/nvidia/*/include; do [ ! -d "$d" ] || dirs+=(-isystem "$d"); done
	dirs+=(-isystem "$crt")
	gcc -std=gnu17 -fsyntax-only -w "${dirs[@]}" tests/cupti/abi.c || fail "the ABI of $major is another"
	# That the comparison can fail: one field moved.
	sed 's/size_t pass, nesting_target;/size_t pass; char moved[8]; size_t nesting_target;/' userspace/cupti/abi.h >"$t/abi.h"
	sed "s|../../userspace/cupti/abi.h|$t/abi.h|" tests/cupti/abi.c >"$t/moved.c"
	! gcc -std=gnu17 -fsyntax-only -w "${dirs[@]}" "$t/moved.c" 2>/dev/null || fail "a moved field is not noticed"
	echo "CUPTI $major: the layouts agree"
done

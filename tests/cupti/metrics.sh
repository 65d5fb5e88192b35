#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every metric of the tables exists, and every set fits one pass, by the host side of the real libcupti: it answers
# without a GPU. What is known to need more passes is asked too, so that an answer of 1 means something.
. tests/cupti/lib.sh
need_cupti
for lib in "$CUPTI_12" "$CUPTI_13"; do
	# No search path leads to the library's neighbour: the collector has to find it.
	out=$(env -u LD_LIBRARY_PATH "$B/tests/cupti/metrics" "$lib") || { echo "$out" | grep -v ' 1 pass,'; fail "$lib: a set does not fit"; }
	for chip in GA100 GH100 GB100; do grep -q "^$chip set 0.* 1 pass," <<<"$out" || fail "$lib says nothing of $chip"; done
	env -u LD_LIBRARY_PATH "$B/tests/cupti/metrics" "$lib" pair || fail "$lib: passes are not those that are known"
	echo "$lib: $(grep -c ' 1 pass,' <<<"$out") sets fit one pass"
done

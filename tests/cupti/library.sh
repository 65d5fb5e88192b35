#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the collector's file is to a tenant's process: one symbol, no library but libc and libm, a libc from 2018 on
# suffices, it is never unloaded, and its probe sites are as any tracer reads them.
. tests/cupti/lib.sh
so=$B/libopmeter-cupti.so
command -v readelf >/dev/null || skip "no readelf"
exports=$(nm -D --defined-only "$so" | awk '{print $3}')
[ "$exports" = InitializeInjection ] || fail "it exports: $exports"
needed=$(readelf -d "$so" | sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p' | grep -vE '^lib(c|m|dl|pthread)\.so\.|^ld-linux' || true)
[ -z "$needed" ] || fail "it needs $needed"
newest=$(objdump -T "$so" | grep -oE 'GLIBC_[0-9.]+' | sort -Vu | tail -1)
[ "$(printf '%s\nGLIBC_2.27\n' "$newest" | sort -V | tail -1)" = GLIBC_2.27 ] || fail "it needs $newest"
readelf -d "$so" | grep -q NODELETE || fail "it can be unloaded"
readelf -lW "$so" | grep -q 'GNU_STACK.*RW ' || fail "its stack is executable"
notes=$(readelf -n "$so")
for site in counter_reading counter_status; do
	[ "$(grep -c "Name: $site\$" <<<"$notes")" = 1 ] || fail "not one site $site: $notes"
done
! strings -a "$so" | grep -qE '^(stdout|stderr|printf|puts|signal|sigaction)$' || fail "it prints or takes signals"
echo "one symbol, $newest"

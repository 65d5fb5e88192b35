#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What was mapped before the watcher came is found by its scan; what it could not
# see because the kernel had no room for the records is counted as lost and found
# by a new scan.
. tests/lib/discovery.sh

run env LD_PRELOAD="$FAKE/libfakeblas.so" sleep 600
early=$pid
for _ in $(seq 50); do grep -q libfakeblas "/proc/$early/maps" && break; sleep 0.02; done
watch --ring 16384 --linger 300ms
expect "mapped pid=$early seen=scan .*path=$FAKE/libfakeblas\.so$"

# Fill every CPU's ring, then map one more library on each: no record of it has room.
kill -STOP "$watcher"
for cpu in $(seq 0 $(($(getconf _NPROCESSORS_ONLN) - 1))); do
	taskset -c "$cpu" bash -c 'for i in {1..300}; do /bin/true; done'
	run env LD_PRELOAD="$FAKE/libfakeblas_salted.so" taskset -c "$cpu" sleep 600
done
sleep 0.2
kill -CONT "$watcher"
for p in "${started[@]:1}"; do
	# A record may have found room after all: then it was seen live.
	expect "mapped pid=$p seen=(scan|live) .*path=$FAKE/libfakeblas_salted\.so$"
done
taskset -c 0 /bin/true # the kernel reports the loss with the next record
unwatch
lost=$(grep totals "$T/log" | field lost)
scans=$(grep totals "$T/log" | field scans)
[ "$lost" -gt 0 ] || fail "no record was lost: the rings were never full"
[ "$scans" -gt 1 ] || fail "a loss led to no new scan"
echo "lost $(grep totals "$T/log" | field lost) records, all libraries found"

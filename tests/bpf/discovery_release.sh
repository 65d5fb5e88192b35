#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A library is released when its last mapper is gone, and not before: not while
# a second process, a child by fork or a thread without its leader maps it; and it
# is released too after a dlclose. The next mapper brings it back unhashed.
. tests/lib/discovery.sh

lib=$FAKE/libfakeblas.so
watch --linger 300ms --sweep 500ms

run env LD_PRELOAD="$lib" sleep 600
first=$pid
run env LD_PRELOAD="$lib" sleep 600
second=$pid
expect "mapped pid=$first "
expect "mapped pid=$second "
kill "$first"
expect_none released 1.2
kill "$second"
expect released 1

run env LD_PRELOAD="$lib" sleep 600
expect appeared 2
kill "$pid"
expect released 2
mapfile -t at < <(grep "appeared .*path=$T/" "$T/log" | sed -E 's/.* at=([^ ]+) .*/\1/')
[ "${at[0]}" = "${at[1]}" ] || fail "described anew: ${at[0]}, then ${at[1]}"

# A forked child does not map anything anew: no event tells of it.
run python3 -c "
import ctypes, os, time
ctypes.CDLL('$lib')
if os.fork() == 0:
    open('$T/child', 'w').write(str(os.getpid()))
    time.sleep(600)
time.sleep(0.5)"
expect appeared 3
while [ -d "/proc/$pid" ]; do sleep 0.1; done
started+=("$(cat "$T/child")")
expect_none "mapped pid=$(cat "$T/child") seen=live" 1.2
expect "mapped pid=$(cat "$T/child") seen=scan"
[ "$(seen released)" = 2 ] || fail "released under a living child"
kill "$(cat "$T/child")"
expect released 3

# The leader exits, a thread goes on.
run python3 -c "
import ctypes, threading, time
ctypes.CDLL('$lib')
threading.Thread(target=lambda: time.sleep(600)).start()
ctypes.CDLL(None).syscall(60, 0)"
expect appeared 4
sleep 1.2
[ "$(seen released)" = 3 ] || fail "released under a living thread"
kill -9 "$pid"
expect released 4

run python3 -c "
import ctypes, _ctypes, time
lib = ctypes.CDLL('$lib')
time.sleep(0.5)
_ctypes.dlclose(lib._handle)
time.sleep(600)"
expect appeared 5
expect released 5

#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A library under another name, on a file system that only its own mount namespace
# sees, is found, described by its content, and let go when its process is gone.
. tests/lib/discovery.sh

watch --linger 500ms
run unshare -m bash -c "
	mount -t tmpfs none /mnt && mkdir -p /mnt$T && cp $FAKE/libfakeblas.so /mnt$T/weights.bin
	LD_PRELOAD=/mnt$T/weights.bin exec sleep 600"
expect "appeared .*path=/mnt$T/weights\.bin$"
expect "mapped pid=$pid seen=live .*path=/mnt$T/weights\.bin$"
[ ! -e "/mnt$T/weights.bin" ] || fail "the test's file is visible outside of its namespace"
run env LD_PRELOAD="$FAKE/libfakeblas.so" sleep 600
expect "appeared .*path=$FAKE/libfakeblas\.so$"
inside=$(grep "appeared.*/mnt$T/weights" "$T/log" | field sha256)
outside=$(grep "appeared.*path=$T/libfakeblas" "$T/log" | field sha256)
[ -n "$inside" ] && [ "$inside" = "$outside" ] || fail "the same code has two hashes: $inside, $outside"
kill "${started[0]}"
expect "released .*path=/mnt$T/weights\.bin$"
if find "/proc/$watcher/fd" -lname "*weights*" | grep -q .; then fail "a released file is still held open"; fi

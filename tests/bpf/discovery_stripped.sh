#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A build is proven by its code: a stripped and renamed copy is, another build is
# not and is reported with its hash, a damaged file is refused by name.
. tests/lib/discovery.sh

watch
run env LD_PRELOAD="$FAKE/libfakeblas.so" sleep 600
expect 'appeared .*proven=0'
hash=$(grep "appeared.*path=$T/" "$T/log" | field sha256)
unwatch

{
	grep '^text_sha256' data/offsets.csv
	echo "$hash,libfakeblas.so,1.0,0,4,8,16,24,32,40,-,8,12,20,24,made by the test,not at all"
} >"$T/offsets.csv"
cp "$FAKE/libfakeblas.so" "$T/renamed.dat"
strip --strip-all "$T/renamed.dat"
cp "$FAKE/libfakeblas_salted.so" "$T/other.so"
head -c 3000 "$FAKE/libfakeblas.so" >"$T/damaged_cublas.so"
watch --offsets "$T/offsets.csv"
run env LD_PRELOAD="$T/renamed.dat:$T/other.so" sleep 600
expect 'appeared .*proven=1 .*path=.*/renamed\.dat$'
expect 'appeared .*proven=0 .*path=.*/other\.so$'
other=$(grep 'appeared.*other' "$T/log" | field sha256)
[ ${#other} = 64 ] && [ "$other" != "$hash" ] || fail "another build has the hash '$other'"

# The loader would refuse the damaged file; a process that maps it itself does not.
run python3 -c "
import mmap, time
f = open('$T/damaged_cublas.so', 'rb')
m = mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_EXEC, flags=mmap.MAP_PRIVATE)
time.sleep(600)"
expect "refused pid=$pid path=.*/damaged_cublas\.so: .*(outside|damaged)"

# SPDX-License-Identifier: Apache-2.0
# Runs inside the guest of guest.sh, by busybox: the meter end to end under 6.1.
set -eu
version=$1
fail() {
	echo "FAIL: $1"
	cat /tmp/agent
	exit 1
}

echo "kernel $(uname -r)"
for t in frames lt_13 entries_13 overlay asleep device_open off upgrade; do
	"$B/tests/bpf/meter" "$t"
done

if [ -d /cache/cuda/nccl-cu13-2.32.3 ]; then
	for t in collective_13 collective_overlay collective_off collective_quota; do
		"$B/tests/bpf/meter" "$t"
	done
fi

# The prime numbers of calls are of two processes; one has three threads.
mkdir /sys/fs/cgroup/job-a /sys/fs/cgroup/job-b
"$B/opmeter" standalone --dir /tmp/ledger --pin-dir /sys/fs/bpf/opmeter --offsets data/offsets.csv \
	--regimes data/regimes --drain 200ms --publish 500ms >/tmp/agent 2>&1 &
agent=$!
for _ in $(seq 100); do
	grep -q ^ready /tmp/agent && break
	sleep 0.1
done
grep -q ^ready /tmp/agent || fail "the agent does not get ready"
play="$B/tests/player/player --lib-dir /cache/cuda/$version --wait-ms 6000"
$play --cgroup /sys/fs/cgroup/job-a --product 1,1031,523,257,440e0e0e --calls 10007 --threads 3 --report /tmp/a &
a=$!
$play --cgroup /sys/fs/cgroup/job-b --product 7,61,127,31,44000000 --via stridedbatched --via lt --calls 5003 \
	--report /tmp/b
wait $a
kill -TERM $agent
wait $agent || fail "the agent ended with an error"

"$B/opmeter" ledger export --readings --dir /tmp/ledger | grep '"meter":"shape"' >/tmp/readings
# The 1st (operations) or 2nd (calls) figure of a player's whole report.
first() { sed -nE "s/.*\"ops\":\"([0-9]+)\",\"calls\":([0-9]+),\"formats\".*/\\$1/p" "$2"; }
played=$(($(first 1 /tmp/a) + $(first 1 /tmp/b)))
calls=$(($(first 2 /tmp/a) + $(first 2 /tmp/b)))
metered=0
for x in $(sed -nE 's/.*"exact":"([0-9]+)".*/\1/p' /tmp/readings); do metered=$((metered + x)); done
counted=0
for x in $(sed -nE 's/.*"calls":"([0-9]+)".*/\1/p' /tmp/readings); do counted=$((counted + x)); done
echo "played $played operations in $calls calls, metered $metered in $counted"
[ "$calls" = 15010 ] || fail "the players made $calls calls"
[ "$played" = "$metered" ] && [ "$calls" = "$counted" ] || fail "not the same"
"$B/opmeter" ledger verify --dir /tmp/ledger || fail "the ledger does not verify"

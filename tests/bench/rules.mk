# SPDX-License-Identifier: Apache-2.0
# `make bench`: every program and script here prints rows of a table; nothing is compared with a limit.
BENCH_KIT := $(B)/tests/bpf/kit.o
BENCH_PROGRAMS := $(addprefix $(B)/tests/bench/,probe_cost launch_cost collective_cost judge_cost judge_worst together_cost policy_cost judge_pass checkpoint_cost totals_memory totals_cost fleet_consume api_load)

# Part of `make check`: what is only built when somebody measures breaks unseen.
bench-build: $(BENCH_PROGRAMS) $(B)/tests/bench/plain.bpf.o
.PHONY: bench-build

bench: all $(BENCH_PROGRAMS) $(TEST_PROGRAMS) $(B)/tests/bench/plain.bpf.o $(B)/tests/bench/streams/Totals.class ## measure: cost of a probe, drain rate, loader
	@B=$(B) tests/bench/bench

$(B)/tests/bench/probe_cost.o: | $(B)/opmeter.skel.h
$(BENCH_PROGRAMS): $(B)/tests/bench/%: $(B)/tests/bench/%.o $(BENCH_KIT) $(B)/libopmeter.a
	$(call say,BENCH,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS) -ldl -lm

$(B)/tests/bench/launch_cost: | $(SIMGPU)
$(B)/tests/bench/%.bpf.o: tests/bench/%.bpf.c
	$(call say,BPF,$<)
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(BPF_CFLAGS) -MMD -MP -MT $@ -MF $(@:.o=.d) -c -o $@ $<

# The comparison with Kafka Streams: its jars come with `tools/deps bench`, which needs a JDK.
STREAMS_JARS := $(or $(OPMETER_CACHE),$(HOME)/.cache/opmeter)/kafka-streams-4.1.0
$(B)/tests/bench/streams/Totals.class: tests/bench/streams/Totals.java
	$(call say,JAVAC,$<)
	@tools/deps bench
	@mkdir -p $(@D)
	$(Q)javac -d $(@D) -cp '$(STREAMS_JARS)/*' $<

# What people run is measured, so with the library that releases have; the bare consumer has the same.
$(B)/release/fleet_consume: $(B)/tests/bench/fleet_consume.o $(B)/libopmeter.a
	$(call say,BENCH,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(RDKAFKA_PINNED) $(filter-out -lrdkafka,$(PKG_LIBS)) -lssl -ldl -lm

bench-fleet: release $(TEST_PROGRAMS) $(B)/tests/bench/totals_cost $(B)/tests/bench/streams/Totals.class ## measure the fleet: against Kafka Streams, rebuild, crossings
	@$(MAKE) --no-print-directory $(B)/release/fleet_consume
	@B=$(B) $(or $(PYTHON),python3) tests/bench/fleet_bench.py --json $(B)/fleet.json
.PHONY: bench-fleet

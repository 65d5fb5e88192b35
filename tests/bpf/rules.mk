# SPDX-License-Identifier: Apache-2.0
# One program with all tests of the kernel side; the scripts beside this file name one each.
METER_OBJS := $(patsubst %.c,$(B)/%.o,$(filter-out tests/bpf/nest%.c,$(wildcard tests/bpf/*.c)))
TEST_PROGRAMS += $(B)/tests/bpf/meter

$(B)/tests/bpf/meter: $(METER_OBJS) $(B)/libopmeter.a
	$(call say,TEST,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS) -ldl -lm

# Stand-ins for the libraries' calls to themselves and to each other.
NEST_LIBS := $(B)/tests/bpf/libnest_lt.so $(B)/tests/bpf/libnest_blas.so
TEST_PROGRAMS += $(NEST_LIBS)
$(NEST_LIBS): $(B)/tests/bpf/lib%.so: tests/bpf/%.c tests/bpf/rules.mk
	$(call say,SO,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) -O1 -fno-optimize-sibling-calls -fPIC -shared -Wl,-rpath,'$$ORIGIN' -o $@ $< $(NEST_NEEDS)
$(B)/tests/bpf/libnest_blas.so: NEST_NEEDS = $(B)/tests/bpf/libnest_lt.so
$(B)/tests/bpf/libnest_blas.so: $(B)/tests/bpf/libnest_lt.so
$(B)/tests/bpf/meter: | $(NEST_LIBS)
$(B)/tests/bpf/meter: | $(SIMGPU)

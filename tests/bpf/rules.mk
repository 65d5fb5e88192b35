# SPDX-License-Identifier: Apache-2.0
# One program with all tests of the kernel side; the scripts beside this file name one each.
METER_OBJS := $(patsubst %.c,$(B)/%.o,$(filter-out tests/bpf/nest%.c,$(wildcard tests/bpf/*.c)))
TEST_PROGRAMS += $(B)/tests/bpf/meter

$(B)/tests/bpf/meter: $(METER_OBJS) $(B)/libopmeter.a
	$(call say,TEST,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS) -ldl -lm

# SPDX-License-Identifier: Apache-2.0
FLEETSIM := $(B)/tests/fleetsim/fleetsim
TEST_PROGRAMS += $(FLEETSIM)

$(FLEETSIM): $(patsubst %.c,$(B)/%.o,$(wildcard tests/fleetsim/*.c)) $(B)/libopmeter.a
	$(call say,TEST,$@)
	$(Q)$(CC) $(LDFLAGS_ALL) -o $@ $^ $(PKG_LIBS) -lm

# SPDX-License-Identifier: Apache-2.0
# Whose jobs are, without probes: tests/e2e/identity_*.py
TEST_PROGRAMS += $(B)/tests/identity/rig

$(B)/tests/identity/rig: tests/identity/rig.c $(B)/libopmeter.a
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP $(LDFLAGS_ALL) -o $@ $< $(B)/libopmeter.a $(PKG_LIBS) -lm

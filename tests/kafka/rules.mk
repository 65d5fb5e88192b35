# SPDX-License-Identifier: Apache-2.0
TEST_PROGRAMS += $(B)/tests/kafka/consume $(B)/tests/kafka/produce

$(B)/tests/kafka/%: tests/kafka/%.c $(B)/libopmeter.a
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) -MMD -MP $(LDFLAGS_ALL) -o $@ $< $(B)/libopmeter.a $(PKG_LIBS) -lm

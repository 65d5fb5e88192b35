# SPDX-License-Identifier: Apache-2.0
# `make accuracy`: what the meters say of recorded runs whose truth is known.
TEST_PROGRAMS += $(B)/tests/accuracy/accuracy

accuracy: $(B)/tests/accuracy/accuracy ## the recorded truths against the meters' intervals
	@$(B)/tests/accuracy/accuracy
.PHONY: accuracy

$(B)/tests/accuracy/accuracy: tests/accuracy/accuracy.c $(B)/libopmeter.a
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $< $(B)/libopmeter.a $(PKG_LIBS) -lm

# SPDX-License-Identifier: Apache-2.0
# `make forecasts`: forecasts of thresholds' dates against what came.
TEST_PROGRAMS += $(B)/tests/forecast/backtest

forecasts: $(B)/tests/forecast/backtest ## forecasts of thresholds' dates, back-tested
	@$(B)/tests/forecast/backtest
.PHONY: forecasts

$(B)/tests/forecast/backtest: tests/forecast/backtest.c $(B)/libopmeter.a
	$(call say,TEST,$@)
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS_ALL) $(LDFLAGS_ALL) -o $@ $< $(B)/libopmeter.a $(PKG_LIBS) -lm

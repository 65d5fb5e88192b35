// SPDX-License-Identifier: Apache-2.0
#include "probe_site.h"

#include <string.h>

#if defined(__x86_64__)

static const uint8_t endbr64[] = { 0xf3, 0x0f, 0x1e, 0xfa };

/* One instruction that the kernel emulates (arch/x86/kernel/uprobes.c, branch_setup_xol_ops()
 * and push_setup_xol_ops()): push, short and near jumps, nop. */
static int is_emulated(const uint8_t *c, size_t len)
{
	if (len < 2)
		return 0;
	if ((c[0] >= 0x50 && c[0] <= 0x57) || c[0] == 0xeb || c[0] == 0xe9 || c[0] == 0x90)
		return 1;
	if (c[0] >= 0x70 && c[0] <= 0x7f)
		return 1;
	return c[0] == 0x41 && c[1] >= 0x50 && c[1] <= 0x57; /* push of r8 to r15 */
}

/* cmpl $imm32, disp32(%rip) */
#define COMPARE_SIZE 10
static int is_compare(const uint8_t *c, size_t len)
{
	return len > COMPARE_SIZE && c[0] == 0x81 && c[1] == 0x3d;
}

size_t probe_site_offset(const uint8_t *code, size_t len)
{
	size_t at = 0;

	if (len >= sizeof(endbr64) && !memcmp(code, endbr64, sizeof(endbr64)))
		at = sizeof(endbr64);
	if (is_compare(code + at, len - at) && is_emulated(code + at + COMPARE_SIZE, len - at - COMPARE_SIZE))
		return at + COMPARE_SIZE;
	return is_emulated(code + at, len - at) ? at : 0;
}

#else

/* AArch64: every instruction but PC-relative ones is stepped at the same cost. */
size_t probe_site_offset(const uint8_t *code, size_t len)
{
	(void)code;
	(void)len;
	return 0;
}

#endif

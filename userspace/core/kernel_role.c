// SPDX-License-Identifier: Apache-2.0
#include "kernel_role.h"

#include <stdbool.h>
#include <stddef.h>
#include <strings.h>
#include <string.h>

#include "../base/cleanup.h"

/* Words of kernels in PyTorch, cuDNN, FBGEMM, FlashAttention, Transformer Engine, Apex and DeepSpeed. A
 * trailing * takes what goes on ("backward_data", "adamw"), a leading one what comes before
 * ("GammaBetaBackward"). */
static const struct {
	const char *word;
	enum om_kernel_role role;
} words[] = {
	{ "*backward*", OM_ROLE_BACKWARD },
	{ "bwd", OM_ROLE_BACKWARD },
	{ "*dgrad*", OM_ROLE_BACKWARD },
	{ "*wgrad*", OM_ROLE_BACKWARD },
	{ "multi_tensor_apply*", OM_ROLE_OPTIMIZER },
	{ "adam*", OM_ROLE_OPTIMIZER },
	{ "fusedadam*", OM_ROLE_OPTIMIZER },
	{ "adagrad*", OM_ROLE_OPTIMIZER },
	{ "lamb", OM_ROLE_OPTIMIZER },
	{ "*optimizer*", OM_ROLE_OPTIMIZER },
};

static bool is_letter(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool stands_at(const char *name, size_t at, const char *word, size_t len, bool open_left,
		      bool open_right)
{
	if (strncasecmp(name + at, word, len))
		return false;
	return (open_left || at == 0 || !is_letter(name[at - 1])) &&
	       (open_right || !is_letter(name[at + len]));
}

static bool has_word(const char *name, const char *word)
{
	bool open_left = word[0] == '*', open_right = word[strlen(word) - 1] == '*';
	size_t len = strlen(word) - open_left - open_right;

	for (size_t at = 0; name[at]; at++)
		if (stands_at(name, at, word + open_left, len, open_left, open_right))
			return true;
	return false;
}

enum om_kernel_role om_kernel_role_of(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (has_word(name, words[i].word))
			return words[i].role;
	return OM_ROLE_OTHER;
}

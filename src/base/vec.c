/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdint.h>

#include "base/vec.h"

bool ptf_vec_grow(void **array, size_t *cap, size_t need, size_t size)
{
	size_t grown = *cap ? *cap * 2 : 16;
	void *moved;

	if (grown < need)
		grown = need;
	if (grown > SIZE_MAX / size)
		return false;
	moved = realloc(*array, grown * size);
	if (!moved)
		return false;
	*array = moved;
	*cap = grown;
	return true;
}

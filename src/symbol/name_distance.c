/* SPDX-License-Identifier: BSD-2-Clause */
#include <ctype.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "symbol/name_distance.h"

/* Longer names are alike only if one holds the other. */
enum { MAX_LENGTH = 64 };

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned least = a < b ? a : b;

	return least < c ? least : c;
}

static unsigned levenshtein(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned row[MAX_LENGTH + 1];

	for (unsigned k = 0; k <= b_len; k++)
		row[k] = k;
	for (unsigned i = 1; i <= a_len; i++) {
		unsigned diagonal = row[0];

		row[0] = i;
		for (size_t k = 1; k <= b_len; k++) {
			unsigned above = row[k];
			bool differ = tolower((unsigned char)a[i - 1]) !=
			              tolower((unsigned char)b[k - 1]);

			row[k] = min3(above + 1, row[k - 1] + 1, diagonal + differ);
			diagonal = above;
		}
	}
	return row[b_len];
}

unsigned ptf_name_distance(const char *wanted, const char *name)
{
	size_t wanted_len = strlen(wanted), len = strlen(name);
	unsigned distance;

	if (strcasestr(name, wanted))
		return 0;
	if (wanted_len > MAX_LENGTH || len > MAX_LENGTH)
		return PTF_NAME_UNLIKE;
	distance = levenshtein(wanted, wanted_len, name, len);
	return distance * 3 > wanted_len + 2 ? PTF_NAME_UNLIKE : distance;
}

/* SPDX-License-Identifier: BSD-2-Clause */
#include "image/perf_map.h"

#include <stdbool.h>
#include <string.h>

void ptf_perf_map_init(struct ptf_perf_map *map, const void *text, size_t size)
{
	*map = (struct ptf_perf_map){.at = text, .end = (const char *)text + size};
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* A number and the blank behind it; NULL when there is none or it is too large. */
static const char *read_hex(const char *at, const char *end, uint64_t *value)
{
	const char *digits;

	if (end - at > 2 && at[0] == '0' && (at[1] == 'x' || at[1] == 'X'))
		at += 2;
	*value = 0;
	for (digits = at; at < end && hex_digit(*at) >= 0; at++) {
		if (*value >> 60)
			return NULL;
		*value = *value << 4 | (uint64_t)hex_digit(*at);
	}
	if (at == digits || at == end || *at != ' ')
		return NULL;
	while (at < end && *at == ' ')
		at++;
	return at;
}

static bool read_line(const char *at, const char *end, struct ptf_perf_map_entry *entry)
{
	at = read_hex(at, end, &entry->start);
	at = at ? read_hex(at, end, &entry->size) : NULL;
	if (!at)
		return false;
	if (end > at && end[-1] == '\r')
		end--;
	entry->name = at;
	entry->name_len = (size_t)(end - at);
	return entry->name_len > 0 && entry->size > 0 && entry->size <= UINT64_MAX - entry->start;
}

int ptf_perf_map_next(struct ptf_perf_map *map, struct ptf_perf_map_entry *entry)
{
	while (map->at < map->end) {
		const char *line = map->at;
		const char *end = memchr(line, '\n', (size_t)(map->end - line));

		if (!end)
			end = map->end;
		map->at = end < map->end ? end + 1 : end;
		if (read_line(line, end, entry))
			return 0;
		map->bad_lines += end > line;
	}
	return 1;
}

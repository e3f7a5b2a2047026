/* SPDX-License-Identifier: BSD-2-Clause */
#include "net/kv_resp.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>

#define MAX_LINE (64u << 10)

/* The line at *at without its line break; false: it has not ended yet. */
static bool next_line(const uint8_t *bytes, size_t size, size_t *at, struct kv_slice *line)
{
	const uint8_t *end = *at < size ? memchr(bytes + *at, '\n', size - *at) : NULL;

	if (!end)
		return false;
	line->bytes = bytes + *at;
	line->size = end - line->bytes;
	*at += line->size + 1;
	if (line->size && line->bytes[line->size - 1] == '\r')
		line->size--;
	return true;
}

bool kv_slice_number(struct kv_slice slice, int64_t *number)
{
	bool negative = slice.size && slice.bytes[0] == '-';
	uint32_t i = negative;
	int64_t value = 0;

	if (i >= slice.size || slice.size > 18)
		return false;
	for (; i < slice.size; i++) {
		if (slice.bytes[i] < '0' || slice.bytes[i] > '9')
			return false;
		value = value * 10 + (slice.bytes[i] - '0');
	}
	*number = negative ? -value : value;
	return true;
}

bool kv_slice_is(struct kv_slice slice, const char *word)
{
	return slice.size == strlen(word) &&
	       !strncasecmp((const char *)slice.bytes, word, slice.size);
}

static enum kv_resp_status bad(const char **why, const char *what)
{
	*why = what;
	return KV_RESP_BAD;
}

/* A line whose first byte is `mark` and whose rest is a number up to `limit`. */
static enum kv_resp_status parse_count(const uint8_t *bytes, size_t size, size_t *at, char mark,
        int64_t limit, int64_t *count, const char **why)
{
	struct kv_slice line;

	if (*at < size && bytes[*at] != mark)
		return bad(why, mark == '$' ? "expected '$'" : "expected '*'");
	if (!next_line(bytes, size, at, &line))
		return size - *at > 32 ? bad(why, "too long a length") : KV_RESP_MORE;
	line.bytes++;
	line.size--;
	if (!kv_slice_number(line, count) || *count < 0 || *count > limit)
		return bad(why, mark == '$' ? "invalid bulk length" : "invalid multibulk length");
	return KV_RESP_COMMAND;
}

static enum kv_resp_status parse_array(
        const uint8_t *bytes, size_t size, struct kv_args *args, size_t *used, const char **why)
{
	int64_t n, length;
	size_t at = 0;
	enum kv_resp_status status = parse_count(bytes, size, &at, '*', KV_RESP_MAX_ARGS, &n, why);

	for (int64_t i = 0; i < n && status == KV_RESP_COMMAND; i++) {
		status = parse_count(bytes, size, &at, '$', KV_RESP_MAX_BULK, &length, why);
		if (status != KV_RESP_COMMAND)
			return status;
		if (at + length > KV_RESP_MAX_REQUEST)
			return bad(why, "too large a request");
		if (size - at < (size_t)length + 2)
			return KV_RESP_MORE;
		if (bytes[at + length] != '\r' || bytes[at + length + 1] != '\n')
			return bad(why, "a bulk string does not end where it should");
		kv_vec_push(args, (struct kv_slice){bytes + at, length});
		at += length + 2;
	}
	*used = at;
	return status;
}

/* Words between blanks. Quoting is for programs, which send arrays. */
static enum kv_resp_status parse_inline(
        const uint8_t *bytes, size_t size, struct kv_args *args, size_t *used, const char **why)
{
	struct kv_slice line;
	size_t at = 0;

	if (!next_line(bytes, size, &at, &line))
		return size > MAX_LINE ? bad(why, "too big inline request") : KV_RESP_MORE;
	if (line.size > MAX_LINE)
		return bad(why, "too big inline request");
	for (uint32_t i = 0; i < line.size;) {
		uint32_t from;

		while (i < line.size && (line.bytes[i] == ' ' || line.bytes[i] == '\t'))
			i++;
		from = i;
		while (i < line.size && line.bytes[i] != ' ' && line.bytes[i] != '\t')
			i++;
		if (i > from)
			kv_vec_push(args, (struct kv_slice){line.bytes + from, i - from});
	}
	*used = at;
	return KV_RESP_COMMAND;
}

enum kv_resp_status kv_resp_parse(
        const uint8_t *bytes, size_t size, struct kv_args *args, size_t *used, const char **why)
{
	args->n = 0;
	if (!size)
		return KV_RESP_MORE;
	return bytes[0] == '*' ? parse_array(bytes, size, args, used, why)
	                       : parse_inline(bytes, size, args, used, why);
}

void kv_resp_simple(struct kv_buffer *out, const char *text)
{
	kv_buffer_add(out, "+", 1);
	kv_buffer_add(out, text, strlen(text));
	kv_buffer_add(out, "\r\n", 2);
}

void kv_resp_error(struct kv_buffer *out, const char *code, const char *message)
{
	kv_buffer_add(out, "-", 1);
	kv_buffer_add(out, code, strlen(code));
	kv_buffer_add(out, " ", 1);
	for (; *message; message++)
		kv_buffer_add(out, (unsigned char)*message < ' ' ? " " : message, 1);
	kv_buffer_add(out, "\r\n", 2);
}

static void add_number(struct kv_buffer *out, char mark, int64_t value)
{
	char text[32];

	kv_buffer_add(out, text, snprintf(text, sizeof(text), "%c%" PRId64 "\r\n", mark, value));
}

void kv_resp_integer(struct kv_buffer *out, int64_t value)
{
	add_number(out, ':', value);
}

void kv_resp_bulk(struct kv_buffer *out, const void *bytes, uint32_t size)
{
	add_number(out, '$', size);
	kv_buffer_add(out, bytes, size);
	kv_buffer_add(out, "\r\n", 2);
}

void kv_resp_null(struct kv_buffer *out)
{
	kv_buffer_add(out, "$-1\r\n", 5);
}

void kv_resp_array(struct kv_buffer *out, size_t n)
{
	add_number(out, '*', n);
}

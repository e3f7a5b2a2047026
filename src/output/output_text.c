/* SPDX-License-Identifier: BSD-2-Clause */
#include "output/output_text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

void ptf_text_release(struct ptf_text *text)
{
	ptf_vec_release(&text->bytes);
	text->failed = false;
}

void ptf_text_clear(struct ptf_text *text)
{
	text->bytes.n = 0;
}

void ptf_text_append(struct ptf_text *text, const char *bytes, size_t n)
{
	if (!ptf_vec_reserve(&text->bytes, n)) {
		text->failed = true;
		return;
	}
	if (n)
		memcpy(text->bytes.v + text->bytes.n, bytes, n);
	text->bytes.n += n;
}

void ptf_text_printf(struct ptf_text *text, const char *fmt, ...)
{
	char line[512];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	if (n < 0)
		text->failed = true;
	else
		ptf_text_append(
		        text, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

const char *ptf_text_string(struct ptf_text *text)
{
	if (text->failed || !ptf_vec_reserve(&text->bytes, 1)) {
		text->failed = true;
		return "";
	}
	text->bytes.v[text->bytes.n] = 0;
	return text->bytes.v;
}

/* Bytes of the UTF-8 character that starts with `first`, 0 when none does. */
static unsigned sequence_length(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first < 0xc2) /* continuation bytes, overlong forms */
		return 0;
	if (first < 0xe0)
		return 2;
	if (first < 0xf0)
		return 3;
	return first < 0xf5 ? 4 : 0;
}

/* Length of the valid character at s, its code point in *code; 0 when there is none. The
 * terminator of s is never passed: it is no continuation byte. */
static unsigned decode(const unsigned char *s, uint32_t *code)
{
	static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
	unsigned n = sequence_length(s[0]);

	if (n < 2) {
		*code = s[0];
		return n;
	}
	*code = s[0] & (0x7fu >> n);
	for (unsigned i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		*code = *code << 6 | (s[i] & 0x3f);
	}
	return *code >= smallest[n] && *code <= 0x10ffff ? n : 0;
}

static bool is_forbidden(uint32_t code)
{
	return (code >= 0xd800 && code < 0xe000) || (code & 0xfffe) == 0xfffe;
}

static bool is_control(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code < 0xa0) || code == 0x2028 || code == 0x2029;
}

static const char *xml_escape(uint32_t code)
{
	switch (code) {
	case '&':
		return "&amp;";
	case '<':
		return "&lt;";
	case '>':
		return "&gt;";
	case '"':
		return "&quot;";
	case '\'':
		return "&#39;";
	default:
		return NULL;
	}
}

enum style { CLEAN, FOLDED, XML };

/* What is written in place of a character, or NULL: itself. */
static const char *substitute(uint32_t code, enum style style)
{
	if (is_control(code))
		return "?";
	if (is_forbidden(code))
		return REPLACEMENT;
	if (style == FOLDED && code == ';')
		return ":";
	return style == XML ? xml_escape(code) : NULL;
}

static void append_name(struct ptf_text *text, const char *name, enum style style)
{
	const unsigned char *s = (const unsigned char *)name;

	while (*s) {
		uint32_t code;
		unsigned n = decode(s, &code);
		const char *instead = n ? substitute(code, style) : REPLACEMENT;

		if (instead)
			ptf_text_append(text, instead, strlen(instead));
		else
			ptf_text_append(text, (const char *)s, n);
		s += n ? n : 1;
	}
}

void ptf_text_append_clean(struct ptf_text *text, const char *name)
{
	append_name(text, name, CLEAN);
}

void ptf_text_append_folded(struct ptf_text *text, const char *name)
{
	append_name(text, name, FOLDED);
}

void ptf_text_append_xml(struct ptf_text *text, const char *name)
{
	append_name(text, name, XML);
}

void ptf_text_append_frame(struct ptf_text *text, const struct ptf_view_node *node, bool annotate,
        void (*append)(struct ptf_text *text, const char *name))
{
	append(text, node->name);
	if (!annotate || !node->function)
		return;
	ptf_text_printf(text, ":%" PRIu64 "(%" PRIu64 "),avg:", node->calls, node->partial_calls);
	if (node->times.total.count)
		ptf_text_printf(text, "%" PRIu64, ptf_latency_mean(&node->times.total));
	else
		ptf_text_append(text, "-", 1);
}

void ptf_text_append_grouped(struct ptf_text *text, uint64_t value)
{
	char digits[24];
	int n = snprintf(digits, sizeof(digits), "%" PRIu64, value);

	for (int i = 0; i < n; i++) {
		if (i && (n - i) % 3 == 0)
			ptf_text_append(text, ",", 1);
		ptf_text_append(text, &digits[i], 1);
	}
}

void ptf_text_append_duration(struct ptf_text *text, uint64_t ns)
{
	static const struct {
		double ns;
		const char *unit;
	} units[] = {{1e9, "s"}, {1e6, "ms"}, {1e3, "us"}};

	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		double value = (double)ns / units[i].ns;

		if (value < 1)
			continue;
		ptf_text_printf(text, "%.*f %s",
		        value < 10    ? 2
		        : value < 100 ? 1
		                      : 0,
		        value, units[i].unit);
		return;
	}
	ptf_text_printf(text, "%" PRIu64 " ns", ns);
}

static void append_note(struct ptf_text *text, size_t start, const char *note)
{
	if (text->bytes.n > start)
		ptf_text_append(text, "; ", 2);
	ptf_text_append(text, note, strlen(note));
}

void ptf_text_append_notes(struct ptf_text *text, const struct ptf_profile *profile)
{
	const struct ptf_profile_window *window = &profile->window;
	size_t start = text->bytes.n;

	if (window->simulated) {
		append_note(text, start, "simulated Intel PT");
		if (window->dilation > 0)
			ptf_text_printf(text, ", CPU time stretched %.1f times", window->dilation);
		else
			append_note(text, start, "dilation not measured");
	}
	if (!window->timed)
		append_note(text, start, "no timing packets, so no times");
	else if (!window->switches)
		append_note(text, start,
		        "no context-switch events: kernel and off-CPU time "
		        "are not told apart");
}

int ptf_output_finish(FILE *out, bool memory, struct ptf_error *err)
{
	errno = 0;
	if (fflush(out) != 0 || ferror(out))
		return ptf_error_set_errno(err, errno ? errno : EIO, "cannot write the output");
	return memory ? 0 : ptf_error_set(err, PTF_ENOMEM, "output: out of memory");
}

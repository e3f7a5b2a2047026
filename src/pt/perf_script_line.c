/* SPDX-License-Identifier: BSD-2-Clause */
#include "pt/perf_script_line.h"

#include <string.h>

/* perf pads an ip to 16 columns; text that happens to be shorter hexadecimal is rather a name. */
enum { MIN_IP_DIGITS = 5, MAX_IP_DIGITS = 16 };

/* ---- slices ---- */

static struct ptf_slice slice(const char *begin, const char *end)
{
	return (struct ptf_slice){begin, begin < end ? (size_t)(end - begin) : 0};
}

static const char *end_of(struct ptf_slice s)
{
	return s.text + s.len;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static struct ptf_slice trimmed(struct ptf_slice s)
{
	while (s.len && is_blank(s.text[0])) {
		s.text++;
		s.len--;
	}
	while (s.len && is_blank(s.text[s.len - 1]))
		s.len--;
	return s;
}

static bool equal(struct ptf_slice s, const char *text)
{
	return s.len && s.len == strlen(text) && memcmp(s.text, text, s.len) == 0;
}

static bool begins(struct ptf_slice s, const char *text)
{
	size_t len = strlen(text);

	return s.len && s.len >= len && memcmp(s.text, text, len) == 0;
}

/* Where `text` begins in s, or NULL. */
static const char *find(struct ptf_slice s, const char *text)
{
	return s.len ? memmem(s.text, s.len, text, strlen(text)) : NULL;
}

/* Takes the next word off s; len 0 at the end. */
static struct ptf_slice next_word(struct ptf_slice *s)
{
	const char *begin, *end;

	*s = trimmed(*s);
	begin = s->text;
	for (end = begin; end < end_of(*s) && !is_blank(*end); end++)
		;
	*s = slice(end, end_of(*s));
	return slice(begin, end);
}

/* ---- numbers ---- */

/* A whole word of decimal digits (at most 18). */
static bool decimal(struct ptf_slice s, uint64_t *value)
{
	uint64_t sum = 0;

	if (!s.len || s.len > 18)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		if (!is_digit(s.text[i]))
			return false;
		sum = 10 * sum + (uint64_t)(s.text[i] - '0');
	}
	*value = sum;
	return true;
}

/* A whole word that is a process, thread or CPU number; perf prints -1 for none, CPUs as "%03d". */
static bool id_number(struct ptf_slice s, int32_t *value)
{
	uint64_t sum;

	if (equal(s, "-1") || equal(s, "-01")) {
		*value = -1;
		return true;
	}
	if (!decimal(s, &sum) || sum > INT32_MAX)
		return false;
	*value = (int32_t)sum;
	return true;
}

static int hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A whole word of hexadecimal digits, as "%lx" prints it. */
static bool hexadecimal(struct ptf_slice s, uint64_t *value)
{
	uint64_t sum = 0;

	if (!s.len || s.len > MAX_IP_DIGITS)
		return false;
	for (size_t i = 0; i < s.len; i++) {
		int digit = hex_digit(s.text[i]);

		if (digit < 0)
			return false;
		sum = sum << 4 | (unsigned)digit;
	}
	*value = sum;
	return true;
}

/* "seconds.fraction", the fraction of up to 9 digits. */
static bool seconds(struct ptf_slice s, uint64_t *ns)
{
	const char *dot = s.len ? memchr(s.text, '.', s.len) : NULL;
	uint64_t whole, fraction;
	struct ptf_slice digits;

	if (!dot)
		return false;
	digits = slice(dot + 1, end_of(s));
	if (digits.len > 9 || !decimal(slice(s.text, dot), &whole) || !decimal(digits, &fraction) ||
	        whole > UINT64_MAX / 1000000000 - 1)
		return false;
	for (size_t i = digits.len; i < 9; i++)
		fraction *= 10;
	*ns = whole * 1000000000 + fraction;
	return true;
}

/* ---- flags ---- */

static const struct {
	const char *first, *second; /* words; second may be NULL */
	uint32_t flags;
} flag_names[] = {
        {"tr", "strt", PTF_BRANCH | PTF_BRANCH_BEGIN},
        {"tr", "end", PTF_BRANCH | PTF_BRANCH_END},
        {"hw", "int", PTF_BRANCH | PTF_BRANCH_CALL | PTF_BRANCH_ASYNC | PTF_BRANCH_INTERRUPT},
        {"tx", "abrt", PTF_BRANCH | PTF_BRANCH_TX_ABORT},
        {"call", NULL, PTF_BRANCH | PTF_BRANCH_CALL},
        {"return", NULL, PTF_BRANCH | PTF_BRANCH_RETURN},
        {"jcc", NULL, PTF_BRANCH | PTF_BRANCH_CONDITIONAL},
        {"jmp", NULL, PTF_BRANCH},
        {"int", NULL, PTF_BRANCH | PTF_BRANCH_CALL | PTF_BRANCH_INTERRUPT},
        {"iret", NULL, PTF_BRANCH | PTF_BRANCH_RETURN | PTF_BRANCH_INTERRUPT},
        {"syscall", NULL, PTF_BRANCH | PTF_BRANCH_CALL | PTF_BRANCH_SYSCALL},
        {"sysret", NULL, PTF_BRANCH | PTF_BRANCH_RETURN | PTF_BRANCH_SYSCALL},
        {"async", NULL, PTF_BRANCH | PTF_BRANCH_ASYNC},
        {"vmentry", NULL, PTF_BRANCH | PTF_BRANCH_CALL | PTF_BRANCH_VMENTRY},
        {"vmexit", NULL, PTF_BRANCH | PTF_BRANCH_CALL | PTF_BRANCH_VMEXIT},
};

/* Takes one name off s; 0 when none stands there. */
static uint32_t take_flag_name(struct ptf_slice *s)
{
	struct ptf_slice after_first = *s, after_second;
	struct ptf_slice first = next_word(&after_first), second;

	after_second = after_first;
	second = next_word(&after_second);
	for (size_t i = 0; i < sizeof(flag_names) / sizeof(flag_names[0]); i++) {
		if (!equal(first, flag_names[i].first))
			continue;
		if (!flag_names[i].second) {
			*s = after_first;
			return flag_names[i].flags;
		}
		if (equal(second, flag_names[i].second)) {
			*s = after_second;
			return flag_names[i].flags;
		}
	}
	return 0;
}

/* A combination without a name is printed by its letters, in this order: "bcyE". Words that are
 * hexadecimal, too, are taken for an ip unless an ip follows. */
static uint32_t take_flag_letters(struct ptf_slice *s)
{
	static const char letters[] = "bcrosyiABExgh";
	struct ptf_slice rest = *s, after;
	struct ptf_slice word = next_word(&rest), follows;
	uint32_t flags = 0;
	uint64_t ip;

	after = rest;
	follows = next_word(&after);
	if (!word.len || word.text[0] != 'b' || !hexadecimal(follows, &ip))
		return 0;
	for (size_t i = 0; i < word.len; i++) {
		const char *at = memchr(letters, word.text[i], sizeof(letters) - 1);

		if (!at)
			return 0;
		flags |= 1u << (at - letters);
	}
	*s = rest;
	return flags;
}

/* Takes all flags off s: names, then "(x)" (in newer perfs with more letters). */
static uint32_t take_flags(struct ptf_slice *s)
{
	uint32_t flags = 0, more;
	struct ptf_slice rest, word;

	while ((more = take_flag_name(s)))
		flags |= more;
	if (!flags)
		return take_flag_letters(s);
	rest = *s;
	word = next_word(&rest);
	if (word.len >= 2 && word.text[0] == '(' && word.text[word.len - 1] == ')') {
		if (find(word, "x"))
			flags |= PTF_BRANCH_IN_TX;
		*s = rest;
	}
	return flags;
}

/* ---- the head: who, where, when ---- */

/* "pid/tid" */
static bool take_pid_tid(struct ptf_perf_script_line *line, struct ptf_slice word)
{
	const char *slash = word.len ? memchr(word.text, '/', word.len) : NULL;

	return slash && id_number(slice(word.text, slash), &line->pid) &&
	       id_number(slice(slash + 1, end_of(word)), &line->tid);
}

static bool take_cpu(struct ptf_perf_script_line *line, struct ptf_slice word)
{
	return word.len > 2 && word.text[0] == '[' && word.text[word.len - 1] == ']' &&
	       id_number(slice(word.text + 1, end_of(word) - 1), &line->cpu);
}

/* The last word of s, which is taken off. */
static struct ptf_slice last_word(struct ptf_slice *s)
{
	const char *begin;

	*s = trimmed(*s);
	for (begin = end_of(*s); begin > s->text && !is_blank(begin[-1]); begin--)
		;
	return (struct ptf_slice){begin, (size_t)(s->text + s->len - begin)};
}

/* "comm pid/tid [cpu]", any of them absent; comm may contain blanks, so from the end. */
static void take_head(struct ptf_perf_script_line *line, struct ptf_slice head)
{
	struct ptf_slice word = last_word(&head);

	if (take_cpu(line, word)) {
		head = slice(head.text, word.text);
		word = last_word(&head);
	}
	if (take_pid_tid(line, word) || id_number(word, &line->tid))
		head = slice(head.text, word.text);
	line->comm = trimmed(head);
}

static bool is_time(struct ptf_slice word, uint64_t *ns)
{
	return word.len > 3 && word.text[word.len - 1] == ':' && is_digit(word.text[0]) &&
	       seconds(slice(word.text, end_of(word) - 1), ns);
}

/* "branches:uH:", "sched:sched_switch:" */
static bool is_event(struct ptf_slice word)
{
	uint64_t number;

	return word.len > 1 && word.text[word.len - 1] == ':' &&
	       !decimal(slice(word.text, end_of(word) - 1), &number);
}

/* Takes the head with its time off s; false when no time is printed. */
static bool take_timed_head(struct ptf_perf_script_line *line, struct ptf_slice *s)
{
	struct ptf_slice rest = *s;

	for (struct ptf_slice word = next_word(&rest); word.len; word = next_word(&rest)) {
		if (is_time(word, &line->time_ns)) {
			take_head(line, slice(s->text, word.text));
			*s = rest;
			return true;
		}
		if (equal(word, "=>"))
			return false;
	}
	return false;
}

/* Takes "comm pid/tid [cpu] period" off s, which ends where the event or the flags begin. With one
 * number it is the thread, with two the second is the period. Flags are known by their names: a
 * letter may be a comm. */
static bool take_untimed_head(struct ptf_perf_script_line *line, struct ptf_slice *s)
{
	struct ptf_slice rest = *s, at = *s, head, word, before;
	int32_t id;

	if (take_flag_name(&at)) /* nothing but the branch is printed */
		return find(*s, " => ");
	for (word = next_word(&rest); word.len; at = rest, word = next_word(&rest)) {
		struct ptf_slice flags = at;

		if (equal(word, "=>"))
			return false;
		if (is_event(word) || (word.text > s->text && take_flag_name(&flags)))
			break;
	}
	if (!word.len)
		return false;
	head = slice(s->text, word.text);
	*s = slice(word.text, end_of(*s));
	before = head;
	word = last_word(&before);
	before = slice(before.text, word.text);
	if (id_number(word, &id)) {
		struct ptf_slice thread = last_word(&before);
		struct ptf_perf_script_line scratch = *line;

		if (take_pid_tid(&scratch, thread) || take_cpu(&scratch, thread) ||
		        id_number(thread, &id))
			head = slice(head.text, word.text);
	}
	take_head(line, head);
	return line->tid >= 0 || line->pid >= 0;
}

/* ---- places ---- */

/* The '(' that the ')' at the end of s belongs to, or NULL. */
static const char *matching_bracket(struct ptf_slice s)
{
	int depth = 0;

	for (const char *at = end_of(s); at-- > s.text;) {
		depth += *at == ')';
		if (*at == '(' && --depth == 0)
			return at;
	}
	return NULL;
}

/* "name+0x1f" to name and offset; false when no offset stands there. */
static bool take_offset(struct ptf_slice *name, uint64_t *offset)
{
	const char *plus = name->len ? memrchr(name->text, '+', name->len) : NULL;
	struct ptf_slice tail;

	if (!plus)
		return false;
	tail = slice(plus, end_of(*name));
	if (!begins(tail, "+0x") || !hexadecimal(slice(plus + 3, end_of(*name)), offset))
		return false;
	*name = slice(name->text, plus);
	return true;
}

/* "sym+off (dso)", each part optional. With -F +dsoff the dso has an offset, too. */
static void take_symbol(struct ptf_script_place *place, struct ptf_slice s)
{
	const char *bracket;
	uint64_t dso_offset;

	s = trimmed(s);
	if (s.len && s.text[s.len - 1] == ')') {
		bracket = matching_bracket(s);
		if (bracket && (bracket == s.text || is_blank(bracket[-1]))) {
			place->dso = slice(bracket + 1, end_of(s) - 1);
			take_offset(&place->dso, &dso_offset);
			s = trimmed(slice(s.text, bracket));
		}
	}
	place->has_offset = take_offset(&s, &place->offset);
	place->symbol = s;
}

/* Is the word in front of `rest` the name (or address) that -F +callindent puts before the ip? A
 * symbol stands one blank behind its ip, the ip more behind such a name. */
static bool is_callindent(struct ptf_slice rest)
{
	bool apart = rest.len > 2 && is_blank(rest.text[0]) && is_blank(rest.text[1]);
	uint64_t ip;

	return apart && hexadecimal(next_word(&rest), &ip);
}

/* "ip sym+off (dso)" */
static bool take_place(struct ptf_script_place *place, struct ptf_slice s)
{
	struct ptf_slice rest = s;
	bool first = true;

	for (struct ptf_slice word = next_word(&rest); word.len; word = next_word(&rest)) {
		if ((first || word.len >= MIN_IP_DIGITS || equal(word, "0")) &&
		        hexadecimal(word, &place->ip) && !is_callindent(rest)) {
			take_symbol(place, rest);
			return true;
		}
		first = false;
	}
	return false;
}

/* ---- what may follow a branch ---- */

/* "IPC: 1.23 (instructions/cycles)" */
static uint32_t ipc_instructions(struct ptf_slice tail)
{
	const char *at = find(tail, "IPC:");
	struct ptf_slice rest, word;
	const char *slash;
	uint64_t count;

	if (!at)
		return 0;
	rest = slice(at, end_of(tail));
	next_word(&rest);
	next_word(&rest);
	word = next_word(&rest);
	slash = word.len ? memchr(word.text, '/', word.len) : NULL;
	if (!slash || word.text[0] != '(' || !decimal(slice(word.text + 1, slash), &count))
		return 0;
	return count <= UINT32_MAX ? (uint32_t)count : UINT32_MAX;
}

/* "ilen: 5" */
static uint8_t instruction_size(struct ptf_slice tail)
{
	const char *at = find(tail, "ilen:");
	struct ptf_slice rest;
	uint64_t size;

	if (!at)
		return 0;
	rest = slice(at, end_of(tail));
	next_word(&rest);
	return decimal(next_word(&rest), &size) && size <= 15 ? (uint8_t)size : 0;
}

/* Cuts s where the fields behind the branch target begin, and returns them. */
static struct ptf_slice cut_tail(struct ptf_slice *s)
{
	static const char *const starts[] = {"\t", " ilen: ", " insn: "};
	const char *cut = end_of(*s), *end = cut;

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		const char *at = find(*s, starts[i]);

		if (at && at < cut)
			cut = at;
	}
	*s = slice(s->text, cut);
	return slice(cut, end);
}

/* "flags ip sym+off (dso) => ip sym+off (dso)" */
static enum ptf_perf_script_kind parse_branch(
        struct ptf_perf_script_line *line, struct ptf_slice s, const char *arrow)
{
	struct ptf_slice from, to = slice(arrow + 4, end_of(s));
	struct ptf_slice tail = cut_tail(&to);

	from = slice(s.text, arrow);
	line->flags = take_flags(&from);
	if (!take_place(&line->from, from) || !take_place(&line->to, to))
		return PTF_SCRIPT_UNREADABLE;
	line->insns = ipc_instructions(tail);
	line->insn_size = instruction_size(tail);
	return line->flags ? PTF_SCRIPT_BRANCH : PTF_SCRIPT_INCOMPLETE;
}

/* ---- lines ---- */

/* "instruction trace error type 1 time 1.5 cpu -1 pid 7 tid 8 ip 0x1234 code 7: Overflow packet";
 * perf before 4.19 printed no time, and "time 0" where it knew none. */
static enum ptf_perf_script_kind parse_error(struct ptf_perf_script_line *line, struct ptf_slice s)
{
	uint64_t value;

	for (struct ptf_slice word = next_word(&s); word.len; word = next_word(&s)) {
		struct ptf_slice rest = s, number = next_word(&rest);

		if (equal(word, "time")) {
			if (seconds(number, &value) && value)
				line->time_ns = value;
		} else if (equal(word, "cpu")) {
			id_number(number, &line->cpu);
		} else if (equal(word, "pid")) {
			id_number(number, &line->pid);
		} else if (equal(word, "tid")) {
			id_number(number, &line->tid);
		} else if (equal(word, "ip") && begins(number, "0x")) {
			hexadecimal(slice(number.text + 2, end_of(number)), &line->from.ip);
		} else if (equal(word, "code")) {
			if (number.len && decimal(slice(number.text, end_of(number) - 1), &value))
				line->error = (uint32_t)value;
			return PTF_SCRIPT_ERROR;
		}
	}
	return PTF_SCRIPT_UNREADABLE;
}

/* What follows the head: "period event: ..." */
static enum ptf_perf_script_kind parse_sample(struct ptf_perf_script_line *line, struct ptf_slice s)
{
	struct ptf_slice rest = s, word = next_word(&rest);
	const char *arrow;
	uint64_t period;

	if (decimal(word, &period)) {
		struct ptf_slice after = rest;
		struct ptf_slice flags = rest;

		/* An ip without letters looks like a period: only before an event or flags it is
		 * one. */
		if (is_event(next_word(&after)) || take_flags(&flags))
			s = rest;
		rest = s;
		word = next_word(&rest);
	}
	if (is_event(word)) {
		if (!begins(word, "branches"))
			return PTF_SCRIPT_EVENT;
		s = rest;
	}
	arrow = find(s, " => ");
	if (arrow)
		return parse_branch(line, s, arrow);
	/* Branches that were sampled, not decoded, have no flags. */
	return take_flags(&s) ? PTF_SCRIPT_INCOMPLETE : PTF_SCRIPT_EVENT;
}

static enum ptf_perf_script_kind parse(struct ptf_perf_script_line *line, struct ptf_slice s)
{
	bool indented = s.len && is_blank(s.text[0]);
	static const char error[] = "instruction trace error ";
	enum ptf_perf_script_kind unreadable =
	        indented ? PTF_SCRIPT_INDENTED : PTF_SCRIPT_UNREADABLE;

	s = trimmed(s);
	if (!s.len || s.text[0] == '#')
		return PTF_SCRIPT_BLANK;
	if (begins(s, error))
		return parse_error(line, slice(s.text + sizeof(error) - 1, end_of(s)));
	if (take_timed_head(line, &s) || take_untimed_head(line, &s))
		return parse_sample(line, s);
	return unreadable;
}

void ptf_perf_script_line_parse(struct ptf_perf_script_line *line, const char *text, size_t len)
{
	*line = (struct ptf_perf_script_line){
	        .pid = -1, .tid = -1, .cpu = -1, .time_ns = UINT64_MAX};
	line->kind = parse(line, (struct ptf_slice){text, len});
}

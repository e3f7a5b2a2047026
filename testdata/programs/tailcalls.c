/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Functions that leave by a jump: a chain through a table of function pointers, two functions that
 * jump to each other, and a tail call into libc (through the PLT when linked dynamically).
 */
#include <string.h>

#include "program.h"

struct state;
typedef unsigned step_fn(struct state *s);

struct state {
	unsigned left, sum;
	step_fn *const *table;
};

COUNTER(chain_start);
COUNTER(chain_add);
COUNTER(chain_mul);
COUNTER(chain_rotate);
COUNTER(is_even);
COUNTER(is_odd);
COUNTER(length_of);

/* The jump of all three: an indirect tail call to the next function of the table. */
#define NEXT(s) ((s)->table[(s)->sum % 3]((s)))

TRACED static unsigned chain_add(struct state *s)
{
	ENTER(chain_add);
	s->sum += 7;
	if (s->left-- == 0)
		return s->sum;
	return NEXT(s);
}

TRACED static unsigned chain_mul(struct state *s)
{
	ENTER(chain_mul);
	s->sum = s->sum * 31 + 1;
	if (s->left-- == 0)
		return s->sum;
	return NEXT(s);
}

TRACED static unsigned chain_rotate(struct state *s)
{
	ENTER(chain_rotate);
	s->sum = s->sum << 5 | s->sum >> 27;
	if (s->left-- == 0)
		return s->sum;
	return NEXT(s);
}

TRACED static unsigned chain_start(struct state *s, unsigned length)
{
	ENTER(chain_start);
	s->left = length;
	return NEXT(s);
}

static int is_odd(unsigned n);

TRACED static int is_even(unsigned n)
{
	ENTER(is_even);
	return n == 0 ? 1 : is_odd(n - 1);
}

TRACED static int is_odd(unsigned n)
{
	ENTER(is_odd);
	return n == 0 ? 0 : is_even(n - 1);
}

TRACED static size_t length_of(const char *s)
{
	ENTER(length_of);
	return strlen(s);
}

int main(void)
{
	static step_fn *const table[] = {chain_add, chain_mul, chain_rotate};
	struct state s = {.sum = 1, .table = table};
	unsigned result = 0;

	for (unsigned i = 0; i < 200; i++)
		result += chain_start(&s, i) + (unsigned)is_even(i) +
		          (unsigned)length_of("tail call");
	marker();
	printf("result %u\n", result);
	PRINT_PATH("main;marker", 1);
	PRINT_CALLS(chain_start);
	PRINT_CALLS(chain_add);
	PRINT_CALLS(chain_mul);
	PRINT_CALLS(chain_rotate);
	PRINT_CALLS(is_even);
	PRINT_CALLS(is_odd);
	PRINT_CALLS(length_of);
	PRINT_THREADS(1);
	return 0;
}

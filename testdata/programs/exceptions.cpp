// SPDX-License-Identifier: BSD-2-Clause
// C++ exceptions that unwind through frames with destructors, are thrown again, and come out of the
// standard library; of recursive functions, each frame of which has something to do; out of a
// function that must not throw. Virtual calls.
#include <csetjmp>
#include <exception>
#include <stdexcept>
#include <vector>

extern "C" {
#include "program.h"
}

COUNTER(thrower);
COUNTER(passes_through);
COUNTER(throws_again);
COUNTER(catches);
COUNTER(catches_range);
COUNTER(guard_leave);
COUNTER(shape_area);
COUNTER(cleans_up);
COUNTER(rethrows);
COUNTER(must_not_throw);
COUNTER(on_terminate);
COUNTER(survives);

extern "C" {
TRACED static void guard_leave(int *p)
{
	ENTER(guard_leave);
	++*p;
}

TRACED static int shape_area(int a, int b)
{
	ENTER(shape_area);
	return a * b;
}
}

namespace
{

struct Guard {
	int *left;
	explicit Guard(int *p) : left(p)
	{
	}
	~Guard()
	{
		guard_leave(left);
	}
};

struct Mark {
	~Mark()
	{
		marker();
	}
};

struct Shape {
	virtual ~Shape() = default;
	virtual int area(int n) const = 0;
};

struct Square : Shape {
	TRACED int area(int n) const override
	{
		int r = shape_area(n, n);
		KEEP(r);
		return r;
	}
};

struct Strip : Shape {
	TRACED int area(int n) const override
	{
		int r = shape_area(n, 2);
		KEEP(r);
		return r;
	}
};

} // namespace

extern "C" {

TRACED static void thrower(int n)
{
	ENTER(thrower);
	if (n % 3 != 0)
		throw n;
	throw std::runtime_error("third");
}

TRACED static void passes_through(int n, int depth, int *left)
{
	ENTER(passes_through);
	Guard guard(left);
	if (depth == 0)
		thrower(n);
	else
		passes_through(n, depth - 1, left);
}

TRACED static void throws_again(int n, int *left)
{
	ENTER(throws_again);
	try {
		passes_through(n, 4, left);
	} catch (const std::runtime_error &) {
		throw;
	}
}

TRACED static int catches(int n, int *left)
{
	ENTER(catches);
	try {
		throws_again(n, left);
	} catch (int value) {
		return value;
	} catch (const std::exception &) {
		return -1;
	}
	return 0;
}

TRACED static int catches_range(const std::vector<int> &v, size_t i)
{
	ENTER(catches_range);
	try {
		return v.at(i);
	} catch (const std::out_of_range &) {
		return -2;
	}
}
}

namespace
{

std::jmp_buf terminated;

} // namespace

extern "C" {

/* Its destructor runs once in each frame, when the frame is the innermost one. */
TRACED static void cleans_up(int depth)
{
	ENTER(cleans_up);
	Mark mark;
	if (depth == 0)
		throw depth;
	cleans_up(depth - 1);
	KEEP(depth);
}

TRACED static void rethrows(int depth)
{
	ENTER(rethrows);
	try {
		if (depth == 0)
			throw depth;
		rethrows(depth - 1);
	} catch (int) {
		marker();
		throw;
	}
}

TRACED static void must_not_throw(int n) noexcept
{
	ENTER(must_not_throw);
	thrower(n);
	KEEP(n);
}

TRACED static void on_terminate()
{
	ENTER(on_terminate);
	std::longjmp(terminated, 1);
}

TRACED static void survives()
{
	ENTER(survives);
	std::set_terminate(on_terminate);
	if (setjmp(terminated) == 0)
		must_not_throw(1);
	marker();
	__asm__ volatile("");
}

TRACED static void swallow(void (*f)(int), int depth)
{
	try {
		f(depth);
	} catch (int) {
	}
}
}

int main()
{
	const Square square;
	const Strip strip;
	const Shape *const shapes[] = {&square, &strip};
	std::vector<int> v = {1, 2, 3};
	int left = 0, sum = 0;

	for (int i = 0; i < 30; i++) {
		const Shape *shape = shapes[i % 2];
		KEEP(shape);
		sum += catches(i, &left) + catches_range(v, (size_t)i % 5) + shape->area(i);
	}
	swallow(cleans_up, 3);
	swallow(rethrows, 2);
	survives();
	marker();
	printf("result %d %d\n", sum, left);
	PRINT_PATH("main;marker", 1);
	PRINT_PATH("main;survives;marker", 1);
	PRINT_PATH("main;swallow;cleans_up;marker", 1);
	PRINT_PATH("main;swallow;cleans_up;cleans_up;marker", 1);
	PRINT_PATH("main;swallow;cleans_up;cleans_up;cleans_up;marker", 1);
	PRINT_PATH("main;swallow;cleans_up;cleans_up;cleans_up;cleans_up;marker", 1);
	PRINT_PATH("main;swallow;rethrows;marker", 1);
	PRINT_PATH("main;swallow;rethrows;rethrows;marker", 1);
	PRINT_PATH("main;swallow;rethrows;rethrows;rethrows;marker", 1);
	PRINT_CALLS(catches);
	PRINT_CALLS(throws_again);
	PRINT_CALLS(passes_through);
	PRINT_CALLS(thrower);
	PRINT_CALLS(guard_leave);
	PRINT_CALLS(catches_range);
	PRINT_CALLS(shape_area);
	PRINT_CALLS(cleans_up);
	PRINT_CALLS(rethrows);
	PRINT_CALLS(must_not_throw);
	PRINT_CALLS(on_terminate);
	PRINT_CALLS(survives);
	PRINT_THREADS(1);
	return 0;
}

// SPDX-License-Identifier: BSD-2-Clause
// C++ exceptions that unwind through frames with destructors, are thrown again, and come out of the
// standard library; virtual calls.
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
	printf("result %d %d\n", sum, left);
	PRINT_CALLS(catches);
	PRINT_CALLS(throws_again);
	PRINT_CALLS(passes_through);
	PRINT_CALLS(thrower);
	PRINT_CALLS(guard_leave);
	PRINT_CALLS(catches_range);
	PRINT_CALLS(shape_area);
	PRINT_THREADS(1);
	return 0;
}

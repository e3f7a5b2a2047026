/* SPDX-License-Identifier: BSD-2-Clause */
/* The other one: its code is not where the first one's is. */
int other_plugin_run(int n, void (*mark)(void));

__attribute__((noipa)) static int other_plugin_last(int n, void (*mark)(void))
{
	mark();
	return n + 1;
}

/* Ends in a jump. */
__attribute__((noipa)) int other_plugin_run(int n, void (*mark)(void))
{
	return other_plugin_last(n * 3, mark);
}

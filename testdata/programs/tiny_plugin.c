/* SPDX-License-Identifier: BSD-2-Clause */
/* One of the libraries that plugins.c loads and unloads. */
int tiny_plugin_run(int n, void (*mark)(void));

__attribute__((noipa)) static int tiny_plugin_helper(int n)
{
	return n * 5 + 1;
}

__attribute__((noipa)) int tiny_plugin_run(int n, void (*mark)(void))
{
	int sum = 0;

	for (int i = 0; i < 3; i++)
		sum += tiny_plugin_helper(n + i);
	mark();
	return sum;
}

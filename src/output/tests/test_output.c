/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "output/output_formats.h"
#include "output/output_text.h"
#include "profile/tests/sample_profile.h"

/* What a format writes, terminated, to be freed; *size may be NULL. */
static char *write_to_memory(const struct ptf_output_format *format,
        const struct ptf_profile *profile, struct ptf_output_options options, size_t *size)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	assert_int_equal(format->write(profile, &options, out, NULL), 0);
	fclose(out);
	if (size)
		*size = len;
	return text;
}

static void assert_folded(
        const struct ptf_profile *profile, struct ptf_output_options options, const char *expected)
{
	char *text = write_to_memory(&ptf_output_folded, profile, options, NULL);

	assert_string_equal(text, expected);
	free(text);
}

static void folded_prints_every_path_with_a_value(void **state)
{
	struct ptf_profile *profile = sample_profile_full();

	profile->n_threads = 2; /* without "main" of :200, to begin with the labels in question */
	assert_folded(profile, (struct ptf_output_options){.view = {.weight = PTF_WEIGHT_ON}},
	        "io?thd;a<b>&\"':x 21\n"
	        "io?thd;bad\xef\xbf\xbd\xef\xbf\xbd(???]]> 22\n"
	        "io?thd;gr\xc3\xbc\xc3\x9f\xe2\x82\xac\xf0\x9f\x94\xa5 23\n"
	        "kv:node;[unknown] 5\n"
	        "kv:node;main 7\n"
	        "kv:node;main;serve 1200\n"
	        "kv:node;main;serve;__libc_read 100\n"
	        "kv:node;main;serve;__libc_read;[filtered] 101\n");
	profile->n_threads = 3;
	ptf_profile_destroy(profile);
}

static void folded_draws_kernel_and_off_under_the_user_stack(void **state)
{
	struct ptf_profile *profile = sample_profile_full();

	assert_folded(profile, (struct ptf_output_options){.view = {.weight = PTF_WEIGHT_KERNEL}},
	        "kv:node;main;[app+0x1a30];[kernel]_[k] 11\n"
	        "kv:node;main;serve;__libc_read 105\n"
	        "kv:node;main;serve;__libc_read;[interrupt]_[k] 103\n"
	        "kv:node;main;serve;__libc_read;[kernel]_[k] 104\n"
	        "kv:node;main;serve;__libc_read;syscall:read_[k] 102\n");
	ptf_profile_destroy(profile);
}

static void folded_counts_calls_of_exactly_a_path(void **state)
{
	struct ptf_profile *profile = sample_profile_full();

	assert_folded(profile, (struct ptf_output_options){.view = {.weight = PTF_WEIGHT_CALLS}},
	        "io?thd;never_timed 2\n"
	        "kv:node;main 1\n"
	        "kv:node;main;serve 3\n");
	ptf_profile_destroy(profile);
}

static void folded_annotates_frames(void **state)
{
	struct ptf_profile *profile = sample_profile_full();
	struct ptf_output_options options = {.view = {.by = PTF_BY_THREAD}, .annotate = true};
	char *text = write_to_memory(&ptf_output_folded, profile, options, NULL);

	assert_non_null(strstr(text, "\nkv:node-100/100;main:1(1),avg:- 7\n"));
	assert_non_null(
	        strstr(text, "\nkv:node-100/100;main:1(1),avg:-;serve:3(0),avg:400 1200\n"));
	assert_non_null(strstr(text, ";__libc_read:0(0),avg:-;syscall:read_[k] 102\n"));
	free(text);
	ptf_profile_destroy(profile);
}

static void folded_sum_is_the_wall_clock(void **state)
{
	struct ptf_profile *profile = sample_profile_full();
	char *text =
	        write_to_memory(&ptf_output_folded, profile, (struct ptf_output_options){0}, NULL);
	char *rest = text, *line;
	uint64_t sum = 0, wall = 0;

	while ((line = strsep(&rest, "\n")) && *line)
		sum += strtoull(strrchr(line, ' '), NULL, 10);
	for (size_t i = 0; i < profile->n_threads; i++)
		wall += profile->threads[i].end_ns - profile->threads[i].start_ns;
	assert_true(wall > 0);
	assert_int_equal(sum, wall);
	free(text);
	ptf_profile_destroy(profile);
}

static void deep_stacks_are_written(void **state)
{
	enum { DEPTH = 100000 };
	struct ptf_profile *profile = sample_profile_deep(DEPTH);
	size_t size;
	char *text =
	        write_to_memory(&ptf_output_folded, profile, (struct ptf_output_options){0}, &size);

	assert_int_equal(
	        size, strlen("deep;f 10\n") + strlen("deep") + 2 * DEPTH + strlen(" 1000\n"));
	assert_memory_equal(text, "deep;f 10\ndeep;f;f;", 19);
	free(text);
	text = write_to_memory(&ptf_output_svg, profile, (struct ptf_output_options){0}, &size);
	assert_string_equal(text + size - 7, "</svg>\n");
	free(text);
	text = write_to_memory(&ptf_output_json, profile, (struct ptf_output_options){0}, &size);
	free(text);
	ptf_profile_destroy(profile);
}

/* Every path names its frames, but no more of them than anybody reads. */
static void deep_paths_are_cut(void **state)
{
	enum { DEPTH = 3000, MOST = 1000 };
	struct ptf_profile *profile = sample_profile_deep(DEPTH);
	char *text = write_to_memory(
	        &ptf_output_json, profile, (struct ptf_output_options){.paths = true}, NULL);
	json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *path;
	size_t i;

	assert_non_null(json);
	free(text);
	assert_int_equal(json_array_size(json_object_get(json, "paths")), DEPTH);
	json_array_foreach(json_object_get(json, "paths"), i, path)
	{
		size_t frames = json_array_size(json_object_get(path, "stack"));

		assert_int_equal(json_integer_value(json_object_get(path, "depth")), i + 1);
		assert_int_equal(frames, i + 1 < MOST ? i + 1 : MOST);
	}
	json_decref(json);
	ptf_profile_destroy(profile);
}

/* The function of a name in the JSON's list (borrowed). */
static json_t *json_function(json_t *json, const char *name)
{
	json_t *item;
	size_t i;

	json_array_foreach(json_object_get(json, "functions"), i, item)
	{
		if (!strcmp(json_string_value(json_object_get(item, "name")), name))
			return item;
	}
	fail_msg("no function %s", name);
	return NULL;
}

static json_t *write_json(const struct ptf_profile *profile)
{
	char *text =
	        write_to_memory(&ptf_output_json, profile, (struct ptf_output_options){0}, NULL);
	json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);

	assert_non_null(json);
	free(text);
	return json;
}

static void assert_number(json_t *object, const char *key, long long value)
{
	json_t *number = json_object_get(object, key);

	if (!json_is_integer(number) || json_integer_value(number) != value)
		fail_msg("%s is %lld, not %lld", key, json_integer_value(number), value);
}

static void json_has_counts_times_and_percentiles(void **state)
{
	struct ptf_profile *profile = sample_profile_full();
	json_t *json = write_json(profile), *f = json_function(json, "serve"), *window;
	uint64_t off = 0;

	assert_number(f, "calls", 3);
	assert_number(f, "jump_calls", 1);
	assert_number(f, "timed_calls", 3);
	assert_number(f, "instructions", 99);
	assert_number(f, "on_self_ns", 1200);
	assert_number(f, "self_ns", 1200);
	assert_number(f, "min_ns", 300);
	assert_number(f, "avg_ns", 400);
	assert_number(f, "p999_ns", 500);
	assert_number(f, "max_ns", 500);
	assert_number(f, "avg_on_ns", 267);
	assert_number(f, "avg_kernel_ns", 117);
	assert_number(f, "avg_off_ns", 17);
	assert_number(f, "p50_kernel_ns", 0);
	assert_number(f, "p999_kernel_ns", 350);
	assert_number(f, "p90_off_ns", 50);
	assert_number(f, "p50_on_ns", 300);
	f = json_function(json, "main");
	assert_number(f, "partial_calls", 1);
	assert_true(json_is_null(json_object_get(f, "avg_ns")));
	assert_true(json_is_null(json_object_get(f, "p50_ns")));
	f = json_function(json, "__libc_read");
	for (unsigned i = PTF_TIME_OFF; i < PTF_TIME_CLASSES; i++)
		off += 100 + i;
	assert_number(f, "off_self_ns", (long long)off);
	assert_number(f, "kernel_self_ns", 102 + 103 + 104 + 105);
	assert_number(f, "lost_self_ns", 100 + PTF_TIME_LOST);
	f = json_function(json, "serve");
	assert_number(f, "off_total_ns", (long long)off);
	assert_number(f, "kernel_total_ns", 102 + 103 + 104 + 105);
	assert_number(f, "lost_total_ns", 100 + PTF_TIME_LOST);
	assert_number(f, "on_total_ns", 1200 + 100 + 101);
	assert_number(f, "total_ns", 1401 + 414 + (long long)off + 100 + PTF_TIME_LOST);
	f = json_function(json, "[app+0x1a30]");
	assert_string_equal(json_string_value(json_object_get(f, "address")), "0x1a30");
	assert_string_equal(json_string_value(json_object_get(f, "module")), "/usr/bin/app");
	window = json_object_get(json, "window");
	assert_true(json_is_true(json_object_get(window, "simulated")));
	assert_true(json_real_value(json_object_get(window, "dilation")) == 9.5);
	json_decref(json);
	ptf_profile_destroy(profile);
}

static void json_without_timing_has_no_times(void **state)
{
	struct ptf_profile *profile = sample_profile_full();
	const char *key;
	json_t *json, *value;

	profile->window.timed = false;
	json = write_json(profile);
	json_object_foreach(json_function(json, "serve"), key, value)
	{
		size_t len = strlen(key);

		if (len > 3 && !strcmp(key + len - 3, "_ns"))
			assert_true(json_is_null(value));
		else
			assert_false(json_is_null(value));
	}
	json_object_foreach(json_array_get(json_object_get(json, "threads"), 0), key, value)
	        assert_int_equal(json_is_null(value), strstr(key, "_ns") != NULL);
	assert_true(
	        json_is_null(json_object_get(json_object_get(json, "window"), "resolution_ns")));
	json_decref(json);
	ptf_profile_destroy(profile);
}

static void svg_says_what_the_numbers_are(void **state)
{
	struct ptf_profile *profile = sample_profile_full();
	char *text =
	        write_to_memory(&ptf_output_svg, profile, (struct ptf_output_options){0}, NULL);

	assert_non_null(strstr(text, "simulated Intel PT, CPU time stretched 9.5 times"));
	assert_non_null(strstr(text, "Wall-Clock Flame Graph"));
	assert_non_null(strstr(text, "<title>a&lt;b&gt;&amp;&quot;&#39;;x\n21 ns, "));
	assert_non_null(strstr(text, "3 calls, avg 400 ns, p99 500 ns"));
	free(text);
	profile->window.timed = false;
	text = write_to_memory(&ptf_output_svg, profile, (struct ptf_output_options){0}, NULL);
	assert_non_null(strstr(text, "instructions are shown in place of time"));
	free(text);
	ptf_profile_destroy(profile);
}

static void empty_profiles_are_written(void **state)
{
	struct ptf_profile *profile = sample_profile_make(0);

	assert_folded(profile, (struct ptf_output_options){0}, "");
	for (size_t i = 0; ptf_output_formats[i]; i++)
		free(write_to_memory(
		        ptf_output_formats[i], profile, (struct ptf_output_options){0}, NULL));
	ptf_profile_destroy(profile);
}

static void table_lists_the_slowest_first(void **state)
{
	struct ptf_profile *profile = sample_profile_full();
	struct ptf_output_options options = {.top = 2};
	char *text = write_to_memory(&ptf_output_table, profile, options, NULL);
	const char *read = strstr(text, " __libc_read\n"), *serve = strstr(text, " serve\n");

	assert_true(read && serve && read < serve);
	assert_null(strstr(text, " main\n"));
	assert_non_null(strstr(text, "more functions)"));
	assert_non_null(strstr(text, "simulated"));
	free(text);
	ptf_profile_destroy(profile);
}

static void full_disks_are_errors(void **state)
{
	struct ptf_profile *profile = sample_profile_full();
	struct ptf_output_options options = {0};

	for (size_t i = 0; ptf_output_formats[i]; i++) {
		FILE *out = fopen("/dev/full", "w");
		struct ptf_error err = {0};

		assert_non_null(out);
		assert_int_equal(
		        ptf_output_formats[i]->write(profile, &options, out, &err), -PTF_EIO);
		assert_non_null(strstr(err.msg, "No space left"));
		fclose(out);
	}
	ptf_profile_destroy(profile);
}

static void formats_are_found(void **state)
{
	assert_ptr_equal(ptf_output_format_find("json"), &ptf_output_json);
	assert_null(ptf_output_format_find("jso"));
	assert_ptr_equal(ptf_output_format_of_file("/tmp/a.b.SVG"), &ptf_output_svg);
	assert_ptr_equal(ptf_output_format_of_file("x.folded"), &ptf_output_folded);
	assert_ptr_equal(ptf_output_format_of_file("out.txt"), &ptf_output_folded);
	assert_null(ptf_output_format_of_file("x.json.gz"));
	assert_null(ptf_output_format_of_file(".svg"));
	assert_ptr_equal(ptf_output_formats[0], &ptf_output_folded);
}

static void assert_clean(const char *name, const char *expected)
{
	struct ptf_text text = {0};

	ptf_text_append_clean(&text, name);
	assert_string_equal(ptf_text_string(&text), expected);
	ptf_text_release(&text);
}

static void bad_utf8_is_replaced(void **state)
{
	assert_clean("", "");
	assert_clean("\xc3", "\xef\xbf\xbd");                   /* cut short */
	assert_clean("\xe2\x82z", "\xef\xbf\xbd\xef\xbf\xbdz"); /* cut short, goes on */
	assert_clean("\xc0\xaf", "\xef\xbf\xbd\xef\xbf\xbd");   /* overlong '/' */
	assert_clean("\xe0\x80\xaf", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"); /* overlong */
	assert_clean("\xed\xa0\x80x", "\xef\xbf\xbdx");                       /* a surrogate */
	assert_clean("\xef\xbf\xbe", "\xef\xbf\xbd");                         /* U+FFFE */
	assert_clean("\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
	assert_clean("\xc2\x85\x7f\xe2\x80\xa8", "???"); /* line ends, DEL */
	assert_clean("\xf0\x9f\x94\xa5", "\xf0\x9f\x94\xa5");
}

static void numbers_are_readable(void **state)
{
	static const struct {
		uint64_t value;
		const char *grouped, *duration;
	} cases[] = {
	        {0, "0", "0 ns"},
	        {999, "999", "999 ns"},
	        {1000, "1,000", "1.00 us"},
	        {12345678, "12,345,678", "12.3 ms"},
	        {UINT64_MAX, "18,446,744,073,709,551,615", "18446744074 s"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		struct ptf_text text = {0};

		ptf_text_append_grouped(&text, cases[i].value);
		assert_string_equal(ptf_text_string(&text), cases[i].grouped);
		ptf_text_clear(&text);
		ptf_text_append_duration(&text, cases[i].value);
		assert_string_equal(ptf_text_string(&text), cases[i].duration);
		ptf_text_release(&text);
	}
	assert_int_equal(ptf_mean(10, 4), 3);
	assert_int_equal(ptf_mean(10, 3), 3);
	assert_int_equal(ptf_mean(11, 3), 4);
	assert_int_equal(ptf_mean(7, 0), 0);
	assert_true(ptf_mean(UINT64_MAX, 1) == UINT64_MAX);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	        cmocka_unit_test(folded_prints_every_path_with_a_value),
	        cmocka_unit_test(folded_draws_kernel_and_off_under_the_user_stack),
	        cmocka_unit_test(folded_counts_calls_of_exactly_a_path),
	        cmocka_unit_test(folded_annotates_frames),
	        cmocka_unit_test(folded_sum_is_the_wall_clock),
	        cmocka_unit_test(deep_stacks_are_written),
	        cmocka_unit_test(deep_paths_are_cut),
	        cmocka_unit_test(json_has_counts_times_and_percentiles),
	        cmocka_unit_test(json_without_timing_has_no_times),
	        cmocka_unit_test(svg_says_what_the_numbers_are),
	        cmocka_unit_test(empty_profiles_are_written),
	        cmocka_unit_test(table_lists_the_slowest_first),
	        cmocka_unit_test(full_disks_are_errors),
	        cmocka_unit_test(formats_are_found),
	        cmocka_unit_test(bad_utf8_is_replaced),
	        cmocka_unit_test(numbers_are_readable),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

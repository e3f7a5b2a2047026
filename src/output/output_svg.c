/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * SVG flame graph: a picture as it stands, with search and zoom where scripts run. Frames grow
 * upwards from "all"; widths are exact shares of the total. Style and script are flamegraph/.
 */
#include <inttypes.h>
#include <string.h>

#include "base/hash_map.h"
#include "output/output_formats.h"
#include "output/output_text.h"

extern const char ptf_embed_flame_js[], ptf_embed_flame_css[];

/* Pixels; the text width is what flamegraph.pl assumes for Verdana. */
enum { WIDTH = 1200, MARGIN = 10, FRAME_HEIGHT = 16, TOP = 86, BOTTOM = 34, TEXT_PADDING = 3 };
#define GRAPH_WIDTH ((double)(WIDTH - 2 * MARGIN))
#define CHAR_WIDTH (12 * 0.59)
#define SMALLEST_FRAME 0.1 /* px: what is narrower cannot be seen */

/* Colours of a kind: a base, and how far a function's own colour may be from it. */
static const struct {
	unsigned char base[3], range[3];
	const char *legend; /* NULL: not in it */
} colours[] = {
        [PTF_VIEW_ROOT] = {{232, 230, 222}, {0, 0, 0}, NULL},
        [PTF_VIEW_LABEL] = {{220, 214, 196}, {0, 0, 0}, NULL},
        [PTF_VIEW_USER] = {{240, 170, 60}, {15, 60, 60}, "user code"},
        [PTF_VIEW_FILTERED] = {{226, 205, 160}, {0, 0, 0}, "filtered out"},
        [PTF_VIEW_KERNEL] = {{226, 80, 40}, {20, 28, 24}, "kernel"},
        [PTF_VIEW_OFF] = {{92, 146, 216}, {40, 36, 28}, "off-CPU"},
        [PTF_VIEW_LOST] = {{152, 152, 152}, {0, 0, 0}, "lost"},
};
enum { KINDS = sizeof(colours) / sizeof(*colours) };

/* A node on the path to the present one. */
struct step {
	const struct ptf_view_node *node;
	uint64_t x; /* where it begins, in the weight's unit */
};

struct picture {
	const struct ptf_profile *profile;
	const struct ptf_output_options *options;
	struct ptf_profile_view view;
	FILE *out;
	PTF_VEC(struct step) path;
	struct ptf_text text; /* scratch */
	struct ptf_text name; /* scratch */
	uint64_t sums[KINDS]; /* of self, by kind */
	unsigned height;      /* px */
	bool failed;          /* out of memory */
};

static double share(const struct picture *p, uint64_t value)
{
	return p->view.root->total ? (double)value / (double)p->view.root->total : 0;
}

static bool is_drawn(const struct picture *p, const struct ptf_view_node *node)
{
	return share(p, node->total) * GRAPH_WIDTH >= SMALLEST_FRAME;
}

/* Deepest drawn level below the root, and the sums by kind. */
static unsigned survey(struct picture *p)
{
	const struct ptf_view_node *node = p->view.root;
	unsigned depth = 0, deepest = 0, up;

	while ((node = ptf_view_node_next(p->view.root, node, &up))) {
		depth = depth + 1 - up;
		p->sums[node->kind] += node->self;
		if (depth > deepest && is_drawn(p, node))
			deepest = depth;
	}
	return deepest;
}

/* Writes the scratch text and empties it. */
static void flush_text(struct picture *p)
{
	fwrite(p->text.bytes.v, 1, p->text.bytes.n, p->out);
	ptf_text_clear(&p->text);
}

static void append_value(struct picture *p, struct ptf_text *text, uint64_t value)
{
	const char *unit = ptf_view_weight_unit(p->view.weight);

	ptf_text_append_grouped(text, value);
	ptf_text_printf(text, " %s", unit);
	if (!strcmp(unit, "ns") && value >= 1000) {
		ptf_text_append(text, " (", 2);
		ptf_text_append_duration(text, value);
		ptf_text_append(text, ")", 1);
	}
}

static void append_calls(struct ptf_text *text, const struct ptf_view_node *node)
{
	ptf_text_append_grouped(text, node->calls);
	ptf_text_printf(text, " calls");
	if (node->partial_calls) {
		ptf_text_printf(text, ", partial ");
		ptf_text_append_grouped(text, node->partial_calls);
	}
	if (node->times.total.count) {
		ptf_text_printf(text, ", avg ");
		ptf_text_append_grouped(text, ptf_latency_mean(&node->times.total));
		ptf_text_printf(text, " ns, p99 ");
		ptf_text_append_grouped(text, ptf_latency_percentile(&node->times.total, 0.99));
		ptf_text_printf(text, " ns");
	}
}

/* What hovering shows; the first line is the name, which the script searches. */
static void append_title(struct picture *p, const struct ptf_view_node *node)
{
	struct ptf_text *text = &p->text;

	ptf_text_append_frame(text, node, p->options->annotate, ptf_text_append_xml);
	ptf_text_append(text, "\n", 1);
	append_value(p, text, node->total);
	ptf_text_printf(text, ", %.2f%%", 100 * share(p, node->total));
	if (node->children) {
		ptf_text_printf(text, "; self ");
		append_value(p, text, node->self);
	}
	if (!node->function)
		return;
	ptf_text_append(text, "\n", 1);
	append_calls(text, node);
	if (node->function->module[0]) {
		ptf_text_append(text, "\n", 1);
		ptf_text_append_xml(text, node->function->module);
	}
}

/* Bytes of the first n characters of valid UTF-8. */
static size_t prefix_size(const char *text, size_t size, size_t n)
{
	size_t at = 0;

	for (; n && at < size; n--) {
		at++;
		while (at < size && (text[at] & 0xc0) == 0x80)
			at++;
	}
	return at;
}

/* The name inside a frame, cut to its width. */
static void append_label(
        struct picture *p, const struct ptf_view_node *node, double left, double width, unsigned y)
{
	double room = (width - 2 * TEXT_PADDING) / CHAR_WIDTH;
	size_t size;

	if (room < 3)
		return;
	ptf_text_clear(&p->name);
	ptf_text_append_frame(&p->name, node, p->options->annotate, ptf_text_append_clean);
	size = prefix_size(p->name.bytes.v, p->name.bytes.n, (size_t)room);
	if (size < p->name.bytes.n) {
		p->name.bytes.n = prefix_size(p->name.bytes.v, size, (size_t)room - 2);
		ptf_text_append(&p->name, "..", 2);
	}
	ptf_text_printf(&p->text, "<text x=\"%.2f\" y=\"%.1f\">", left + TEXT_PADDING, y + 11.5);
	ptf_text_append_xml(&p->text, ptf_text_string(&p->name));
	ptf_text_printf(&p->text, "</text>");
}

static void append_fill(struct ptf_text *text, enum ptf_view_kind kind, const char *name)
{
	uint64_t hash = ptf_hash_bytes(name, strlen(name));
	unsigned rgb[3];

	for (unsigned i = 0; i < 3; i++)
		rgb[i] = colours[kind].base[i] +
		         (unsigned)(hash >> (8 * i) & 0xff) * colours[kind].range[i] / 255;
	ptf_text_printf(text, "fill=\"rgb(%u,%u,%u)\"", rgb[0], rgb[1], rgb[2]);
}

static void draw_frame(
        struct picture *p, const struct ptf_view_node *node, uint64_t x, unsigned depth)
{
	double left = MARGIN + share(p, x) * GRAPH_WIDTH;
	double width = share(p, node->total) * GRAPH_WIDTH;
	unsigned y = p->height - BOTTOM - (depth + 1) * FRAME_HEIGHT;
	struct ptf_text *text = &p->text;

	ptf_text_printf(text,
	        "<g class=\"frame\" data-x=\"%" PRIu64 "\" data-w=\"%" PRIu64 "\"><title>", x,
	        node->total);
	append_title(p, node);
	ptf_text_printf(text,
	        "</title><rect x=\"%.2f\" y=\"%u\" width=\"%.2f\" height=\"%d\" rx=\"1\" ", left, y,
	        width, FRAME_HEIGHT - 1);
	append_fill(text, node->kind, node->name);
	ptf_text_printf(text, "/>");
	append_label(p, node, left, width, y);
	ptf_text_printf(text, "</g>\n");
	flush_text(p);
}

/* Moves the path to `node`, which comes `up` levels after the present end of it. */
static bool move_to(struct picture *p, const struct ptf_view_node *node, unsigned up)
{
	struct step step = {.node = node};

	if (p->path.n && up) {
		const struct step *before = &p->path.v[p->path.n - up];

		step.x = before->x + before->node->total;
		p->path.n -= up;
	} else if (p->path.n) {
		step.x = p->path.v[p->path.n - 1].x;
	}
	return ptf_vec_push(&p->path, step);
}

static void draw_frames(struct picture *p)
{
	const struct ptf_view_node *node = p->view.root;
	unsigned up = 0;

	for (; node && !p->failed; node = ptf_view_node_next(p->view.root, node, &up)) {
		if (!move_to(p, node, up))
			p->failed = true;
		else if (is_drawn(p, node))
			draw_frame(p, node, p->path.v[p->path.n - 1].x, (unsigned)p->path.n - 1);
	}
}

static const char *default_title(enum ptf_view_weight weight)
{
	static const char *const titles[] = {
	        [PTF_WEIGHT_WALL] = "Wall-Clock Flame Graph",
	        [PTF_WEIGHT_ON] = "On-CPU Flame Graph",
	        [PTF_WEIGHT_KERNEL] = "Kernel Time Flame Graph",
	        [PTF_WEIGHT_OFF] = "Off-CPU Flame Graph",
	        [PTF_WEIGHT_CALLS] = "Calls Flame Graph",
	        [PTF_WEIGHT_INSNS] = "Instructions Flame Graph",
	};

	return titles[weight];
}

static void append_subtitle(struct picture *p)
{
	const struct ptf_profile_window *window = &p->profile->window;
	struct ptf_text *text = &p->text;

	append_value(p, text, p->view.root->total);
	ptf_text_printf(text, " in %zu thread%s", p->profile->n_threads,
	        p->profile->n_threads == 1 ? "" : "s");
	if (window->timed) {
		ptf_text_printf(text, ", window of ");
		ptf_text_append_duration(text, window->end_ns - window->start_ns);
	}
}

/* What the reader must know before believing a number. */
static void append_warnings(struct picture *p)
{
	size_t start = p->text.bytes.n;

	ptf_text_append_notes(&p->text, p->profile);
	if (p->view.weight != p->options->view.weight)
		ptf_text_printf(&p->text, "%sinstructions are shown in place of time",
		        p->text.bytes.n > start ? ": " : "");
}

static void draw_text(struct picture *p, const char *id, int x, unsigned y, const char *class,
        const char *content)
{
	ptf_text_printf(
	        &p->text, "<text id=\"%s\" class=\"%s\" x=\"%d\" y=\"%u\">", id, class, x, y);
	ptf_text_append_xml(&p->text, content);
	ptf_text_printf(&p->text, "</text>\n");
	flush_text(p);
}

/* Squares with the share of each kind that occurs. */
static void draw_legend(struct picture *p)
{
	double x = MARGIN;

	for (unsigned i = 0; i < KINDS; i++) {
		if (!colours[i].legend || !p->sums[i])
			continue;
		ptf_text_printf(
		        &p->text, "<rect x=\"%.0f\" y=\"66\" width=\"10\" height=\"10\" ", x);
		append_fill(&p->text, i, colours[i].legend);
		ptf_text_printf(&p->text, "/><text x=\"%.0f\" y=\"75\">%s %.2f%%</text>\n", x + 15,
		        colours[i].legend, 100 * share(p, p->sums[i]));
		flush_text(p);
		x += 15 + CHAR_WIDTH * (double)(strlen(colours[i].legend) + 10);
	}
}

static void draw_header(struct picture *p)
{
	const char *title = p->options->title;

	draw_text(p, "title", WIDTH / 2, 24, "", title ? title : default_title(p->view.weight));
	append_subtitle(p);
	ptf_text_clear(&p->name);
	ptf_text_append(&p->name, p->text.bytes.v, p->text.bytes.n);
	ptf_text_clear(&p->text);
	draw_text(p, "subtitle", WIDTH / 2, 42, "", ptf_text_string(&p->name));
	ptf_text_printf(&p->text, "<text id=\"notes\" x=\"%d\" y=\"58\">", WIDTH / 2);
	append_warnings(p);
	ptf_text_printf(&p->text, "</text>\n");
	flush_text(p);
	draw_legend(p);
	draw_text(p, "reset", MARGIN, 24, "button hidden", "Reset zoom");
	draw_text(p, "search", WIDTH - MARGIN - 30, 24, "button hidden", "Search");
	draw_text(p, "case", WIDTH - MARGIN - 14, 24, "button hidden", "ic");
	draw_text(p, "details", MARGIN, p->height - 12, "", "");
	draw_text(p, "matched", WIDTH - MARGIN, p->height - 12, "", "");
}

static void draw(struct picture *p)
{
	p->height = TOP + BOTTOM + (survey(p) + 1) * FRAME_HEIGHT;
	fprintf(p->out,
	        "<?xml version=\"1.0\" encoding=\"UTF-8\" standalone=\"no\"?>\n"
	        "<svg xmlns=\"http://www.w3.org/2000/svg\" version=\"1.1\" width=\"%d\" "
	        "height=\"%u\" "
	        "viewBox=\"0 0 %d %u\" data-total=\"%" PRIu64
	        "\" data-unit=\"%s\" data-left=\"%d\" "
	        "data-width=\"%.0f\">\n"
	        "<!-- ptflame %s -->\n"
	        "<style type=\"text/css\"><![CDATA[\n%s]]></style>\n"
	        "<script type=\"text/ecmascript\"><![CDATA[\n%s]]></script>\n"
	        "<rect width=\"100%%\" height=\"100%%\" fill=\"#fcfbf7\"/>\n",
	        WIDTH, p->height, WIDTH, p->height, p->view.root->total,
	        ptf_view_weight_unit(p->view.weight), MARGIN, GRAPH_WIDTH, PTF_VERSION,
	        ptf_embed_flame_css, ptf_embed_flame_js);
	draw_header(p);
	draw_frames(p);
	fprintf(p->out, "</svg>\n");
}

static int write_svg(const struct ptf_profile *profile, const struct ptf_output_options *options,
        FILE *out, struct ptf_error *err)
{
	struct picture p = {.profile = profile, .options = options, .out = out};
	int rc = ptf_profile_view_init(&p.view, profile, &options->view, err);

	if (rc)
		return rc;
	draw(&p);
	p.failed |= p.text.failed || p.name.failed;
	ptf_vec_release(&p.path);
	ptf_text_release(&p.text);
	ptf_text_release(&p.name);
	ptf_profile_view_release(&p.view);
	return ptf_output_finish(out, !p.failed, err);
}

const struct ptf_output_format ptf_output_svg = {
        .name = "svg",
        .endings = (const char *const[]){".svg", NULL},
        .help = "a flame graph to look at, with zoom and search",
        .write = write_svg,
};

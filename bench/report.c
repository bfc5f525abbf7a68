// SPDX-License-Identifier: MIT
/* The table on stdout, results.md, and the plot. */
#define _GNU_SOURCE
#include "bench.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define MAX_ROWS 256

static struct row rows[MAX_ROWS];
static int row_count;

struct row *add_row(const char *group, const char *key, int size, enum unit unit, const char *format, ...)
{
	struct row *row = &rows[row_count++];
	va_list arguments;

	if (row_count == MAX_ROWS)
		die("too many rows");
	row->group = group;
	row->key = key;
	row->size = size;
	row->unit = unit;
	va_start(arguments, format);
	vsnprintf(row->name, sizeof row->name, format, arguments);
	va_end(arguments);
	return row;
}

static const struct row *find(const char *key, int size)
{
	for (int i = 0; i < row_count; i++)
		if (rows[i].key && strcmp(rows[i].key, key) == 0 && (size < 0 || rows[i].size == size))
			return &rows[i];
	return NULL;
}

/* ---- the table ---- */

static const char *const units[] = { "", "ms", "MB", "bytes", "instructions", "a ratio", "percent" };

static void number(char *to, double value)
{
	sprintf(to, value >= 1000 ? "%.0f" : value >= 100 ? "%.1f" : "%.2f", value);
}

static void ratio(FILE *to, const struct row *row, enum program program, double ours, double other)
{
	if (row->has[OURS] && row->has[program] && other > 0)
		fprintf(to, " %.2f |", ours / other);
	else
		fprintf(to, " - |");
}

static void load_cells(FILE *to, const struct row *row, size_t offset)
{
	char text[32];

	for (int i = 0; i < 2; i++) {
		number(text, *(const double *)((const char *)&row->seen[i] + offset));
		fprintf(to, " %s |", row->has[i] ? text : "-");
	}
	ratio(to, row, THEIRS, *(const double *)((const char *)&row->seen[OURS] + offset),
		*(const double *)((const char *)&row->seen[THEIRS] + offset));
}

static void load_line(FILE *to, const struct row *row)
{
	fprintf(to, "| %s | %d |", row->name, row->size);
	load_cells(to, row, offsetof(struct figure, cpu));
	load_cells(to, row, offsetof(struct figure, median));
	load_cells(to, row, offsetof(struct figure, p99));
	load_cells(to, row, offsetof(struct figure, rate));
	fputc('\n', to);
}

static void value_line(FILE *to, const struct row *row)
{
	char text[32];

	fprintf(to, "| %s, %s | %d |", row->name, units[row->unit], row->size);
	for (int i = 0; i < PROGRAMS; i++) {
		if (row->unit == BYTES)
			sprintf(text, "%.0f", row->seen[i].cpu);
		else
			number(text, row->seen[i].cpu);
		if (i < 2 || row->unit == INSTRUCTIONS)
			fprintf(to, " %s |", row->has[i] ? text : "-");
	}
	ratio(to, row, THEIRS, row->seen[OURS].cpu, row->seen[THEIRS].cpu);
	if (row->unit == INSTRUCTIONS)
		ratio(to, row, REFERENCE, row->seen[OURS].cpu, row->seen[REFERENCE].cpu);
	fputc('\n', to);
}

static void floor_line(FILE *to, const struct row *row)
{
	char text[32];

	fprintf(to, "| %s |", row->name);
	for (int i = 0; i < PROGRAMS; i++) {
		number(text, row->seen[i].cpu);
		fprintf(to, " %s |", text);
	}
	for (int i = 0; i < PROGRAMS; i++) {
		number(text, row->seen[i].rate);
		fprintf(to, " %s |", text);
	}
	number(text, row->seen[FLOOR].generator);
	fprintf(to, " %s |\n", text);
}

static const char load_head[] = "| load | mappings | CPU us/op: iwpmd | C | ratio | median us: iwpmd | C | ratio | "
                                "p99 us: iwpmd | C | ratio | op/s: iwpmd | C | ratio |\n"
								"|---|---|---|---|---|---|---|---|---|---|---|---|---|---|\n";
static const char value_head[] = "| what | mappings | iwpmd | C | ratio |\n|---|---|---|---|---|\n";
static const char count_head[] = "| what | mappings | iwpmd | C | reference | floor | iwpmd/C | iwpmd/reference "
                                 "|\n|---|---|---|---|---|---|---|---|\n";
static const char floor_head[] =
	"| load | CPU us/op: iwpmd | C | reference | floor | op/s: iwpmd | C | reference | floor | generator's CPU "
    "us/op with the floor |\n|---|---|---|---|---|---|---|---|---|---|\n";

static void print_line(FILE *to, const struct row *row)
{
	if (strncmp(row->group, "Floor", 5) == 0)
		floor_line(to, row);
	else if (row->unit == LOAD)
		load_line(to, row);
	else
		value_line(to, row);
}

void print_header(void) { fputs(load_head, stdout); }

void print_row(const struct row *row)
{
	print_line(stdout, row);
	fflush(stdout);
}

/* Instructions that bench/count found: group, key, name, program, value, one a line. */
void read_counts(const char *folder)
{
	char path[200], line[300], name[80], key[40];
	struct row *row = NULL;
	double value;
	int program;
	FILE *file;

	snprintf(path, sizeof path, "%s/counts", folder);
	if (!(file = fopen(path, "r")))
		return;
	while (fgets(line, sizeof line, file)) {
		if (sscanf(line, "%39s %d %lf %79[^\n]", key, &program, &value, name) != 4 || program < 0 || program >= PROGRAMS)
			die("%s: %s", path, line);
		if (!row || strcmp(row->name, name) != 0)
			row = add_row("Instructions in user mode", strdup(key), 100, INSTRUCTIONS, "%s", name);
		row->has[program] = true;
		row->seen[program].cpu = value;
	}
	fclose(file);
	for (int i = 0; i < row_count; i++)
		print_row(&rows[i]);
}

/* ---- what was to be reached ---- */

struct target {
	const char *what, *key;
	int size;
	enum { CPU, P99, VALUE } which;
	enum { RATIO, OURS_ONLY, TO_REFERENCE } how;
	double limit;
};

static const struct target targets[] = {
	{ "ADD, real ports, CPU, 64 outstanding", "add64", 100, CPU, RATIO, 0.8 },
	{ "ADD, real ports, CPU, 64 outstanding", "add64", 5000, CPU, RATIO, 0.4 },
	{ "ADD, real ports, CPU, 64 outstanding", "add64", 19000, CPU, RATIO, 0.1 },
	{ "ADD, real ports, CPU, 1 outstanding", "add", 100, CPU, RATIO, 0.8 },
	{ "ADD, real ports, CPU, 1 outstanding", "add", 5000, CPU, RATIO, 0.4 },
	{ "ADD, real ports, CPU, 1 outstanding", "add", 19000, CPU, RATIO, 0.1 },
	{ "ADD, real ports, p99", "add", 100, P99, RATIO, 1.0 },
	{ "ADD, real ports, p99", "add", 1000, P99, RATIO, 1.0 },
	{ "ADD, real ports, p99", "add", 5000, P99, RATIO, 1.0 },
	{ "ADD, real ports, p99", "add", 10000, P99, RATIO, 1.0 },
	{ "ADD, real ports, p99", "add", 19000, P99, RATIO, 1.0 },
	{ "all ports of 18000, default range, time", "range", 18000, VALUE, RATIO, 0.02 },
	{ "ADD, NO_PORT_MAP, CPU, 64 outstanding", "advertise64", 25000, CPU, RATIO, 0.03 },
	{ "ADD, NO_PORT_MAP, CPU, 1 outstanding", "advertise", 25000, CPU, RATIO, 0.03 },
	{ "Request to Ack, real port, CPU, 16 outstanding", "real-request16", 100, CPU, RATIO, 0.4 },
	{ "Request to Ack, CPU, 16 outstanding", "request16", 100, CPU, RATIO, 0.4 },
	{ "Request to Ack, CPU, 16 outstanding", "request16", 25000, CPU, RATIO, 0.1 },
	{ "Request to Ack, real port, CPU, 1 outstanding", "real-request", 100, CPU, RATIO, 0.4 },
	{ "Request to Ack, CPU, 1 outstanding", "request", 100, CPU, RATIO, 0.4 },
	{ "Request to Ack, CPU, 1 outstanding", "request", 25000, CPU, RATIO, 0.1 },
	{ "Request to Accept, p99, 16 outstanding", "request16", 100, P99, RATIO, 0.5 },
	{ "Request to Accept, p99, 16 outstanding", "request16", 25000, P99, RATIO, 0.5 },
	{ "Request to Accept, p99, 1 outstanding", "request", 100, P99, RATIO, 0.5 },
	{ "Request to Accept, p99, 1 outstanding", "request", 25000, P99, RATIO, 0.5 },
	{ "replay, NO_PORT_MAP, time from exec", "replay-advertised", 25000, VALUE, RATIO, 0.05 },
	{ "replay, real ports, time from exec", "replay", 19000, VALUE, RATIO, 0.2 },
	{ "ADD, NO_PORT_MAP, instructions to the reference's", "instructions-advertise", 100, VALUE, TO_REFERENCE, 1.3 },
	{ "ADD, real ports, instructions to the reference's", "instructions-add", 100, VALUE, TO_REFERENCE, 1.3 },
	/* 0.6 of what build 5c1959b needed, of a Request half. */
	{ "ADD and REMOVE, real ports, instructions", "instructions-add", 100, VALUE, OURS_ONLY, 3890 },
	{ "ADD and REMOVE, NO_PORT_MAP, instructions", "instructions-advertise", 100, VALUE, OURS_ONLY, 3534 },
	{ "Request, Accept, Ack, instructions", "instructions-request", 100, VALUE, OURS_ONLY, 4996 },
	{ "QUERY with its peer, and REMOVE, instructions", "instructions-query", 100, VALUE, OURS_ONLY, 8890 },
	{ "exec to HELLO", "hello", 0, VALUE, RATIO, 1.0 },
	{ "a job's start: until the last host is served", "job", JOB_HOSTS, VALUE, RATIO, 0.125 },
	{ "end with 2000 requests outstanding, ms", "end", 2000, VALUE, OURS_ONLY, 300 },
	{ "RSS idle, syslog daemon, MB", "idle-syslog", 0, VALUE, OURS_ONLY, 8 },
	{ "RSS idle, -s, MB", "idle", 0, VALUE, OURS_ONLY, 10 },
	{ "RSS, NO_PORT_MAP", "memory", 25000, VALUE, RATIO, 1.0 },
	{ "iwpmd mappings --json, ms", "look-mappings", 25000, VALUE, OURS_ONLY, 100 },
	{ "iwpmd status, ms", "look-status", 25000, VALUE, OURS_ONLY, 50 },
	{ "iwpmd peers, ms", "look-peers", 25000, VALUE, OURS_ONLY, 50 },
	{ "iwpmd metrics, ms", "look-metrics", 25000, VALUE, OURS_ONLY, 50 },
	{ "ADD, p99 with one look after the other, to without", "look-p99", 25000, VALUE, OURS_ONLY, 1.2 },
	{ "ADD, p99 during a flood, to idle", "flood-p99", 100, VALUE, OURS_ONLY, 3 },
	{ "Requests of known hosts unanswered during a flood, percent", "flood-missed", 100, VALUE, OURS_ONLY, 5 },
	{ "executable, MB", "binary", 0, VALUE, OURS_ONLY, 4.5e6 },
	{ "static executable, MB", "static", 0, VALUE, OURS_ONLY, 6e6 },
};

static double value_of(const struct row *row, const struct target *target, enum program program)
{
	return target->which == P99 ? row->seen[program].p99 : row->seen[program].cpu;
}

static void write_target(FILE *to, const struct target *target)
{
	const struct row *row = find(target->key, target->size);
	enum program other = target->how == TO_REFERENCE ? REFERENCE : THEIRS;
	double seen, scale = target->limit > 1e5 ? 1e6 : 1;

	if (!row || !row->has[OURS] || (target->how != OURS_ONLY && !row->has[other]))
		return;
	seen = value_of(row, target, OURS) / (target->how == OURS_ONLY ? scale : value_of(row, target, other));
	fprintf(to, "| %s | %d | %.2f | %.3f | %s |\n", target->what, target->size, target->limit / scale, seen,
		seen <= target->limit / scale ? "yes" : "**no**");
}

static void write_targets(FILE *to)
{
	const struct row *small = find("advertise64", 100), *large = find("advertise64", 100000);

	fputs("\n## Targets\n\nRatios are ours to C's where nothing else is said.\n\n| what | mappings | at most | "
	      "seen | reached |\n|---|---|---|---|---|\n",
		to);
	for (size_t i = 0; i < sizeof targets / sizeof *targets; i++)
		write_target(to, &targets[i]);
	if (small && large)
		fprintf(to,
			"| ADD, NO_PORT_MAP, CPU, 64 outstanding, ours at 100000 to ours at 100 | 100000 | 1.30 | %.3f | %s "
		    "|\n",
			large->seen[OURS].cpu / small->seen[OURS].cpu,
			large->seen[OURS].cpu / small->seen[OURS].cpu <= 1.3 ? "yes" : "**no**");
}

/* ---- the plot ---- */

#define WIDTH 760
#define HEIGHT 460
#define LEFT 70
#define RIGHT 200
#define TOP 30
#define BOTTOM 60
#define LOW_SIZE 80.0
#define HIGH_SIZE 130000.0

static double low_cost = 3, high_cost = 1000;

static double at_x(double size)
{
	return LEFT + (WIDTH - LEFT - RIGHT) * log(size / LOW_SIZE) / log(HIGH_SIZE / LOW_SIZE);
}
static double at_y(double cost)
{
	return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * log(cost / low_cost) / log(high_cost / low_cost);
}

static void draw_curve(FILE *to, const char *key, enum program program, const char *colour, const char *label)
{
	double x = 0, y = 0;

	fprintf(to, "<polyline fill='none' stroke='%s' stroke-width='2'%s points='", colour,
		program == OURS ? "" : " stroke-dasharray='6 4'");
	for (int i = 0; i < row_count; i++) {
		if (!rows[i].key || strcmp(rows[i].key, key) != 0 || !rows[i].has[program])
			continue;
		x = at_x(rows[i].size);
		y = at_y(rows[i].seen[program].cpu);
		fprintf(to, "%.1f,%.1f ", x, y);
	}
	fprintf(to, "'/>\n<text x='%.0f' y='%.0f' fill='%s'>%s</text>\n", x + 6, y + 4, colour, label);
}

static void write_plot(const char *folder)
{
	static const char *const costs[] = { "1", "3", "10", "30", "100", "300", "1000" };
	static const char *const sizes[] = { "100", "1000", "10000", "100000" };
	char path[200];
	FILE *to;

	snprintf(path, sizeof path, "%s/cost.svg", folder);
	if (!(to = fopen(path, "w")))
		die("%s", path);
	fprintf(to,
		"<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' font-family='sans-serif' "
	    "font-size='12'>\n<rect width='100%%' height='100%%' fill='white'/>\n",
		WIDTH, HEIGHT);
	for (size_t i = 0; i < sizeof costs / sizeof *costs; i++)
		if (atof(costs[i]) >= low_cost && atof(costs[i]) <= high_cost)
			fprintf(to, "<path d='M%d %.1fH%d' stroke='#ddd'/><text x='%d' y='%.1f' text-anchor='end'>%s</text>\n",
				LEFT, at_y(atof(costs[i])), WIDTH - RIGHT, LEFT - 6, at_y(atof(costs[i])) + 4, costs[i]);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		fprintf(to, "<path d='M%.1f %dV%d' stroke='#ddd'/><text x='%.1f' y='%d' text-anchor='middle'>%s</text>\n",
			at_x(atof(sizes[i])), TOP, HEIGHT - BOTTOM, at_x(atof(sizes[i])), HEIGHT - BOTTOM + 18, sizes[i]);
	fprintf(to,
		"<text x='%d' y='%d' text-anchor='middle'>mappings in the table</text>\n<text x='%d' y='18'>CPU of the "
	    "daemon, microseconds an operation (whole lines: iwpmd, broken ones: C)</text>\n",
		(LEFT + WIDTH - RIGHT) / 2, HEIGHT - 16, LEFT);
	draw_curve(to, "advertise64", OURS, "#1b6ca8", "ADD, NO_PORT_MAP");
	draw_curve(to, "advertise64", THEIRS, "#1b6ca8", "C: ADD, NO_PORT_MAP");
	draw_curve(to, "add64", OURS, "#c0392b", "ADD, real ports");
	draw_curve(to, "add64", THEIRS, "#c0392b", "C: ADD, real ports");
	draw_curve(to, "request16", OURS, "#2e8b57", "Request to Ack");
	draw_curve(to, "request16", THEIRS, "#2e8b57", "C: Request to Ack");
	fputs("</svg>\n", to);
	fclose(to);
}

/* ---- the report ---- */

static void processor_name(char *name, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "r");
	char line[200];

	snprintf(name, size, "unknown processor");
	while (file && fgets(line, sizeof line, file))
		if (sscanf(line, "model name : %99[^\n]", name) == 1)
			break;
	if (file)
		fclose(file);
}

void write_report(const char *folder, int rounds, double took)
{
	char path[200], processor[100], date[40];
	const char *group = "", *head = "";
	time_t now = time(NULL);
	double load[3] = { 0 };
	struct utsname host;
	FILE *to;

	snprintf(path, sizeof path, "%s/results.md", folder);
	if (!(to = fopen(path, "w")))
		die("%s", path);
	uname(&host);
	getloadavg(load, 3); /* our own part is 1 to 2 */
	processor_name(processor, sizeof processor);
	strftime(date, sizeof date, "%Y-%m-%d", gmtime(&now));
	fprintf(to,
		"# Results\n\nWritten by `make bench` on %s: %s, %ld processors, Linux %s; medians of %d rounds, %.0f s in "
	    "all, load average %.0f. README.md says what the rows mean.\n\n![cost against table size](cost.svg)\n",
		date, processor, sysconf(_SC_NPROCESSORS_ONLN), host.release, rounds, took, load[1]);
	write_targets(to);
	/* Rows of one group stand together, whenever they were measured. */
	for (int i = 0; i < row_count; i++) {
		bool seen = false;

		for (int j = 0; j < i; j++)
			seen = seen || strcmp(rows[j].group, rows[i].group) == 0;
		if (seen)
			continue;
		group = rows[i].group;
		head = "";
		fprintf(to, "\n## %s\n", group);
		for (int j = i; j < row_count; j++) {
			const char *own = strncmp(group, "Floor", 5) == 0 ? floor_head
				: rows[j].unit == LOAD ? load_head
				: rows[j].unit == INSTRUCTIONS ? count_head
				: value_head;

			if (strcmp(rows[j].group, group) != 0)
				continue;
			if (own != head)
				fprintf(to, "\n%s", own);
			head = own;
			print_line(to, &rows[j]);
		}
	}
	fclose(to);
	write_plot(folder);
}

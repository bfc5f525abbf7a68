// SPDX-License-Identifier: MIT
/* The rows: which load, at which size, of which daemons. */
#define _GNU_SOURCE
#include "bench.h"

#include <getopt.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUTSTANDING 2000         /* at the end */
#define JOB_LISTENERS 100
#define MOST_REAL_PORTS 19000    /* below a limit of 20000 descriptors, with room for what is added on top */

static int rounds = 5, operations = 600;
static bool quick;

static double field(const struct figure *figure, int which) { return (&figure->rate)[which]; }

/* The median of each number over the rounds. */
static struct figure middle(const struct figure *figures, int count)
{
	struct figure result;
	double values[64];

	for (int which = 0; which < (int)(sizeof result / sizeof(double)); which++) {
		for (int i = 0; i < count; i++)
			values[i] = field(&figures[i], which);
		(&result.rate)[which] = median_of(values, count);
	}
	return result;
}

/* The same load of several daemons in turn, so that what disturbs one disturbs all. */
static void measure(struct row *row, struct subject *subjects, int count, load *load, int window, uint32_t flags)
{
	struct figure figures[PROGRAMS][64];

	for (int round = -1; round < rounds; round++) {
		for (int i = 0; i < count; i++) {
			struct subject *s = &subjects[round & 1 ? count - 1 - i : i];
			struct figure figure = load(s, round < 0 ? operations / 4 : operations, window, flags);

			if (round >= 0)
				figures[s - subjects][round] = figure;
		}
	}
	for (int i = 0; i < count; i++) {
		row->has[subjects[i].program] = true;
		row->seen[subjects[i].program] = middle(figures[i], rounds);
	}
	print_row(row);
}

static void note(struct row *row, enum program program, double value)
{
	row->has[program] = true;
	row->seen[program].cpu = value;
}

static void start(struct subject *s, enum program program, const struct options *options)
{
	subject_start(s, program, options);
	register_client(s);
}

static void memory(struct subject *subjects, int count, int size, const char *what, const char *key)
{
	struct row *rss = add_row("Memory", key, size, MEGABYTES, "RSS, %s", what);
	struct row *pss = add_row("Memory", NULL, size, MEGABYTES, "PSS, %s", what);
	double resident, share;

	for (int i = 0; i < count; i++) {
		subject_memory(&subjects[i], &resident, &share);
		note(rss, subjects[i].program, resident);
		note(pss, subjects[i].program, share);
	}
	print_row(rss);
	print_row(pss);
}

static void stop_all(struct subject *subjects, int count)
{
	for (int i = 0; i < count; i++)
		subject_stop(&subjects[i], SIGTERM);
}

static void peers(struct subject *subjects, int count, int size, const char *kind, const char *one, const char *sixteen)
{
	measure(add_row("Peers", one, size, LOAD, "Request, Accept, Ack: %s, 1 outstanding", kind), subjects, count,
		load_requests, 1, 0);
	measure(add_row("Peers", sixteen, size, LOAD, "Request, Accept, Ack: %s, 16 outstanding", kind), subjects,
		count, load_requests, 16, 0);
	measure(add_row("Peers", NULL, size, LOAD, "Request, Reject: %s", kind), subjects, count, load_rejects, 1, 0);
}

static void real_ports(void)
{
	struct subject subjects[2];
	int sizes[] = { 100, 1000, 5000, 10000, MOST_REAL_PORTS };

	for (int i = 0; i < 2; i++)
		start(&subjects[i], i, &(struct options){ 0 });
	memory(subjects, 2, 0, "idle, with -s", "idle");
	for (int i = 0; i < 5; i++) {
		int size = sizes[i];

		if (quick && i % 2 == 1)
			continue;
		for (int j = 0; j < 2; j++)
			fill(&subjects[j], size, 0);
		measure(add_row("Kernel, real ports", "add", size, LOAD, "ADD, 1 outstanding"), subjects, 2, load_adds, 1, 0);
		measure(add_row("Kernel, real ports", "add64", size, LOAD, "ADD, 64 outstanding"), subjects, 2, load_adds, 64, 0);
		measure(add_row("Kernel, real ports", NULL, size, LOAD, "ADD and REMOVE in turn"), subjects, 2, load_churn, 1, 0);
		measure(add_row("Kernel, real ports", NULL, size, LOAD, "QUERY with its peer, and REMOVE"), subjects, 2,
			load_queries, 1, 0);
		if (size == 100 || size == 5000)
			peers(subjects, 2, size, "real ports", "real-request", "real-request16");
		memory(subjects, 2, size, "real ports", NULL);
	}
	stop_all(subjects, 2);
}

static void no_port_map(void)
{
	struct subject subjects[2];
	int sizes[] = { 100, 5000, 25000, 100000 };

	for (int i = 0; i < 2; i++)
		start(&subjects[i], i, &(struct options){ .max_mappings = i == OURS ? 65536 * 2 : 0 });
	for (int i = 0; i < (quick ? 3 : 4); i++) {
		int size = sizes[i], count = size > 25000 ? 1 : 2; /* C would take minutes to get there */

		if (quick && i == 1)
			continue;
		for (int j = 0; j < count; j++)
			fill(&subjects[j], size, NO_PORT_MAP);
		measure(add_row("Kernel, NO_PORT_MAP", "advertise", size, LOAD, "ADD, 1 outstanding"), subjects, count,
			load_adds, 1, NO_PORT_MAP);
		measure(add_row("Kernel, NO_PORT_MAP", "advertise64", size, LOAD, "ADD, 64 outstanding"), subjects, count,
			load_adds, 64, NO_PORT_MAP);
		measure(add_row("Kernel, NO_PORT_MAP", NULL, size, LOAD, "ADD and REMOVE in turn"), subjects, count,
			load_churn, 1, NO_PORT_MAP);
		if (size != 5000)
			peers(subjects, count, size, "NO_PORT_MAP", "request", "request16");
		memory(subjects, count, size, "NO_PORT_MAP", "memory");
	}
	stop_all(subjects, 2);
}

/* The host's own range: half of it is 14116 ports. */
static void default_range(void)
{
	int size = quick ? 15000 : 18000;
	struct row *row = add_row(
		"Kernel, real ports", "range", size, MILLISECONDS, "all of them, default port range, 64 outstanding");

	for (int i = 0; i < 2; i++) {
		struct subject s;
		double started;

		start(&s, i, &(struct options){ .ports = "32768 60999" });
		started = seconds(CLOCK_MONOTONIC);
		fill(&s, size, 0);
		note(row, i, (seconds(CLOCK_MONOTONIC) - started) * 1e3);
		subject_stop(&s, SIGTERM);
	}
	print_row(row);
}

/* From exec, in turn. From a state: that of a daemon that was killed; only ours has one. */
static void starts(struct row *row, struct row *processor, const struct options *options, bool from_state, int size,
	uint32_t flags)
{
	int count = from_state ? 1 : 2;
	double times[2][64], used[2][64];
	struct subject s;

	if (from_state) {
		start(&s, OURS, options);
		fill(&s, size, flags);
		subject_stop(&s, SIGKILL);
	}
	for (int round = 0; round < rounds; round++) {
		for (int program = 0; program < count; program++) {
			struct options again = *options;

			again.keep_state = from_state;
			subject_start(&s, program, &again);
			times[program][round] = (options->replay ? s.ready : s.hello) * 1e3;
			used[program][round] = cpu(&s) / 1e3;
			subject_stop(&s, from_state && round < rounds - 1 ? SIGKILL : SIGTERM);
		}
	}
	for (int program = 0; program < count; program++) {
		note(row, program, median_of(times[program], rounds));
		note(processor, program, median_of(used[program], rounds));
	}
	print_row(row);
	print_row(processor);
}

#define STARTS(key, size, options, from_state, count, flags, name)                                                 \
	starts(add_row("Start", key, size, MILLISECONDS, name),                                                        \
		add_row("Start", NULL, size, MILLISECONDS, name ": CPU"), options, from_state, count, flags)

static void starting(void)
{
	int kept = rounds, ports = MOST_REAL_PORTS;

	rounds = quick ? 11 : 21;
	STARTS("hello", 0, (&(struct options){ 0 }), false, 0, 0, "exec to HELLO");
	rounds = quick ? 1 : 3;
	STARTS("replay", ports, (&(struct options){ .replay = ports }), false, 0, 0,
		"exec to the end of a replay, real ports");
	STARTS("replay-advertised", 25000, (&(struct options){ .replay = 25000, .replay_flags = NO_PORT_MAP }), false,
		0, 0, "exec to the end of a replay, NO_PORT_MAP");
	STARTS(NULL, ports, (&(struct options){ 0 }), true, ports, 0, "exec to HELLO, from the state file, real ports");
	STARTS(NULL, 25000, (&(struct options){ 0 }), true, 25000, NO_PORT_MAP,
		"exec to HELLO, from the state file, NO_PORT_MAP");
	rounds = kept;
}

/* From SIGTERM to the end, while each answer brings another request. */
static void ending(void)
{
	struct row *row =
		add_row("End", "end", OUTSTANDING, MILLISECONDS, "SIGTERM to the end, requests outstanding, NO_PORT_MAP");
	double times[2][64];

	for (int round = 0; round < rounds; round++) {
		for (int program = 0; program < 2; program++) {
			struct subject s;
			pid_t generator;

			start(&s, program, &(struct options){ 0 });
			generator = load_without_end(&s, OUTSTANDING);
			usleep(500000);
			times[program][round] = subject_stop(&s, SIGTERM) * 1e3;
			kill(generator, SIGKILL);
			waitpid(generator, NULL, 0);
		}
	}
	for (int program = 0; program < 2; program++)
		note(row, program, median_of(times[program], rounds));
	print_row(row);
}

static void detached(void)
{
	struct subject subjects[2];

	for (int i = 0; i < 2; i++)
		start(&subjects[i], i, &(struct options){ .way = DETACHED });
	memory(subjects, 2, 0, "idle, as a daemon with syslog", "idle-syslog");
	stop_all(subjects, 2);
}

static void sizes(void)
{
	struct row *row = add_row(
		"Size", "binary", 0, BYTES, "executable (rdma-core's needs libnl-3, libsystemd and their libraries)");
	struct stat file;

	for (int i = 0; i < 2; i++)
		if (stat(program_paths[i], &file) == 0)
			note(row, i, file.st_size);
	print_row(row);
	if (stat("out/iwpmd-static", &file) == 0) {
		row = add_row("Size", "static", 0, BYTES, "static executable");
		note(row, OURS, file.st_size);
		print_row(row);
	}
}

/* One of our commands on the state of a daemon, at the priority of any other program; its process. */
static pid_t read_state(const struct subject *s, const char *command, const char *form)
{
	char config[100];
	pid_t pid;

	snprintf(config, sizeof config, "%s/conf", s->folder);
	if ((pid = fork()) == 0) {
		freopen("/dev/null", "w", stdout);
		setpriority(PRIO_PROCESS, 0, 0);
		execl(program_paths[OURS], "iwpmd", command, "-c", config, form, (char *)NULL);
		_exit(127);
	}
	return pid;
}

static double time_of(const struct subject *s, const char *command, const char *form)
{
	double begun = seconds(CLOCK_MONOTONIC);
	int status;

	waitpid(read_state(s, command, form), &status, 0);
	if (!WIFEXITED(status) || WEXITSTATUS(status) > 1) /* 1 is degraded, which a daemon without a device may be */
		die("iwpmd %s: status %x", command, status);
	return 1000 * (seconds(CLOCK_MONOTONIC) - begun);
}

/* How long a look at 25,000 mappings takes, and what the daemon's requests feel of one look after the other. */
static void readers(void)
{
	static const struct {
		const char *command, *form, *key;
	} looks[] = {
		{ "mappings", "--json", "look-mappings" },
		{ "status", NULL, "look-status" },
		{ "peers", NULL, "look-peers" },
		{ "metrics", NULL, "look-metrics" },
	};
	struct subject s;
	double values[64], with[64], without[64];
	int status;

	start(&s, OURS, &(struct options){ 0 });
	fill(&s, 25000, NO_PORT_MAP);
	for (int i = 0; i < 4; i++) {
		struct row *row = add_row("Looks at the state", looks[i].key, 25000, MILLISECONDS, "iwpmd %s%s%s",
			looks[i].command, looks[i].form ? " " : "", looks[i].form ? looks[i].form : "");

		for (int round = 0; round < rounds; round++)
			values[round] = time_of(&s, looks[i].command, looks[i].form);
		note(row, OURS, median_of(values, rounds));
		print_row(row);
	}
	for (int round = 0; round < rounds; round++) {
		pid_t watcher;

		without[round] = load_adds(&s, 10 * operations, 1, NO_PORT_MAP).p99;
		if ((watcher = fork()) == 0)
			for (;;)
				waitpid(read_state(&s, "mappings", "--json"), &status, 0);
		with[round] = load_adds(&s, 10 * operations, 1, NO_PORT_MAP).p99;
		kill(watcher, SIGKILL);
		waitpid(watcher, &status, 0);
		values[round] = with[round] / without[round];
	}
	struct row *row = add_row(
		"Looks at the state", "look-p99", 25000, QUOTIENT, "ADD, p99 while one look follows the other, to without");

	note(row, OURS, median_of(values, rounds));
	print_row(row);
	subject_stop(&s, SIGTERM);
}

/* Under the daemon's own bounds, each time with a daemon that has seen none of the hosts. */
static void jobs(void)
{
	struct row *row = add_row("A job's start", "job", JOB_HOSTS, MILLISECONDS,
			"%d hosts connect to %d listeners, 64 at a time: until the last is served", JOB_HOSTS, JOB_LISTENERS);
	struct row *adds = add_row("A job's start", "job-p99", JOB_HOSTS, MILLISECONDS, "ADD meanwhile, p99");
	double times[2][64], p99[2][64];

	for (int round = 0; round < rounds; round++) {
		for (int i = 0; i < 2; i++) {
			int program = round & 1 ? 1 - i : i;
			struct subject s;

			start(&s, program, &(struct options){ .bounded = true });
			fill(&s, JOB_LISTENERS, 0);
			times[program][round] = job_start(&s, JOB_HOSTS, JOB_LISTENERS, 64, &p99[program][round]) * 1e3;
			p99[program][round] /= 1e3;
			subject_stop(&s, SIGTERM);
		}
	}
	for (int program = 0; program < 2; program++) {
		note(row, program, median_of(times[program], rounds));
		note(adds, program, median_of(p99[program], rounds));
	}
	print_row(row);
	print_row(adds);
}

static pid_t flood(const struct subject *s, int seed)
{
	char target[32], number[16];
	pid_t pid;

	snprintf(target, sizeof target, "10.9.%d.1", s->number);
	snprintf(number, sizeof number, "%d", seed);
	if ((pid = fork()) == 0) {
		freopen("/dev/null", "w", stdout);
		/* it shares the generator's processor, and must not be what the generator waits for */
		setpriority(PRIO_PROCESS, 0, 19);
		execl(getenv("BENCH_FLOOD"), "flood", target, "10.0.0.1", "1000", "1000000", number, (char *)NULL);
		_exit(127);
	}
	return pid;
}

/* A million Requests of unvalidated sources at full speed: what they cost the validated hosts. */
static void flooded(void)
{
	struct row *row = add_row(
		"Under a flood", "flood-p99", 100, QUOTIENT, "ADD, p99 during a million Requests of unvalidated sources, to idle");
	struct row *missed =
		add_row("Under a flood", "flood-missed", 100, PERCENT, "Requests of validated hosts not answered within 1 s");
	double ratios[64], shares[64];
	int asked, answered;
	struct subject s;

	start(&s, OURS, &(struct options){ .bounded = true });
	fill(&s, 100, 0);
	for (int round = 0; round < rounds; round++) {
		double idle = adds_beside(&s, 0, &asked, &answered).p99;

		ratios[round] = adds_beside(&s, flood(&s, round + 1), &asked, &answered).p99 / idle;
		shares[round] = 100.0 * (asked - answered) / asked;
	}
	note(row, OURS, median_of(ratios, rounds));
	note(missed, OURS, median_of(shares, rounds));
	print_row(row);
	print_row(missed);
	subject_stop(&s, SIGTERM);
}

/* Against programs in C that do the same (reference), or only make the same calls (floor): see README.md. The floor
 * also shows what the generator can do. */
static void floors(void)
{
	struct subject subjects[4];
	static const enum program order[] = { OURS, THEIRS, REFERENCE, FLOOR };

	for (int flags = 0; flags < 2; flags++) {
		const char *group = flags ? "Floor, NO_PORT_MAP" : "Floor, real ports";

		for (int i = 0; i < 4; i++) {
			start(&subjects[i], order[i], &(struct options){ 0 });
			fill(&subjects[i], 1000, flags);
		}
		measure(add_row(group, flags ? NULL : "floor", 1000, LOAD, "ADD, 1 outstanding"), subjects, 4, load_adds, 1, flags);
		measure(add_row(group, flags ? NULL : "floor64", 1000, LOAD, "ADD, 64 outstanding"), subjects, 4, load_adds,
			64, flags);
		measure(add_row(group, NULL, 1000, LOAD, "Request, Accept, Ack: 1 outstanding"), subjects, 4, load_requests,
			1, flags);
		measure(add_row(group, flags ? NULL : "floor16", 1000, LOAD, "Request, Accept, Ack: 16 outstanding"),
			subjects, 4, load_requests, 16, flags);
		stop_all(subjects, 4);
	}
}

/* COUNT starts of one program: medians of the time to HELLO, its processor time, and the memory afterwards. */
static int only_starts(enum program program, int count)
{
	double values[4][64];
	struct subject s;

	for (int i = 0; i < count && i < 64; i++) {
		subject_start(&s, program, &(struct options){ 0 });
		values[0][i] = s.hello * 1e3;
		values[1][i] = cpu(&s) / 1e3;
		subject_memory(&s, &values[2][i], &values[3][i]);
		subject_stop(&s, SIGTERM);
	}
	printf("%s: HELLO after %.3f ms, CPU %.3f ms, RSS %.3f MB, PSS %.3f MB\n", program_names[program],
		median_of(values[0], count), median_of(values[1], count), median_of(values[2], count), median_of(values[3], count));
	return 0;
}

/* One load alone, for tools that count: bench --only LOAD --count N PROGRAM. */
static int only(const char *name, enum program program, int count)
{
	static const struct {
		const char *name;
		load *load;
		uint32_t flags;
	} loads[] = {
		{ "add", load_adds, 0 },
		{ "advertise", load_adds, NO_PORT_MAP },
		{ "churn", load_churn, 0 },
		{ "query", load_queries, 0 },
		{ "request", load_requests, 0 },
		{ "reject", load_rejects, 0 },
	};
	struct subject s;

	if (strcmp(name, "flood") == 0)
		return flooded(), 0;
	if (strcmp(name, "end") == 0)
		return ending(), 0;
	if (strcmp(name, "looks") == 0)
		return readers(), 0;
	if (strcmp(name, "job") == 0)
		return jobs(), 0;
	if (strcmp(name, "start") == 0)
		return only_starts(program, count);
	for (size_t i = 0; i < sizeof loads / sizeof *loads; i++) {
		if (strcmp(loads[i].name, name) != 0)
			continue;
		start(&s, program, &(struct options){ 0 });
		fill(&s, 100, loads[i].flags);
		if (count)
			printf("%s: CPU %.3f us/op\n", name, loads[i].load(&s, count, 1, loads[i].flags).cpu);
		subject_stop(&s, SIGTERM);
		return 0;
	}
	die("no load %s", name);
}

int main(int argc, char **argv)
{
	static const struct option long_options[] = { { "quick", 0, 0, 'q' }, { "only", 1, 0, 'o' },
		{ "count", 1, 0, 'n' }, { "program", 1, 0, 'p' }, { 0 } };
	const char *load_name = NULL;
	double started = seconds(CLOCK_MONOTONIC);
	int option, count = 0, program = OURS;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
		switch (option) {
		case 'q': quick = true, rounds = 3, operations = 500; break;
		case 'o': load_name = optarg; break;
		case 'n': count = atoi(optarg); break;
		case 'p': program = atoi(optarg); break;
		default: return 2;
		}
	}
	if (argc - optind != PROGRAMS + 1 || !getenv("BENCH_SIMKERNEL"))
		return fputs("bench: use bench/run\n", stderr), 2;
	for (int i = 0; i < PROGRAMS; i++)
		program_paths[i] = argv[optind + i];
	if (unshare(CLONE_NEWNET) != 0)
		die("unshare: must be root");
	/* of all that is started from here: what else runs on the machine must not be what is measured */
	setpriority(PRIO_PROCESS, 0, -15);
	if (load_name)
		return only(load_name, program, count);
	print_header();
	read_counts(argv[optind + PROGRAMS]);
	starting();
	ending();
	detached();
	sizes();
	real_ports();
	no_port_map();
	default_range();
	readers();
	jobs();
	flooded();
	floors();
	write_report(argv[optind + PROGRAMS], rounds, seconds(CLOCK_MONOTONIC) - started);
	return 0;
}

// SPDX-License-Identifier: MIT
/* The run: noise in batches, each followed by valid questions that must be answered; now and then a checkpoint,
 * where all mappings are removed and nothing may be left. */
#include "fuzz.h"

#include <linux/netlink.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define BATCH 64
#define BACKLOG_EACH 400       /* batches: one of so many is large and finds a daemon that was stopped */
#define BACKLOG 20000
#define TOO_OLD 9.0            /* s: what is asked once more then is not answered if the machine is as slow as that */
#define CONVERSATION_TIME 12000 /* ms: conversations with peers that said no more may fill their table for so long */
#define CHECKPOINT 20.0        /* s */
#define CHECKPOINT_OF_FAULT 3.0
#define STATUS 10.0            /* s */
#define LAST 20000             /* inputs that are kept for a replay */
#define GROWTH_KB 24576        /* of a heap that the runtime collects when it likes, below 32768 */
#define GROWTH_THREADS 2       /* the runtime's pool takes and lets go of threads */
#define DUMPS 40

static const char *out_folder = ".", *replay_path;
static uint64_t seed, input_count, sent_bytes, kernel_messages[HELLO + 1], peer_messages[4];
static int failures;
static bool is_stopped, answers_peers;
static struct random reactive;
static double worst_answer;
static uint64_t episodes;

static struct { char kind; uint8_t from; uint32_t to, address, size; uint8_t *bytes; } last[LAST];
static uint64_t last_count;

/* The questions of the moment. */
static struct {
	uint32_t sequence;
	bool answered;
	uint16_t error, mapped_port;
	struct sockaddr_in local, remote;
	double at, patience;
} question;
static struct { uint64_t handle; uint16_t port; int type; } replies[4];
static uint64_t next_handle, request_handle;

double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

double patience(void) { return seconds() - host_waited(); }

uint64_t mix(uint64_t v)
{
	v += 0x9e3779b97f4a7c15;
	v = (v ^ v >> 30) * 0xbf58476d1ce4e5b9;
	v = (v ^ v >> 27) * 0x94d049bb133111eb;
	return v ^ v >> 31;
}

/* ---- inputs, kept for a replay ---- */

static void save(void)
{
	char path[300];
	FILE *file;

	snprintf(path, sizeof path, "%s/failure-%llu.txt", out_folder, (unsigned long long)seed);
	if (replay_path || !(file = fopen(path, "w")))
		return;
	for (uint64_t i = last_count < LAST ? 0 : last_count - LAST; i < last_count; i++) {
		fprintf(file, "%c %u %u %u ", last[i % LAST].kind, last[i % LAST].from, last[i % LAST].to, last[i % LAST].address);
		for (uint32_t b = 0; b < last[i % LAST].size; b++)
			fprintf(file, "%02x", last[i % LAST].bytes[b]);
		fputc('\n', file);
	}
	fclose(file);
	printf("The last inputs are in %s\n", path);
}

void fail(const char *format, ...)
{
	va_list arguments;

	if (++failures > 8)
		return;
	printf("FAILED: ");
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf(" (input %llu, seed %llu)\n", (unsigned long long)input_count, (unsigned long long)seed);
}

static void remember(const struct input *input)
{
	uint64_t at = last_count++ % LAST;

	last[at].kind = input->kind;
	last[at].from = input->from;
	last[at].to = input->to;
	last[at].address = input->address;
	last[at].size = input->size;
	last[at].bytes = realloc(last[at].bytes, input->size + 1);
	memcpy(last[at].bytes, input->bytes, input->size);
}

bool has_failed(void) { return failures > 0; }

void submit(const struct input *input)
{
	remember(input);
	if (input->kind == 'E')
		return episode(input);
	judge_sent(input);
	host_send(input);
	input_count += strchr("KFUuC", input->kind) != NULL;
	sent_bytes += input->size;
}

/* ---- what comes back ---- */

void on_kernel(int verdict, const uint8_t *bytes, size_t size)
{
	uint16_t operation = get16(bytes + 4) & 1023;

	judge_kernel(verdict, bytes, size);
	input_saw(bytes, size, get32(bytes + 8));
	if (operation <= HELLO)
		kernel_messages[operation]++;
	if (verdict)
		return; /* the kernel did not take it */
	endpoints_heard(bytes, size);
	if ((operation != ADD_MAPPING && operation != QUERY_MAPPING && operation != HANDLE_ERR) ||
		get32(bytes + 20) != question.sequence || question.answered)
		return;
	if (operation != HANDLE_ERR && answers_peers && get32(bytes + 28 + 4) != question.local.sin_addr.s_addr)
		return; /* to noise that had this number by chance */
	question.answered = true;
	question.error = get16(bytes + size - 4);
	if (operation == ADD_MAPPING) {
		memcpy(&question.local, bytes + 28, sizeof question.local);
		question.mapped_port = ntohs(get16(bytes + 28 + 132 + 2));
	} else if (operation == QUERY_MAPPING) {
		memcpy(&question.local, bytes + 28, sizeof question.local);
		memcpy(&question.remote, bytes + 28 + 132, sizeof question.remote);
		question.mapped_port = ntohs(get16(bytes + 28 + 3 * 132 + 2));
	}
}

void on_peer(enum socket_name at, const struct sockaddr_in6 *from, const uint8_t *bytes, size_t size)
{
	int type = bytes[0] >> 4;

	judge_peer(at, from, bytes, size);
	if (type < 4)
		peer_messages[type]++;
	for (int i = 0; i < 4; i++)
		if (size >= 16 && get64(bytes + 8) == replies[i].handle) {
			replies[i].type = type;
			replies[i].port = ntohs(get16(bytes + 4));
			return;
		}
	if (endpoints_met(at, from, bytes, size))
		return;
	if (type == 0)
		request_handle = get64(bytes + 8);
	input_saw(bytes, size, 0);
	if (answers_peers)
		input_answer(&reactive, at, from, bytes, size);
}

/* ---- valid questions ---- */

static void ask_kernel(struct input *input, uint32_t sequence)
{
	memset(&question, 0, sizeof question);
	question.local.sin_addr.s_addr = get32(input->bytes + 28 + 4);
	question.sequence = sequence;
	question.at = seconds();
	question.patience = patience();
	judge_sent(input);
	host_send(input);
}

/* False when there was a failure, or the daemon has ended as it may. */
static bool await(bool (*is_answered)(void), const char *what, void (*again)(void))
{
	double since = patience(), asked = seconds();

	while (!is_answered() && !failures && host_runs()) {
		host_wait(20);
		host_drain();
		if (again && seconds() - asked > 0.5) { /* a datagram may be lost where a buffer is full */
			again();
			asked = seconds();
		}
		if (patience() - since > ANSWER_TIME)
			fail("hang: %s is not answered within %.0f s", what, ANSWER_TIME);
	}
	if (patience() - since > worst_answer)
		worst_answer = patience() - since;
	return !failures && host_runs();
}

static void add_and_remove(struct input *input, const char *address, uint16_t port, bool remove)
{
	struct sockaddr_storage local = { 0 };
	struct sockaddr_in *v4 = (struct sockaddr_in *)&local;

	v4->sin_family = AF_INET;
	v4->sin_port = htons(port);
	inet_pton(AF_INET, address, &v4->sin_addr);
	input->kind = 'K';
	input->size = build_manage(input->bytes, ADD_MAPPING, CLIENT, &local, NULL);
	if (remove)
		input->size += build_manage(input->bytes + input->size, REMOVE_MAPPING, CLIENT, &local, NULL);
}

static void send_request(int which)
{
	static const enum destination to[] = { V4_ANSWERING, V6_ANSWERING, V4_ASKING, V6_ASKING };
	static struct input input;
	int family = which & 1 ? AF_INET6 : AF_INET;

	input = (struct input){ .kind = 'U', .from = which & 1 ? ANY6 : ANY4, .to = to[which] };
	input.size = build_peer(input.bytes, 0, family, replies[which].handle, which & 1 ? "fd00::2" : "10.0.0.2",
		64007, which & 1 ? "fd00::ffff" : "10.255.255.254", 64008);
	judge_sent(&input);
	host_send(&input);
}

static void send_missing(void)
{
	for (int i = 0; i < 4; i++)
		if (replies[i].type < 0)
			send_request(i);
}

static bool replies_are_there(void)
{
	host_drain();
	return question.answered && replies[0].type >= 0 && replies[1].type >= 0 && replies[2].type >= 0 &&
		replies[3].type >= 0;
}

static bool question_is_answered(void) { return question.answered; }

static void ask_add(void)
{
	static struct input input;

	add_and_remove(&input, "10.255.0.1", 64007, true);
	ask_kernel(&input, get32(input.bytes + 8));
}

static void ask_again(void)
{
	send_missing();
	if (!question.answered && seconds() - question.at > TOO_OLD && patience() - question.patience < TOO_OLD - 1)
		ask_add();
}

/* When this returns all that was sent before was served: each socket of the daemon answered a question that came
 * last. */
bool fence(void)
{
	host_go_on();
	ask_add();
	for (int i = 0; i < 4; i++) {
		replies[i].handle = mix(next_handle++ ^ seed << 20) | 1ull << 63;
		replies[i].type = -1;
		send_request(i);
	}
	if (!await(replies_are_there, "a valid ADD_MAPPING or Request", ask_again) && !failures)
		return false;
	if (failures) {
		printf("Answered: ADD_MAPPING %s; Requests on the sockets V4_ANSWERING %s, V6_ANSWERING %s, V4_ASKING %s, "
		       "V6_ASKING %s\n",
			question.answered ? "yes" : "no", replies[0].type >= 0 ? "yes" : "no",
			replies[1].type >= 0 ? "yes" : "no", replies[2].type >= 0 ? "yes" : "no",
			replies[3].type >= 0 ? "yes" : "no");
		return false;
	}
	if (question.error == 0 &&
		(question.local.sin_port != htons(64007) || question.local.sin_addr.s_addr != inet_addr("10.255.0.1") ||
			question.mapped_port == 64007))
		fail("answer: ADD_MAPPING of 10.255.0.1:64007 is answered with another address");
	for (int i = 0; i < 4; i++)
		if (replies[i].type != 1 && replies[i].type != 3)
			fail("answer: a Request is answered by a message of type %d", replies[i].type);
	return !failures;
}

void pass(uint64_t milliseconds)
{
	host_advance(milliseconds);
	for (int n = 0; n < 3 && !failures; n++) { /* what was due at one wake-up is done before the next */
		replies[0].handle = mix(next_handle++ ^ seed << 20) | 1ull << 63;
		replies[0].type = -1;
		send_request(0);
		await(replies_are_there, "a Request", send_missing);
	}
}

/* One query, accepted by its peer. */
static void probe_query(const struct sockaddr_in *local)
{
	static struct input input;
	struct sockaddr_storage address = { 0 };
	struct sockaddr_in *remote = (struct sockaddr_in *)&address;

	*remote = (struct sockaddr_in){
		.sin_family = AF_INET, .sin_port = htons(64009), .sin_addr.s_addr = inet_addr("10.0.0.2")
	};
	input.kind = 'K';
	input.size = build_manage(input.bytes, QUERY_MAPPING, CLIENT, local, NULL);
	put16(input.bytes + input.size, 132);
	put16(input.bytes + input.size + 2, 3);
	memcpy(input.bytes + input.size + 4, remote, 128);
	put32(input.bytes, input.size += 132);
	request_handle = 0;
	ask_kernel(&input, get32(input.bytes + 8));
	for (double since = patience(); !request_handle && !question.answered && patience() - since < ANSWER_TIME;) {
		host_wait(20);
		host_drain();
	}
	if (request_handle) {
		input = (struct input){ .kind = 'U', .from = PEER4_A, .to = V4_ASKING };
		input.size = build_peer(input.bytes, 1, AF_INET, request_handle, "10.255.255.254", 64008, "10.0.0.2", 41000);
		judge_sent(&input);
		host_send(&input);
	}
	if (!await(question_is_answered, "QUERY_MAPPING", NULL))
		return;
	if (question.error || question.mapped_port != 41000 || question.remote.sin_port != htons(64009))
		fail("answer: QUERY_MAPPING into empty tables, whose peer accepts with port 41000: error %u, mapped remote port %u",
			question.error, question.mapped_port);
	input.kind = 'K';
	input.size = build_manage(input.bytes, REMOVE_MAPPING, CLIENT, local, NULL);
	judge_sent(&input);
	host_send(&input);
	fence();
}

/* One mapping from ADD to REMOVE, with a peer; then one query. The tables are empty. */
static void probe(void)
{
	static struct input input;
	struct sockaddr_storage address = { 0 };
	struct sockaddr_in *local = (struct sockaddr_in *)&address;
	uint16_t port;

	add_and_remove(&input, "10.255.255.254", 64008, false);
	ask_kernel(&input, get32(input.bytes + 8));
	if (!await(question_is_answered, "ADD_MAPPING", NULL))
		return;
	port = question.mapped_port;
	if (question.error || port == 64008 || question.local.sin_port != htons(64008) || host_port_is_free(port))
		return fail("answer: ADD_MAPPING into an empty table: error %u, mapped port %u %s", question.error, port,
			host_port_is_free(port) ? "is not bound" : "");
	replies[0].handle = mix(next_handle++ ^ seed << 20) | 1ull << 63;
	replies[0].type = -1;
	send_request(0);
	if (!await(replies_are_there, "a Request", send_missing))
		return;
	if (replies[0].type != 1 || replies[0].port != port)
		return fail("answer: a Request for a mapped address: type %d, port %u, not %u", replies[0].type,
			replies[0].port, port);
	local->sin_family = AF_INET;
	local->sin_port = htons(64008);
	local->sin_addr.s_addr = inet_addr("10.255.255.254");
	input.size = build_manage(input.bytes, REMOVE_MAPPING, CLIENT, local, NULL);
	judge_sent(&input);
	host_send(&input);
	if (!fence())
		return;
	if (!host_port_is_free(port))
		fail("port: %u is bound after REMOVE_MAPPING", port);
	if (!failures)
		probe_query(local);
}

/* ---- checkpoints ---- */

static struct measure first, now;
static int checkpoints, peak_mappings;
static long peak_anonymous;

void remove_all(void)
{
	static struct input input = { .kind = 'K' };
	struct dumped *rows;
	int count = 0;

	for (int round = 0; round < DUMPS && !failures; round++) {
		if ((count = host_dump(&rows)) <= 0)
			return;
		if (count > peak_mappings)
			peak_mappings = count;
		for (int i = 0, shown = host_shown(); i < shown && !failures; i++) {
			struct sockaddr_storage local = { 0 };

			memcpy(&local, &rows[i].local, sizeof rows[i].local);
			for (int n = 0; n < rows[i].references; n++) {
				if (input.size > 8192 - 200) {
					judge_sent(&input);
					host_send(&input);
					input.size = 0;
				}
				input.size += build_manage(input.bytes + input.size, REMOVE_MAPPING, rows[i].client, &local, NULL);
			}
		}
		judge_sent(&input);
		host_send(&input);
		input.size = 0;
		fence();
	}
	if (!failures)
		fail("tables: %d mappings are left after all were removed", count);
}

/* The kernel does all as it should. */
void calm(void)
{
	static const struct input calm[] = { { .kind = 'A', .to = UINT32_MAX }, { .kind = 'R' }, { .kind = 'B', .to = 4 } };

	answers_peers = false;
	for (int i = 0; i < 3; i++)
		host_send(&calm[i]);
	host_dismiss();
}

static void checkpoint(void)
{
	int port;

	calm();
	if (!fence())
		return;
	remove_all();
	pass(CONVERSATION_TIME); /* and registrations are answered, peers forgotten that were not reached */
	if (failures || !fence())
		return;
	probe();
	if ((port = host_held(1, 65535)))
		fail("port: TCP port %d is bound though there are no mappings", port);
	now = host_measure_at_rest(first.descriptors);
	if (now.anonymous > peak_anonymous)
		peak_anonymous = now.anonymous;
	if (checkpoints++ == 0)
		first = now;
	if (now.rss > first.rss + GROWTH_KB || now.anonymous > first.anonymous + GROWTH_KB)
		fail("memory: %ld KB resident, %ld KB anonymous; at the first checkpoint %ld and %ld", now.rss,
			now.anonymous, first.rss, first.anonymous);
	if (now.descriptors != first.descriptors)
		fail("descriptors: %d, at the first checkpoint %d", now.descriptors, first.descriptors);
	if (now.threads > first.threads + GROWTH_THREADS)
		fail("threads: %d, at the first checkpoint %d", now.threads, first.threads);
	judge_forget();
}

/* ---- runs ---- */

static void print_status(double started)
{
	double passed = seconds() - started;
	struct measure live = host_measure();

	printf("%6.0f s  %llu inputs  %.0f/s  rss %ld KB  fds %d  threads %d  worst answer %.0f ms  checkpoints %d: "
	       "anonymous %ld KB, fds %d\n",
		passed, (unsigned long long)input_count, input_count / passed, live.rss, live.descriptors, live.threads,
		worst_answer * 1000, checkpoints, now.anonymous, now.descriptors);
}

/* Of either kind by turns. Only the first half of a run has lives: in the second one what grows has the time to. */
static void submit_episode(bool is_second_half)
{
	static struct input input;

	input = (struct input){ .kind = 'E', .to = is_second_half ? 0 : (seed + episodes) % EPISODES, .size = 8 };
	put64(input.bytes, mix(seed ^ mix(~episodes++)));
	submit(&input);
}

/* So many seconds beside those of the episodes. */
static void fuzz(double duration, double interval, bool is_fault)
{
	static struct input input;
	static const struct input all_as_it_should = { .kind = 'A', .to = UINT32_MAX };
	double started, check_at, status_at;
	uint64_t index = 0, batch = 0;

	submit_episode(false);
	started = seconds();
	check_at = started + interval;
	status_at = started + STATUS;
	while (!failures && !is_stopped && seconds() - started < duration) {
		answers_peers = true;
		bool is_backlog = ++batch % BACKLOG_EACH == 0;
		if (is_backlog)
			submit(&(struct input){ .kind = 'S' });
		for (int i = 0; i < (is_backlog ? BACKLOG : BATCH) && !failures; i++) {
			input_make(&input, seed, index++);
			submit(&input);
			if (i % BATCH == 0)
				submit(&all_as_it_should);
		}
		submit(&all_as_it_should);
		remember(&(struct input){ .kind = '.' });
		host_drain();
		fence();
		if (!failures && (seconds() >= check_at || judge_is_full())) {
			double before;

			checkpoint();
			before = seconds();
			if (!failures && !is_fault) /* whose own process continues */
				submit_episode(before - started >= duration / 2);
			started += seconds() - before;
			check_at = seconds() + interval;
		}
		if (seconds() >= status_at) {
			print_status(started);
			status_at = seconds() + STATUS;
		}
	}
	if (!failures)
		checkpoint();
	print_status(started);
}

static void replay(void)
{
	static char line[2 * MAX_INPUT + 100];
	static struct input input;
	FILE *file = fopen(replay_path, "r");
	int at;

	if (!file) {
		perror(replay_path);
		exit(2);
	}
	checkpoint(); /* to compare with */
	while (!failures && fgets(line, sizeof line, file)) {
		unsigned from;

		if (sscanf(line, "%c %u %u %u%n", &input.kind, &from, &input.to, &input.address, &at) != 4)
			continue;
		input.from = from;
		input.size = read_hex(line + at + 1, input.bytes, MAX_INPUT);
		if (input.kind == 'u' && input.size >= 16)
			put64(input.bytes + 8, request_handle);
		if (input.kind == '.')
			fence();
		else
			submit(&input);
		host_drain();
	}
	fclose(file);
	if (!failures)
		checkpoint();
}

static void on_signal(int signal) { is_stopped = signal; }

int main(int argc, char **argv)
{
	const char *daemon = NULL, *preload = NULL, *corpus = NULL, *fault = NULL;
	double duration = 60;
	struct timespec clock;

	setvbuf(stdout, NULL, _IOLBF, 0);
	clock_gettime(CLOCK_REALTIME, &clock);
	seed = clock.tv_sec % 1000000000;
	for (int i = 1; i + 1 < argc; i += 2) {
		if (!strcmp(argv[i], "--daemon")) daemon = argv[i + 1];
		else if (!strcmp(argv[i], "--preload")) preload = argv[i + 1];
		else if (!strcmp(argv[i], "--corpus")) corpus = argv[i + 1];
		else if (!strcmp(argv[i], "--out")) out_folder = argv[i + 1];
		else if (!strcmp(argv[i], "--fault")) fault = argv[i + 1];
		else if (!strcmp(argv[i], "--seconds")) duration = atof(argv[i + 1]);
		else if (!strcmp(argv[i], "--seed")) seed = strtoull(argv[i + 1], NULL, 10);
		else if (!strcmp(argv[i], "--replay")) replay_path = argv[i + 1];
	}
	if (!daemon || !preload || !corpus || argc % 2 == 0) {
		fprintf(stderr, "fuzz: see fuzz/run\n");
		return 2;
	}
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);
	signal(SIGPIPE, SIG_IGN);
	atexit(host_stop);
	reactive.state = mix(seed);
	input_load(corpus);
	printf("seed %llu\n", (unsigned long long)seed);
	host_start(daemon, preload, fault);
	if (replay_path)
		replay();
	else
		fuzz(duration, fault ? CHECKPOINT_OF_FAULT : duration / 2 < CHECKPOINT ? duration / 2 : CHECKPOINT, fault);
	if (failures) {
		printf("The daemon's last words:\n");
		host_print_log(stdout);
		host_print_state(daemon);
		save();
	}
	printf("to the kernel: %llu registrations, %llu adds, %llu queries, %llu refusals, %llu remote infos, %llu "
	       "hellos, %llu replays; to peers: %llu Requests, %llu Accepts, %llu Acks, %llu Rejects\n",
		(unsigned long long)kernel_messages[REG_PID], (unsigned long long)kernel_messages[ADD_MAPPING],
		(unsigned long long)kernel_messages[QUERY_MAPPING], (unsigned long long)kernel_messages[HANDLE_ERR],
		(unsigned long long)kernel_messages[REMOTE_INFO], (unsigned long long)kernel_messages[HELLO],
		(unsigned long long)kernel_messages[MAPINFO_NUM], (unsigned long long)peer_messages[0],
		(unsigned long long)peer_messages[1], (unsigned long long)peer_messages[2],
		(unsigned long long)peer_messages[3]);
	printf("%s: %llu inputs, %.1f MB; %llu episodes; %d checkpoints: anonymous memory %ld KB at the first, %ld at "
	       "most, %ld at the last; rss %ld, %ld KB; fds %d, %d; threads %d, %d; up to %d mappings; worst answer %.0f ms\n",
		failures ? "FAILED" : "passed", (unsigned long long)input_count, sent_bytes / 1e6,
		(unsigned long long)episodes, checkpoints, first.anonymous, peak_anonymous, now.anonymous, first.rss, now.rss,
		first.descriptors, now.descriptors, first.threads, now.threads, peak_mappings, worst_answer * 1000);
	return failures ? 1 : 0;
}

// SPDX-License-Identifier: MIT
// rdmatest: listens on and connects to RDMA addresses through librdmacm, and says in one line each what came of it
// and how long it took.
//
//   rdmatest listen  ADDR PORT[-PORT] [--threads N] [--seconds LIFE]
//   rdmatest churn   ADDR PORT[-PORT] [--threads N] [--seconds LIFE]      listeners that come and go
//   rdmatest connect ADDR PORT[-PORT] [--parallel N] [--times N] [--timeout S] [--hold S]
//
// Unlike rping it ends in bounded time whatever happens: an answer that does not come is printed as "timeout".
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <rdma/rdma_cma.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum outcome { ESTABLISHED, REFUSED, FAILED, TIMEOUT, OUTCOMES };

static const char *const outcomes[OUTCOMES] = { "established", "refused", "failed", "timeout" };

static const char *address;
static int first_port, last_port;
static int threads = 4, parallel = 1, times = 1, life = 600, timeout = 30, hold;
static pthread_barrier_t start_line;

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void die(const char *what)
{
	fprintf(stderr, "rdmatest: %s: %s\n", what, strerror(errno));
	exit(1);
}

static const char *show(const struct sockaddr *sa, char *text, size_t size)
{
	char ip[INET6_ADDRSTRLEN] = "?";

	if (sa->sa_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const void *)sa;

		inet_ntop(AF_INET6, &in6->sin6_addr, ip, sizeof ip);
		snprintf(text, size, "[%s]:%u", ip, ntohs(in6->sin6_port));
	} else {
		const struct sockaddr_in *in = (const void *)sa;

		inet_ntop(AF_INET, &in->sin_addr, ip, sizeof ip);
		snprintf(text, size, "%s:%u", ip, ntohs(in->sin_port));
	}
	return text;
}

static struct sockaddr_storage endpoint(int port)
{
	struct sockaddr_storage storage = { 0 };
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST }, *found;

	if (getaddrinfo(address, NULL, &hints, &found)) {
		fprintf(stderr, "rdmatest: %s is no IPv4 or IPv6 address\n", address);
		exit(1);
	}
	memcpy(&storage, found->ai_addr, found->ai_addrlen);
	freeaddrinfo(found);
	// The port stands at the same place in both families.
	((struct sockaddr_in *)&storage)->sin_port = htons(port);
	return storage;
}

static struct rdma_event_channel *open_channel(void)
{
	struct rdma_event_channel *channel = rdma_create_event_channel();

	if (!channel)
		die("no event channel (is rdma_ucm loaded?)");
	return channel;
}

// soft iWARP refuses to connect or accept without a queue pair.
static int add_queue_pair(struct rdma_cm_id *id)
{
	struct ibv_qp_init_attr attributes = {
		.cap = { .max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1 },
		.qp_type = IBV_QPT_RC,
	};

	return rdma_create_qp(id, NULL, &attributes);
}

static struct rdma_conn_param parameters(void)
{
	return (struct rdma_conn_param){ .responder_resources = 1, .initiator_depth = 1, .retry_count = 5 };
}

// ---- listen

static int listened, listen_errno;
static double listen_slowest;
static pthread_mutex_t listen_lock = PTHREAD_MUTEX_INITIALIZER;

static void serve(struct rdma_event_channel *channel)
{
	struct rdma_cm_event *event;
	char peer[64], own[64];

	while (!rdma_get_cm_event(channel, &event)) {
		enum rdma_cm_event_type type = event->event;
		struct rdma_cm_id *id = event->id;
		struct rdma_conn_param parameter = parameters();

		rdma_ack_cm_event(event);
		show(rdma_get_peer_addr(id), peer, sizeof peer);
		show(rdma_get_local_addr(id), own, sizeof own);
		switch (type) {
		case RDMA_CM_EVENT_CONNECT_REQUEST:
			if (add_queue_pair(id) || rdma_accept(id, &parameter))
				printf("accept-failed %s on %s: %s\n", peer, own, strerror(errno));
			break;
		case RDMA_CM_EVENT_ESTABLISHED:
			printf("accepted %s on %s\n", peer, own);
			break;
		case RDMA_CM_EVENT_DISCONNECTED:
			rdma_disconnect(id);
			printf("closed %s on %s\n", peer, own);
			if (id->qp)
				rdma_destroy_qp(id);
			rdma_destroy_id(id);
			break;
		case RDMA_CM_EVENT_DEVICE_REMOVAL:
			printf("device removed from %s\n", own);
			if (id->qp)
				rdma_destroy_qp(id);
			rdma_destroy_id(id);
			break;
		default:
			printf("event %s of %s on %s\n", rdma_event_str(type), peer, own);
		}
	}
}

static struct rdma_cm_id *listen_on(struct rdma_event_channel *channel, int port)
{
	struct sockaddr_storage at = endpoint(port);
	struct rdma_cm_id *id = NULL;
	double start = now_ms(), took;
	int failed = rdma_create_id(channel, &id, NULL, RDMA_PS_TCP) || rdma_bind_addr(id, (struct sockaddr *)&at) ||
		rdma_listen(id, 128);
	int why = errno;

	took = now_ms() - start;
	pthread_mutex_lock(&listen_lock);
	if (failed)
		listen_errno = why;
	else
		listened++;
	if (took > listen_slowest)
		listen_slowest = took;
	pthread_mutex_unlock(&listen_lock);
	return id;
}

static void *listener(void *argument)
{
	int index = (int)(long)argument;
	struct rdma_event_channel *channel = open_channel();

	pthread_barrier_wait(&start_line);
	for (int port = first_port + index; port <= last_port; port += threads)
		listen_on(channel, port);
	pthread_barrier_wait(&start_line);
	serve(channel);
	return NULL;
}

static atomic_bool churn_over;

static void *churner(void *argument)
{
	int index = (int)(long)argument;
	struct rdma_event_channel *channel = open_channel();

	pthread_barrier_wait(&start_line);
	while (!churn_over)
		for (int port = first_port + index; port <= last_port && !churn_over; port += threads) {
			struct rdma_cm_id *id = listen_on(channel, port);

			if (id)
				rdma_destroy_id(id);
			usleep(20000);
		}
	pthread_barrier_wait(&start_line);
	return NULL;
}

// ---- connect

static int counts[OUTCOMES];
static double *taken;
static int finished;
static pthread_mutex_t result_lock = PTHREAD_MUTEX_INITIALIZER;

static enum rdma_cm_event_type next_event(struct rdma_event_channel *channel, double deadline, int *status)
{
	struct pollfd ready = { .fd = channel->fd, .events = POLLIN };
	double left = deadline - now_ms();
	struct rdma_cm_event *event;
	enum rdma_cm_event_type type;

	errno = ETIMEDOUT;
	if (left <= 0 || poll(&ready, 1, (int)left) != 1 || rdma_get_cm_event(channel, &event))
		return (enum rdma_cm_event_type)-1;
	type = event->event;
	*status = event->status;
	rdma_ack_cm_event(event);
	return type;
}

static enum outcome connect_once(struct rdma_event_channel *channel, struct rdma_cm_id *id, double deadline, int *why)
{
	struct rdma_conn_param parameter = parameters();
	int status = 0;
	enum rdma_cm_event_type type;

	if (rdma_connect(id, &parameter)) {
		*why = errno;
		return errno == ECONNREFUSED ? REFUSED : errno == ETIMEDOUT ? TIMEOUT : FAILED;
	}
	type = next_event(channel, deadline, &status);
	*why = -status;
	if (type == RDMA_CM_EVENT_ESTABLISHED)
		return ESTABLISHED;
	if ((int)type == -1)
		*why = ETIMEDOUT;
	if ((int)type == -1 || status == -ETIMEDOUT)
		return TIMEOUT;
	return status == -ECONNREFUSED ? REFUSED : FAILED;
}

// False: errno says why not.
static bool arrives(struct rdma_event_channel *channel, enum rdma_cm_event_type wanted, double deadline)
{
	int status = 0;
	enum rdma_cm_event_type type = next_event(channel, deadline, &status);

	if (type != wanted && (int)type != -1)
		errno = -status;
	return type == wanted;
}

// NULL: step is what failed, errno says why.
static struct rdma_cm_id *resolve(struct rdma_event_channel *channel, int port, double deadline, const char **step)
{
	struct sockaddr_storage to = endpoint(port);
	struct rdma_cm_id *id;

	*step = "no identifier: ";
	if (rdma_create_id(channel, &id, NULL, RDMA_PS_TCP))
		return NULL;
	*step = "address not resolved: ";
	if (rdma_resolve_addr(id, NULL, (struct sockaddr *)&to, timeout * 1000) ||
		!arrives(channel, RDMA_CM_EVENT_ADDR_RESOLVED, deadline))
		return NULL;
	*step = "route not resolved: ";
	if (rdma_resolve_route(id, timeout * 1000) || !arrives(channel, RDMA_CM_EVENT_ROUTE_RESOLVED, deadline))
		return NULL;
	*step = "no queue pair: ";
	errno = 0;
	if (add_queue_pair(id))
		return NULL;
	*step = "";
	return id;
}

static void *connector(void *argument)
{
	int index = (int)(long)argument;
	int port = first_port + index % (last_port - first_port + 1);

	for (int round = 0; round < times; round++) {
		struct rdma_event_channel *channel = open_channel();
		double deadline = now_ms() + timeout * 1e3, start, took;
		const char *step;
		struct rdma_cm_id *id = resolve(channel, port, deadline, &step);
		enum outcome outcome = FAILED;
		int why = errno;
		char own[64] = "?", peer[64] = "?";

		if (round == 0)
			pthread_barrier_wait(&start_line);
		start = now_ms();
		// The port that the library chose may be one that a port mapper holds: siw as built here ("map") binds it,
		// and as for any TCP program it is in use. Another one, then.
		for (int tries = 0; id && (outcome = connect_once(channel, id, deadline, &why)) == FAILED &&
			why == EADDRINUSE && tries < 3; tries++) {
			rdma_destroy_qp(id);
			rdma_destroy_id(id);
			if (!(id = resolve(channel, port, deadline, &step)))
				why = errno;
		}
		if (id) {
			show(rdma_get_local_addr(id), own, sizeof own);
			show(rdma_get_peer_addr(id), peer, sizeof peer);
		}
		took = now_ms() - start;

		pthread_mutex_lock(&result_lock);
		counts[outcome]++;
		taken[finished++] = took;
		if (outcome == ESTABLISHED)
			printf("established %s -> %s ms %.0f\n", own, peer, took);
		else
			printf("%s %s -> %s port %d ms %.0f (%s%s)\n", outcomes[outcome], own, peer, port, took,
				step, strerror(why));
		pthread_mutex_unlock(&result_lock);

		// The last one stays open until the process ends.
		if (id && round + 1 < times) {
			if (outcome == ESTABLISHED)
				rdma_disconnect(id);
			rdma_destroy_qp(id);
			rdma_destroy_id(id);
			rdma_destroy_event_channel(channel);
		}
	}
	return NULL;
}

static int by_size(const void *left, const void *right)
{
	double difference = *(const double *)left - *(const double *)right;

	return (difference > 0) - (difference < 0);
}

static int summary(int wanted)
{
	pthread_mutex_lock(&result_lock);
	counts[TIMEOUT] += wanted - finished;
	qsort(taken, finished, sizeof *taken, by_size);
	printf("total %d", wanted);
	for (int i = 0; i < OUTCOMES; i++)
		printf(" %s %d", outcomes[i], counts[i]);
	printf(" ms min %.0f median %.0f max %.0f\n", finished ? taken[0] : -1, finished ? taken[finished / 2] : -1,
		finished ? taken[finished - 1] : -1);
	pthread_mutex_unlock(&result_lock);
	for (int i = OUTCOMES - 1; i > ESTABLISHED; i--)
		if (counts[i])
			return i + 1;
	return 0;
}

// ---- both

static void run_threads(int count, void *(*body)(void *))
{
	pthread_attr_t attributes;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 128 * 1024);
	for (int i = 0; i < count; i++) {
		pthread_t thread;

		errno = pthread_create(&thread, &attributes, body, (void *)(long)i);
		if (errno)
			die("no thread");
		pthread_detach(thread);
	}
}

static int wait_for_signal(double seconds)
{
	struct timespec limit = { .tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (time_t)seconds) * 1e9) };
	sigset_t ending;
	int number;

	sigemptyset(&ending);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGINT);
	// systemd stops and continues every process when the root changes.
	while ((number = sigtimedwait(&ending, NULL, &limit)) < 0 && errno == EINTR)
		;
	return number > 0;
}

static int usage(void)
{
	fputs("usage: rdmatest listen ADDR PORT[-PORT] [--threads N] [--seconds LIFE]\n"
	      "       rdmatest churn ADDR PORT[-PORT] [--threads N] [--seconds LIFE]\n"
	      "       rdmatest connect ADDR PORT[-PORT] [--parallel N] [--times N] [--timeout S] [--hold S]\n", stderr);
	return 64;
}

int main(int argc, char **argv)
{
	const struct { const char *name; int *value; } options[] = {
		{ "--threads", &threads }, { "--seconds", &life }, { "--parallel", &parallel },
		{ "--times", &times }, { "--timeout", &timeout }, { "--hold", &hold },
	};
	const int option_count = sizeof options / sizeof *options;
	sigset_t ending;

	if (argc < 4)
		return usage();
	address = argv[2];
	switch (sscanf(argv[3], "%d-%d", &first_port, &last_port)) {
	case 1: last_port = first_port; break;
	case 2: break;
	default: return usage();
	}
	for (int i = 4; i < argc; i += 2) {
		int known = 0;

		while (known < option_count && strcmp(argv[i], options[known].name))
			known++;
		if (known == option_count || i + 1 == argc)
			return usage();
		*options[known].value = atoi(argv[i + 1]);
	}

	sigemptyset(&ending);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGINT);
	sigprocmask(SIG_BLOCK, &ending, NULL);
	setvbuf(stdout, NULL, _IOLBF, 0);

	if (!strcmp(argv[1], "listen")) {
		int ports = last_port - first_port + 1;
		double start = now_ms();

		if (threads > ports)
			threads = ports;
		pthread_barrier_init(&start_line, NULL, threads + 1);
		run_threads(threads, listener);
		pthread_barrier_wait(&start_line);
		pthread_barrier_wait(&start_line);
		printf("listening on %d of %d ports of %s after %.0f ms, slowest %.0f ms%s%s\n", listened, ports, address,
			now_ms() - start, listen_slowest, listen_errno ? ", last failure: " : "",
			listen_errno ? strerror(listen_errno) : "");
		if (listened)
			wait_for_signal(life);
		return listened == ports ? 0 : 1;
	}
	if (!strcmp(argv[1], "churn")) {
		pthread_barrier_init(&start_line, NULL, threads + 1);
		run_threads(threads, churner);
		pthread_barrier_wait(&start_line);
		wait_for_signal(life);
		churn_over = true;
		pthread_barrier_wait(&start_line);
		printf("churned %d slowest %.0f ms%s%s\n", listened, listen_slowest, listen_errno ? ", last failure: " : "",
			listen_errno ? strerror(listen_errno) : "");
		return listen_errno != 0;
	}
	if (!strcmp(argv[1], "connect")) {
		int wanted = parallel * times, status;
		double deadline = now_ms() + (timeout + 1) * 1e3 * times;

		taken = calloc(wanted, sizeof *taken);
		pthread_barrier_init(&start_line, NULL, parallel);
		run_threads(parallel, connector);
		// rdma_connect can sit in the kernel for as long as the kernel waits for its port mapper: nobody waits for
		// such a thread.
		while (now_ms() < deadline) {
			pthread_mutex_lock(&result_lock);
			int ready = finished == wanted;
			pthread_mutex_unlock(&result_lock);
			if (ready || wait_for_signal(0.005))
				break;
		}
		status = summary(wanted);
		if (hold && counts[ESTABLISHED])
			wait_for_signal(hold);
		return status;
	}
	return usage();
}

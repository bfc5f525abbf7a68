// SPDX-License-Identifier: MIT
/*
 * What simkernel.so shares with whoever plays the rest of the kernel: a test, or a load generator.
 *
 * $SIMKERNEL names a folder with two entries, both made by the player:
 *   kernel   struct simkernel, mapped by both sides; the replay's MAPINFO messages stand behind SIMKERNEL_REPLAY_AT
 *   socket   a listening SOCK_SEQPACKET socket; each netlink socket that the daemon opens is announced there by one
 *            struct simannounce with two descriptors: the kernel's end of the socket, and a page with its struct
 *            simsocket. The player answers with one byte. The connection stays open: when the player is gone, so is
 *            the daemon. A process that is handed such a socket by another one sends SIMKERNEL_ADOPT with the socket's
 *            inode instead, and the player answers with a byte and, if it knows it, the same two descriptors.
 *
 * On the kernel's end the player reads datagrams that begin with a struct simrecord, and writes datagrams that begin
 * with a struct simheader.
 */
#ifndef SIMKERNEL_H
#define SIMKERNEL_H

#include <stdint.h>

#define SIMKERNEL_MAGIC 0x6d697371u
#define SIMKERNEL_ADOPT 0x6d697372u
#define SIMKERNEL_REPLAY_AT 4096
#define SIMKERNEL_OPERATIONS 16

/* What becomes of an operation that the daemon sends: 0 as a kernel does it, -errno NLMSG_ERROR, or: */
#define SIMKERNEL_HOLD 1 /* the send call does not return before the player writes something else here */
#define SIMKERNEL_SILENT 2 /* taken, and nothing comes back */
#define SIMKERNEL_OVERRUN 3 /* taken, what comes back is lost since the receive buffer is full: once, then 0 here */

struct simkernel {
	uint32_t magic;
	uint32_t next_sequence;       /* nlmsg_seq of the kernel's next request of any operation; changed atomically */
	uint32_t abi;                 /* 4, or 3: HELLO is unknown then */
	/* bit mask of the netlink clients; 0 is a kernel without iw_cm. What RDMA_NL_NLDEV is asked the player answers */
	uint32_t clients;
	int32_t socket_errno;         /* not 0: socket() fails so */
	uint32_t binds_in_use;        /* so many binds to come find their port id taken */
	uint32_t replay_bytes;
	uint32_t replay_count;
	uint32_t replay_per_datagram;
	uint32_t rmem_max;            /* what SO_RCVBUF may ask for */
	int32_t action[SIMKERNEL_OPERATIONS];
	uint32_t quiet;               /* bit mask of the operations of the daemon that the player does not want to see */
	/* 1: the next receive does not return, as in a process that gets no processor, before this is 0; 2: one is held */
	uint32_t hold_receive;
	uint32_t replay_whole;        /* the replay is not cut off after 19 datagrams, as a kernel does */
	/* the player ends the daemon itself: its own end is no signal, and opening the socket takes no longer than it must */
	uint32_t own_end;
	int32_t peer_errno;           /* not 0: receiving from UDP sockets fails so, as a security module has it */
	uint32_t peer_refused;        /* how often it did */
	uint64_t clock_ahead;         /* ns: CLOCK_BOOTTIME says so much more, as after a suspend */
	uint32_t replay_version;      /* odd while the player changes the replay: then it waits */
};

struct simsocket {
	uint32_t magic;
	uint32_t portid;
	uint32_t groups;
	int32_t rcvbuf;               /* as the kernel keeps it: doubled */
	int32_t rmem;                 /* charged for what is unread; changed atomically, as all below */
	int32_t queued;               /* datagrams unread */
	int32_t error;                /* errno of the next receive */
	int32_t congested;            /* something was dropped and the queue was not empty since */
	int32_t drops;
	int32_t max_recv;             /* the largest length that a receive asked for */
};

struct simannounce {
	uint32_t magic;               /* SIMKERNEL_MAGIC, or SIMKERNEL_ADOPT */
	uint32_t pid;
	uint64_t inode;               /* of the daemon's end */
};

struct simheader {
	uint32_t charge;              /* added to rmem by the writer, taken off by the reader */
	uint32_t source;              /* nl_pid of the sender: 0 is the kernel */
};

struct simrecord {
	uint64_t boottime_ns;         /* when the daemon sent it */
	int32_t verdict;              /* 0 taken, -errno refused with NLMSG_ERROR, 1 skipped without a word */
	uint32_t reserved;
};

#endif

#pragma once
#include <stddef.h>
#include <stdint.h>

/* What the converting processes say to each other: one frame per packet of a SOCK_SEQPACKET socket.
 * Who reads a frame trusts neither its kind nor its size. */
enum frame_kind {
	FRAME_DATA = 1, /* a piece of a tar, not empty */
	FRAME_END,      /* of a tar */
	FRAME_ERROR,    /* struct frame_error; the last one of a child */
	FRAME_RESULT,   /* struct pack_result; the last one of a child */
};

enum { FRAME_DATA_MAX = 64 << 10 };

struct frame {
	uint32_t kind;
	uint32_t reserved;
	uint8_t data[FRAME_DATA_MAX];
};

struct frame_error {
	int32_t code;
	int32_t layer; /* which one of several, from 0; -1: none or not known */
	char text[240];
};

/* size: of data. -EPIPE when nobody listens any more; never raises SIGPIPE. */
int frame_send(int fd, const struct frame *frame, size_t size);
/* 1; 0 when the other side is gone; -EPROTO for a packet that is no frame. */
int frame_receive(int fd, struct frame *frame, size_t *size);

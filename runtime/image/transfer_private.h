#pragma once
#include "runtime/image/transfer.h"

/* Between transfer.c, which decides what happens when, and transfer_request.c, which talks HTTP. */
enum { CHUNK = 256 << 10 };

/* Sends the request for what is missing of the part; 0 and the item runs. */
int transfer_request(struct transfer *item);

/* Why the request did not bring all: 1 try again, or negative with item->err set. */
int transfer_judge(struct transfer *item, CURLcode code, long status);

void transfer_count(struct transfer *item);
void transfer_file_name(const struct transfer *item, const char *kind, char out[STORE_NAME_SIZE]);

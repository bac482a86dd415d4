#pragma once
/* Shared by server.c and server_devices.c; nobody else includes it. */
#include "agent/message.h"
#include "agent/server.h"
#include "base/error.h"

/* With the code that goes with the error. */
void server_refuse(struct ttrpc_call *call, const struct error *err);
/* The container named, or NULL and the call refused. */
struct container *server_find_container(struct agent *agent, const char *id,
					struct ttrpc_call *call);
void server_answer_empty(struct ttrpc_call *call);

/* ttrpc_handler_fn; their context is the struct agent. */
void server_find_devices(void *context, struct ttrpc_call *call, const ProtobufCMessage *request);
void server_release_device(void *context, struct ttrpc_call *call, const ProtobufCMessage *request);
void server_attach_disk(void *context, struct ttrpc_call *call, const ProtobufCMessage *request);
void server_detach_disk(void *context, struct ttrpc_call *call, const ProtobufCMessage *request);

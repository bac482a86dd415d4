#pragma once
#include "agent/message.h"
#include "base/error.h"

/* Whether a message can be acted on; if not, -EINVAL and a sentence that names the field. What is
 * valid here may still fail, but the code that acts on it needs to check no lengths, no
 * enumerations and no NULLs besides optional messages. */
int validate_sandbox(const message_sandbox *message, struct error *err);
int validate_container(const message_container *message, struct error *err);
int validate_exec(const Katavm__Agent__V1__ExecProcessRequest *message, struct error *err);
int validate_signal(const Katavm__Agent__V1__SignalProcessRequest *message, struct error *err);
int validate_resources(const message_resources *resources, struct error *err); /* may be missing */
int validate_file(const message_file *file, struct error *err);                /* may be missing */
int validate_attach(const message_attach *message, struct error *err);
int validate_detach(const message_detach *message, struct error *err);
int validate_interfaces(message_interface *const *interfaces, size_t count, struct error *err);

#pragma once
#include "runtime/monitor.h"
#include "vmm/vmm.h"

/*
 * Disks that come and go while the container runs. Methods; their context is the struct
 * session_input. A disk is known by its name, which is its serial.
 *   disks         -> [{"name", "file", "path", "bytes", "read_only", "fixed"}, ...]
 *   disk-add      {"file", "name"?, "path"?, "read_only"?, "direct"?, "limits"?}
 *                 -> {"name", "path"}
 *   disk-remove   {"name", "force"?}
 *   disk-resize   {"name", "bytes"?} -> {"bytes"}: grows the file, or sees that it has grown
 * While the VM stands still they fail, and so does all else about the same disk until the VM has
 * said whether it did what was asked.
 */
void session_disks_list(void *context, struct monitor_request *request,
			struct json_object *parameters);
void session_disks_add(void *context, struct monitor_request *request,
		       struct json_object *parameters);
void session_disks_remove(void *context, struct monitor_request *request,
			  struct json_object *parameters);
void session_disks_resize(void *context, struct monitor_request *request,
			  struct json_object *parameters);

struct session_input;

/* VMM_EVENT_DISK, of what one of these methods has given up. */
void session_disks_answered(const struct session_input *input, const struct vmm_event *event);

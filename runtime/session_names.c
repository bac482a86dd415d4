#include "runtime/session_names.h"

#include "runtime/spec_mounts.h"

#include <string.h>

static void ignore_reply(void *context, const struct ttrpc_reply *reply)
{
	(void)context;
	(void)reply;
}

static void write_hosts(const struct session_input *input)
{
	Katavm__Agent__V1__WriteFileRequest request = KATAVM__AGENT__V1__WRITE_FILE_REQUEST__INIT;
	Katavm__Agent__V1__File file = KATAVM__AGENT__V1__FILE__INIT;
	struct arena arena = { 0 };
	const char *text;

	net_names_read(input->net, &arena);
	text = spec_hosts_file(input->config, input->net, &arena);
	file.path = (char *)(uintptr_t) "/etc/hosts";
	file.mode = 0644;
	file.content.data = (uint8_t *)(uintptr_t)text;
	file.content.len = strlen(text);
	request.container_id = input->container->id;
	request.file = &file;
	(void)ttrpc_client_call(input->sandbox->agent, &katavm__agent__v1__agent__descriptor,
				"WriteFile", &request.base, 0, ignore_reply, NULL);
	input->net->name_count = 0; /* they lived in the arena */
	arena_finish(&arena);
}

bool session_watch_network(const struct session_input *input, bool pending, bool started,
			   void (*say)(void *context, const char *sentence), void *context)
{
	bool changed = net_process(input->net, say, context) || pending;

	if (changed && started)
		write_hosts(input);
	return changed && !started;
}

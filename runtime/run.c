#include "runtime/run.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/kvm.h"
#include "runtime/net/message.h"
#include "runtime/run_config.h"
#include "runtime/sandbox.h"
#include "runtime/session.h"
#include "runtime/spec.h"
#include "runtime/state.h"
#include "runtime/terminal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

struct run {
	struct run_config config;
	struct arena arena;
	struct image image;
	struct net net;
	struct shares shares;
	struct sandbox sandbox;
	struct state state;
	struct trace trace;
};

static int complain(const struct error *err)
{
	(void)fprintf(stderr, "katavm: %s\n", err->text);
	return SESSION_FAILED;
}

static int find_image(const struct run_config *config, struct image *out, struct error *err)
{
	struct image_request request = {
		.reference = config->image,
		.platform = config->platform,
		.pull = IMAGE_PULL_MISSING,
		.progress = config->quiet ? PROGRESS_NONE : PROGRESS_AUTO,
	};
	int result = config->pull ? image_pull_parse(config->pull, &request.pull, err) : 0;

	if (result == 0 && config->progress && !config->quiet)
		result = progress_parse(config->progress, &request.progress, err);
	if (result == 0)
		result = image_resolve(config->root, &request, out, err);
	return result;
}

static int write_cidfile(const struct run_config *config, struct error *err)
{
	own_fd fd = -1;
	int result;

	if (!config->cidfile)
		return 0;
	fd = sys_open(AT_FDCWD, config->cidfile, O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (fd == -EEXIST)
		return error_set(err, fd,
				 "the id file %.150s exists: another container may be using it",
				 config->cidfile);
	result = fd < 0 ? fd : sys_write_all(fd, config->id, strlen(config->id));
	if (result < 0)
		return error_set(err, result, "write the id file %.150s: %s", config->cidfile,
				 sys_text(result));
	return 0;
}

/* Three lines: what, why, what to type. */
static bool host_can(void)
{
	struct kvm_report report;

	kvm_probe(&kvm_host, &report);
	if (report.state == KVM_USABLE)
		return true;
	(void)fprintf(stderr, "katavm: cannot start a VM: %s\n", report.what);
	if (*report.why)
		(void)fprintf(stderr, "  %s\n", report.why);
	(void)fprintf(stderr, "  %s%s%smore: katavm check\n", *report.fix ? "fix: " : "",
		      report.fix, *report.fix ? "      " : "");
	return false;
}

static int prepare(struct run *run, struct error *err)
{
	int result;

	if (run->config.terminal && !isatty(STDIN_FILENO))
		return error_set(
		    err, -ENOTTY,
		    "--tty needs a terminal on stdin, and there is none: leave -t away");
	result = find_image(&run->config, &run->image, err);
	if (result == 0)
		result = shares_open(&run->config, &run->arena, &run->shares, err);
	if (result == 0 && run->config.name) /* it may be in use */
		result = state_open(&run->config, &run->state, err);
	if (result == 0)
		result = write_cidfile(&run->config, err);
	return result;
}

static int connect_network(struct run *run, struct error *err)
{
	const struct run_config *config = &run->config;
	const struct net_request request = {
		.network = config->network,
		.optional = config->network_optional,
		.id = config->id,
		.name = config->name,
		.hostname = config->hostname,
		.domainname = config->domainname,
		.ip = config->ip,
		.aliases = config->aliases,
		.ports = config->ports,
		.allowed = config->allow_hosts,
	};

	return net_open(&request, &run->arena, &run->net, err);
}

/* The VM boots while the message for its agent is put together. */
static int start(struct run *run, Katavm__Agent__V1__CreateContainerRequest **container,
		 struct error *err)
{
	struct spec_input input = {
		.config = &run->config,
		.image = &run->image.config,
		.layer_count = run->image.layer_count,
		.net = &run->net,
		.shares = &run->shares,
	};
	const struct sandbox_parts parts = {
		.config = &run->config,
		.image = &run->image,
		.net = &run->net,
		.shares = &run->shares,
	};
	int result = sandbox_start(&run->sandbox, &parts, err);

	if (result < 0)
		return result;
	if (run->state.fd < 0)
		result = state_open(&run->config, &run->state, err);
	if (result < 0)
		return result;
	if (run->config.terminal)
		terminal_size(STDIN_FILENO, &input.rows, &input.columns);
	result = spec_make(&input, &run->arena, container, err);
	if (result == 0)
		result = sandbox_connect_stdio(&run->sandbox, &run->config, err);
	if (result == 0)
		result = net_ready(&run->net, err);
	return result;
}

static int run_container(struct run *run, const struct options *options)
{
	Katavm__Agent__V1__CreateContainerRequest *container = NULL;
	uint64_t process_start_ns = trace_process_start_ns();
	struct session_input session;
	struct error err;

	if (run_config_make(options, &run->arena, &run->config, &err) < 0)
		return complain(&err);
	if (!kvm_likely(&kvm_host) && !host_can())
		return SESSION_FAILED;
	trace_open(&run->trace, run->config.trace);
	trace_stage(&run->trace, "katavm_start", process_start_ns);
	trace_stage(&run->trace, "vmm_start", sys_monotonic_ns());
	if (sandbox_create(&run->sandbox, &err) < 0)
		return host_can() ? complain(&err) : SESSION_FAILED;
	if (prepare(run, &err) < 0 || connect_network(run, &err) < 0)
		return complain(&err);
	if (start(run, &container, &err) < 0)
		return host_can() ? complain(&err) : SESSION_FAILED;
	session = (struct session_input){
		.config = &run->config,
		.image = &run->image,
		.sandbox = &run->sandbox,
		.container = container,
		.net = &run->net,
		.shares = &run->shares,
		.interfaces = net_message_make(&run->net, &run->arena),
		.trace = &run->trace,
		.socket = run->state.socket,
	};
	return session_run(&session);
}

static void say_denied(struct run *run)
{
	uint64_t denied = run->config.allow_hosts.count ? net_denied(&run->net) : 0;

	if (denied)
		(void)fprintf(stderr, "katavm: %llu packet%s denied (--allow-host)\n",
			      (unsigned long long)denied, denied == 1 ? " was" : "s were");
}

static int run_main(const struct options *options)
{
	struct run run = { .state.fd = -1, .trace.fd = -1 };
	int status = run_container(&run, options);

	sandbox_abandon(&run.sandbox);
	say_denied(&run);
	net_finish(&run.net);
	state_close(&run.state);
	shares_close(&run.shares);
	image_finish(&run.image);
	trace_stage(&run.trace, "end", sys_monotonic_ns());
	trace_close(&run.trace);
	arena_finish(&run.arena);
	return status;
}

const struct command run_command = {
	.name = "run",
	.arguments = "IMAGE [COMMAND [ARG...]]",
	.summary = "Run a command in a new container, in a virtual machine of its own",
	.description = "IMAGE is a name such as debian:12, which is pulled when it is not here "
		       "yet, an id, or\n"
		       "oci:DIR[:TAG], oci-archive:FILE or docker-archive:FILE. Without COMMAND "
		       "the image's own\n"
		       "is run. Flags behind IMAGE belong to COMMAND.\n"
		       "\n"
		       "The container runs in the foreground; when its process ends nothing of it "
		       "is left. The\n"
		       "exit status is the process's, 128+N when signal N ended it, 125 when "
		       "katavm failed, 126\n"
		       "when the command cannot be executed and 127 when it is not found.",
	.options = run_options,
	.min_arguments = 1,
	.max_arguments = OPTIONS_ANY_NUMBER,
	.stops_at_argument = true,
	.main = run_main,
};

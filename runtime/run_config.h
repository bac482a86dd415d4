#pragma once
#include "runtime/arena.h"
#include "runtime/mount_flags.h"
#include "runtime/net/interface_options.h"
#include "runtime/net/ip.h"
#include "runtime/options.h"
#include "runtime/parse.h"

/* What `katavm run` was asked for: made once from the flags, checked, and const from then on. What
 * depends on the image as well is put together in spec.c. */

enum {
	RUN_DEFAULT_STOP_SECONDS = 10,
	RUN_DEFAULT_TIMEOUT_SECONDS = 60,
	RUN_DEFAULT_WATCHDOG_SECONDS = 60,
};

struct run_host {
	const char *name, *ip;
};

struct run_sysctl {
	const char *name, *value;
};

struct run_config {
	const char *image;
	const char *const *command; /* command_count of them; 0: the image's */
	size_t command_count;

	bool interactive, terminal, read_only, init, privileged, quiet, no_new_privileges,
	    no_seccomp;
	const char *id;              /* 64 hexadecimal digits */
	const char *name;            /* or NULL */
	const char *hostname;        /* the id's first 12 digits unless given */
	const char *domainname;      /* or NULL */
	const char *workdir, *user;  /* NULL: the image's */
	const char *entrypoint;      /* NULL: the image's; "": none */
	struct texts env_files, env; /* as given; files come first */
	struct texts labels;         /* KEY=VALUE */
	struct texts groups;         /* of --group-add */
	struct texts dns, dns_search, dns_options;
	const char *network;   /* its name; NULL: none */
	bool network_optional; /* nobody named it */
	struct interface_options interface_options;
	struct ip ip;         /* wished for, or none */
	struct texts aliases; /* on the network */
	struct texts ports;   /* of --publish */
	struct texts allow_hosts;
	size_t host_count, ulimit_count, sysctl_count;
	struct mount_flags mounts;
	struct run_host *hosts;
	struct rlimit_value *ulimits;
	struct run_sysctl *sysctls;
	uint64_t capabilities; /* bit N is capability N */

	unsigned vcpu_count;
	uint64_t cpu_quota_us;     /* per 100 ms; 0: all of the vCPUs */
	uint64_t memory_bytes;     /* what the container may use */
	uint64_t memory_max_bytes; /* what an update may give it; 0: all of the host's */
	int64_t pids_max;          /* 0: no limit */
	int oom_score_adj;
	unsigned disk_slots; /* how many disks can be added while it runs */
	uint64_t shm_bytes;
	uint64_t disk_bytes; /* size of the writable layer */
	struct vmm_rate disk_rate;

	const char *root, *cidfile, *platform, *pull, *progress; /* or NULL */
	const char *kernel;        /* a vmlinux, or NULL for katavm's */
	const char *trace;         /* file for times, or NULL */
	int stop_signal;           /* 0: the image's */
	int stop_seconds;          /* -1: wait for ever */
	unsigned timeout_seconds;  /* for the guest to come up */
	unsigned watchdog_seconds; /* for it to answer, later; 0: nobody asks */
	bool watchdog_kills;
	bool disk_direct; /* O_DIRECT */
};

extern const struct option_spec run_options[];

/* Everything in *out lives in arena or in argv. */
int run_config_make(const struct options *options, struct arena *arena, struct run_config *out,
		    struct error *err);

/* Its part about networks. */
int run_network_make(const struct options *options, struct arena *arena, struct run_config *out,
		     struct error *err);

/* Its part about disks. */
int run_disk_make(const struct options *options, struct run_config *out, struct error *err);

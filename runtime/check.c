#include "runtime/check.h"

#include "base/own.h"
#include "base/sys.h"
#include "runtime/kvm.h"
#include "runtime/paths.h"

#include <elf.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <linux/io_uring.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

enum verdict {
	VERDICT_OK,
	VERDICT_NOTE, /* something is missing which this or a later command may want */
	VERDICT_BAD,  /* katavm cannot run a container */
};

struct finding {
	const char *name;
	enum verdict verdict;
	char text[240], why[240], fix[240];
};

struct findings {
	size_t count;
	struct finding list[24];
};

static const char *const verdict_words[] = { "ok", "note", "bad" };

__attribute__((format(printf, 4, 5))) static struct finding *
add(struct findings *out, const char *name, enum verdict verdict, const char *format, ...)
{
	struct finding *finding = &out->list[out->count];
	va_list args;

	if (out->count + 1 < sizeof out->list / sizeof out->list[0])
		out->count++;
	*finding = (struct finding){ .name = name, .verdict = verdict };
	va_start(args, format);
	(void)vsnprintf(finding->text, sizeof finding->text, format, args);
	va_end(args);
	return finding;
}

__attribute__((format(printf, 2, 3))) static void fix(struct finding *finding, const char *format,
						      ...)
{
	va_list args;

	va_start(args, format);
	(void)vsnprintf(finding->fix, sizeof finding->fix, format, args);
	va_end(args);
}

static void check_kvm(struct findings *out)
{
	struct kvm_report report;
	struct finding *finding;

	kvm_probe(&kvm_host, &report);
	finding = add(out, "kvm", report.state == KVM_USABLE ? VERDICT_OK : VERDICT_BAD, "%s",
		      report.what);
	(void)snprintf(finding->why, sizeof finding->why, "%s", report.why);
	(void)snprintf(finding->fix, sizeof finding->fix, "%s", report.fix);
}

static void check_device(struct findings *out, const char *name, const char *path,
			 const char *purpose)
{
	own_fd fd = sys_open(AT_FDCWD, path, O_RDWR, 0);

	if (fd >= 0) {
		(void)add(out, name, VERDICT_OK, "%s opens", path);
		return;
	}
	fix(add(out, name, VERDICT_NOTE, "%s: %s (%s)", path, sys_text(fd), purpose),
	    fd == -ENOENT ? "sudo modprobe %s" : "only root may; nothing to do otherwise",
	    strcmp(name, "vhost-net") == 0 ? "vhost_net" : "tun");
}

static int read_text(const char *path, char *text, size_t size)
{
	own_fd fd = sys_open(AT_FDCWD, path, O_RDONLY, 0);
	long got = fd < 0 ? fd : SYS_RETRY(read, fd, text, size - 1);

	if (got < 0)
		return (int)got;
	text[got] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return 0;
}

static void check_user_namespaces(struct findings *out)
{
	char text[32];

	if (read_text("/proc/sys/user/max_user_namespaces", text, sizeof text) < 0 ||
	    strcmp(text, "0") == 0) {
		fix(add(out, "user-namespaces", VERDICT_NOTE,
			"this kernel makes no user namespaces (image layers are then converted "
			"with the user's own rights)"),
		    "sudo sysctl user.max_user_namespaces=15000");
		return;
	}
	if (geteuid() != 0 &&
	    read_text("/proc/sys/kernel/unprivileged_userns_clone", text, sizeof text) == 0 &&
	    strcmp(text, "0") == 0) {
		fix(add(out, "user-namespaces", VERDICT_NOTE, "only root may make them"),
		    "sudo sysctl kernel.unprivileged_userns_clone=1");
		return;
	}
	(void)add(out, "user-namespaces", VERDICT_OK, "available");
}

static bool has_subordinate_ids(const char *path)
{
	char line[256], user[64];
	FILE *file = fopen(path, "re");
	bool found = false;

	(void)snprintf(user, sizeof user, "%u:", geteuid());
	while (file && !found && fgets(line, sizeof line, file)) {
		const char *name = getenv("USER");
		size_t size = name ? strlen(name) : 0;

		found = strncmp(line, user, strlen(user)) == 0 ||
			(size > 0 && strncmp(line, name, size) == 0 && line[size] == ':');
	}
	if (file)
		(void)fclose(file);
	return found;
}

static void check_subordinate_ids(struct findings *out)
{
	if (geteuid() == 0)
		return;
	if (has_subordinate_ids("/etc/subuid") && has_subordinate_ids("/etc/subgid"))
		(void)add(out, "subordinate-ids", VERDICT_OK, "/etc/subuid and /etc/subgid");
	else
		fix(add(out, "subordinate-ids", VERDICT_NOTE,
			"this user has none in /etc/subuid and /etc/subgid"),
		    "sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $USER");
}

static void check_cgroups(struct findings *out)
{
	char controllers[256];

	if (read_text("/sys/fs/cgroup/cgroup.controllers", controllers, sizeof controllers) < 0) {
		fix(add(out, "cgroups", VERDICT_NOTE,
			"cgroup v2 is not mounted on /sys/fs/cgroup (limits of the host on a VM "
			"need it)"),
		    "boot with systemd.unified_cgroup_hierarchy=1");
		return;
	}
	(void)add(out, "cgroups", VERDICT_OK, "version 2, with %s", controllers);
}

static void check_io_uring(struct findings *out)
{
	struct io_uring_params params = { 0 };
	own_fd fd = (int)SYS(syscall, SYS_io_uring_setup, 4, &params);

	if (fd >= 0)
		(void)add(out, "io_uring", VERDICT_OK, "available");
	else
		fix(add(out, "io_uring", VERDICT_NOTE, "refused (%s): epoll is used instead",
			sys_text(fd)),
		    fd == -EPERM ? "sudo sysctl kernel.io_uring_disabled=0   (faster disks)" : "%s",
		    "");
}

/* The processor this program is for, as ELF files name it; 0 if that cannot be read. */
static unsigned own_machine(void)
{
	own_fd fd = sys_open(AT_FDCWD, "/proc/self/exe", O_RDONLY, 0);
	Elf64_Ehdr head = { 0 };

	if (fd < 0 || sys_pread_all(fd, &head, sizeof head, 0) < 0)
		return EM_NONE;
	return head.e_machine;
}

static void check_kernel(struct findings *out)
{
	char path[PATH_MAX];
	struct error err;
	Elf64_Ehdr head;
	int result = paths_lib("vmlinux", path, &err);
	own_fd fd = result < 0 ? result : sys_open(AT_FDCWD, path, O_RDONLY, 0);

	if (fd < 0) {
		fix(add(out, "guest-kernel", VERDICT_BAD, "%.180s: %s", path, sys_text(fd)),
		    "install katavm's guest kernel, or name its folder in KATAVM_LIB_DIR");
		return;
	}
	result = sys_pread_all(fd, &head, sizeof head, 0);
	if (result < 0 || memcmp(head.e_ident, ELFMAG, SELFMAG) != 0) {
		fix(add(out, "guest-kernel", VERDICT_BAD, "%.180s is not an ELF file", path),
		    "katavm boots vmlinux, not a compressed bzImage");
		return;
	}
	if (head.e_machine != own_machine()) {
		(void)add(out, "guest-kernel", VERDICT_BAD, "%.180s is for another processor",
			  path);
		return;
	}
	(void)add(out, "guest-kernel", VERDICT_OK, "%.200s", path);
}

static void check_file(struct findings *out, const char *name, const char *file)
{
	char path[PATH_MAX];
	struct error err;
	int result = paths_lib(file, path, &err);

	if (result == 0)
		result = (int)SYS(access, path, R_OK);
	if (result == 0)
		(void)add(out, name, VERDICT_OK, "%.200s", path);
	else
		fix(add(out, name, VERDICT_BAD, "%.180s: %s", path, sys_text(result)),
		    "install katavm's files, or name their folder in KATAVM_LIB_DIR");
}

static void check_space(struct findings *out, const char *given)
{
	enum { WANTED_MIB = 1024 };
	char path[PATH_MAX];
	struct error err;
	struct statvfs status;
	uint64_t free_mib;

	if (paths_root(given, path, &err) < 0) {
		(void)add(out, "disk-space", VERDICT_BAD, "%s", err.text);
		return;
	}
	while (SYS(statvfs, path, &status) < 0) { /* it is made by the first image */
		char *slash = strrchr(path, '/');

		if (!slash || slash == path) {
			(void)snprintf(path, sizeof path, "/");
			if (SYS(statvfs, path, &status) < 0)
				return;
			break;
		}
		*slash = '\0';
	}
	free_mib = status.f_bavail * status.f_frsize >> 20;
	if (free_mib < WANTED_MIB)
		fix(add(out, "disk-space", VERDICT_NOTE, "%lu MiB free under %.160s",
			(unsigned long)free_mib, path),
		    "katavm prune, or another place with --root");
	else
		(void)add(out, "disk-space", VERDICT_OK, "%lu MiB free under %.160s",
			  (unsigned long)free_mib, path);
}

static bool mentions(const char *path, const char *word)
{
	char line[1024];
	FILE *file = fopen(path, "re");
	bool found = false;

	while (file && !found && fgets(line, sizeof line, file))
		found = strstr(line, word) != NULL;
	if (file)
		(void)fclose(file);
	return found;
}

static void check_registration(struct findings *out)
{
	static const struct {
		const char *name, *file;
	} engines[] = {
		{ "containerd", "/etc/containerd/config.toml" },
		{ "docker", "/etc/docker/daemon.json" },
		{ "podman", "/etc/containers/containers.conf" },
	};

	for (size_t i = 0; i < sizeof engines / sizeof engines[0]; i++) {
		if (SYS(access, engines[i].file, R_OK) < 0)
			continue;
		if (mentions(engines[i].file, "katavm"))
			(void)add(out, engines[i].name, VERDICT_OK, "%s names katavm",
				  engines[i].file);
		else
			(void)add(out, engines[i].name, VERDICT_NOTE, "%s does not name katavm",
				  engines[i].file);
	}
}

static void print_text(const struct findings *findings)
{
	for (size_t i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->list[i];

		(void)printf("%-4s  %-16s %s\n", verdict_words[finding->verdict], finding->name,
			     finding->text);
		if (*finding->why)
			(void)printf("%24s%s\n", "", finding->why);
		if (*finding->fix)
			(void)printf("%24sfix: %s\n", "", finding->fix);
	}
}

static void print_json(const struct findings *findings, bool good)
{
	struct json_object *top = json_object_new_object(), *list = json_object_new_array();

	for (size_t i = 0; i < findings->count; i++) {
		const struct finding *finding = &findings->list[i];
		struct json_object *entry = json_object_new_object();

		(void)json_object_object_add(entry, "name", json_object_new_string(finding->name));
		(void)json_object_object_add(
		    entry, "verdict", json_object_new_string(verdict_words[finding->verdict]));
		(void)json_object_object_add(entry, "text", json_object_new_string(finding->text));
		(void)json_object_object_add(entry, "why", json_object_new_string(finding->why));
		(void)json_object_object_add(entry, "fix", json_object_new_string(finding->fix));
		(void)json_object_array_add(list, entry);
	}
	(void)json_object_object_add(top, "ok", json_object_new_boolean(good));
	(void)json_object_object_add(top, "checks", list);
	(void)puts(json_object_to_json_string_ext(top, JSON_C_TO_STRING_PRETTY |
							   JSON_C_TO_STRING_NOSLASHESCAPE));
	(void)json_object_put(top);
}

static int check_main(const struct options *options)
{
	struct findings findings = { 0 };
	bool good = true;

	check_kvm(&findings);
	check_kernel(&findings);
	check_file(&findings, "agent", "initramfs.cpio");
	check_file(&findings, "scratch-disk", "scratch.ext4");
	check_space(&findings, options_value(options, "root"));
	check_io_uring(&findings);
	check_user_namespaces(&findings);
	check_subordinate_ids(&findings);
	check_cgroups(&findings);
	check_device(&findings, "vhost-net", "/dev/vhost-net", "networks of a later release");
	check_device(&findings, "tun", "/dev/net/tun", "networks of a later release");
	check_registration(&findings);
	for (size_t i = 0; i < findings.count; i++)
		good = good && findings.list[i].verdict != VERDICT_BAD;
	if (options_flag(options, "json"))
		print_json(&findings, good);
	else
		print_text(&findings);
	return good ? 0 : 1;
}

static const struct option_spec check_options[] = {
	{ "json", 0, OPTION_FLAG, NULL, "print the findings as JSON", NULL },
	{ 0 },
};

const struct command check_command = {
	.name = "check",
	.arguments = "",
	.summary = "Say whether this host can run containers, and if not what to do",
	.description = "Each line has a verdict: ok, note (something is missing that not every "
		       "container needs)\nor bad (no container will run). The exit status is 0 "
		       "without any bad one, else 1.",
	.options = check_options,
	.main = check_main,
};

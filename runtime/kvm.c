#include "runtime/kvm.h"

#include "base/own.h"
#include "base/sys.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/kvm.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

enum { CPUINFO_SIZE = 8192 }; /* the first processor's entry is all that is looked at */

const struct kvm_places kvm_host = { "/dev/kvm", "/proc/cpuinfo", "/sys/module" };

struct processor {
	bool known; /* cpuinfo could be read and has a list of flags */
	bool vmx, svm;
	bool virtual; /* a hypervisor is below */
	bool intel;
};

static bool has_word(const char *list, const char *word)
{
	size_t size = strlen(word);

	for (const char *at = strstr(list, word); at; at = strstr(at + size, word))
		if (at[-1] == ' ' && (at[size] == ' ' || at[size] == '\0'))
			return true;
	return false;
}

static void read_processor(const char *path, struct processor *out)
{
	char text[CPUINFO_SIZE], *flags, *end;
	own_fd fd = sys_open(AT_FDCWD, path, O_RDONLY, 0);
	long size = fd < 0 ? -1 : SYS_RETRY(read, fd, text, sizeof text - 1);

	*out = (struct processor){ 0 };
	if (size <= 0)
		return;
	text[size] = '\0';
	out->intel = strstr(text, "GenuineIntel") != NULL;
	flags = strstr(text, "\nflags");
	if (!flags)
		return;
	end = strchr(flags + 1, '\n');
	if (end)
		*end = '\0';
	out->known = true;
	out->vmx = has_word(flags, "vmx");
	out->svm = has_word(flags, "svm");
	out->virtual = has_word(flags, "hypervisor");
}

static bool is_capable(const struct processor *cpu)
{
	return !cpu->known || cpu->vmx || cpu->svm;
}

/* Reading cpuinfo makes the host's kernel write a page of text for each processor; that a driver
 * for the processor's virtualisation is there is told by its folder alone. */
bool kvm_likely(const struct kvm_places *places)
{
	static const char *const modules[] = { "kvm_amd", "kvm_intel" };
	char path[PATH_MAX];

	if (SYS(access, places->device, R_OK | W_OK) < 0)
		return false;
	for (size_t i = 0; i < 2; i++) {
		(void)snprintf(path, sizeof path, "%s/%s", places->modules, modules[i]);
		if (SYS(access, path, F_OK) == 0)
			return true;
	}
	return false;
}

#define SAY(field, ...) ((void)snprintf((field), sizeof(field), __VA_ARGS__))

static void explain_incapable(const struct processor *cpu, struct kvm_report *out)
{
	if (cpu->virtual) {
		SAY(out->why, "this machine is itself a virtual machine, and its host does not "
			      "hand VT-x/AMD-V on");
		SAY(out->fix,
		    "turn nested virtualisation on for this machine at its host or cloud");
		return;
	}
	SAY(out->why, "the processor has no VT-x/AMD-V, or the firmware has turned it off");
	SAY(out->fix, "turn virtualisation (VT-x, SVM) on in the firmware's set-up");
}

static void explain_missing(const struct kvm_places *places, const struct processor *cpu,
			    struct kvm_report *out)
{
	const char *module = cpu->svm ? "kvm_amd" : "kvm_intel";
	char path[PATH_MAX];

	out->state = KVM_MISSING;
	SAY(out->what, "there is no %s", places->device);
	if (!is_capable(cpu)) {
		explain_incapable(cpu, out);
		return;
	}
	SAY(path, "%s/%s", places->modules, module);
	if (SYS(access, path, F_OK) == 0) {
		SAY(out->why,
		    "the module %s is loaded, so this is a container or chroot without "
		    "the device",
		    module);
		SAY(out->fix, "give it the device: docker run --device %s ...", places->device);
		return;
	}
	SAY(out->why, "the module %s is not loaded", module);
	SAY(out->fix, "sudo modprobe %s   (an error from it means the firmware has it turned off)",
	    module);
}

/* Is the user in the group by the system's files, though this login was before that? */
static bool stale_login(const struct passwd *user, gid_t group)
{
	gid_t groups[256];
	int count = 256;

	if (!user || getgrouplist(user->pw_name, user->pw_gid, groups, &count) < 0)
		return false;
	for (int i = 0; i < count; i++)
		if (groups[i] == group)
			return true;
	return false;
}

static void explain_permission(const char *device, struct kvm_report *out)
{
	const struct passwd *user = getpwuid(geteuid());
	const char *name = user ? user->pw_name : "this user";
	const struct group *group;
	struct stat status;

	out->state = KVM_NO_PERMISSION;
	SAY(out->what, "no permission to open %s", device);
	if (SYS(stat, device, &status) < 0 || !(group = getgrgid(status.st_gid))) {
		SAY(out->why, "it belongs to a group without a name");
		SAY(out->fix, "sudo chgrp kvm %s; sudo chmod 660 %s", device, device);
		return;
	}
	if ((status.st_mode & 060) != 060 || geteuid() == 0) {
		SAY(out->why, "%s has mode %04o and belongs to group \"%s\"", device,
		    status.st_mode & 07777, group->gr_name);
		SAY(out->fix, "sudo chmod 660 %s%s", device,
		    geteuid() == 0 ? "   (root is refused: a container's device rules?)" : "");
		return;
	}
	if (stale_login(user, status.st_gid)) {
		SAY(out->why, "\"%s\" is in group \"%s\", but not yet in this login", name,
		    group->gr_name);
		SAY(out->fix, "log in again, or: newgrp %s", group->gr_name);
		return;
	}
	SAY(out->why, "%s belongs to group \"%s\"; user \"%s\" is not in it", device,
	    group->gr_name, name);
	SAY(out->fix, "sudo usermod -aG %s %s   (then log in again)", group->gr_name, name);
}

static void explain_open(const struct kvm_places *places, int result, const struct processor *cpu,
			 struct kvm_report *out)
{
	if (result == -ENOENT || result == -ENODEV || result == -ENXIO) {
		explain_missing(places, cpu, out);
		return;
	}
	if (result == -EACCES || result == -EPERM) {
		explain_permission(places->device, out);
		return;
	}
	out->state = KVM_NOT_WORKING;
	SAY(out->what, "%s cannot be opened: %s", places->device, sys_text(result));
	if (result == -EBUSY) {
		SAY(out->why, "another hypervisor holds the processor's virtualisation");
		SAY(out->fix, "stop it (VirtualBox, VMware), then try again");
	} else {
		SAY(out->why, "the host's kernel refuses it");
	}
}

/* Without these nothing works; every kernel since 5.x has them. */
static const struct {
	int number;
	const char *name;
} needed[] = {
	{ KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY" },
	{ KVM_CAP_IRQCHIP, "KVM_CAP_IRQCHIP" },
	{ KVM_CAP_IRQFD, "KVM_CAP_IRQFD" },
	{ KVM_CAP_IOEVENTFD, "KVM_CAP_IOEVENTFD" },
	{ KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT" },
};

static bool check_device(const struct kvm_places *places, int fd, struct kvm_report *out)
{
	out->state = KVM_NOT_WORKING;
	out->api_version = sys_ioctl(fd, KVM_GET_API_VERSION, NULL);
	if (out->api_version != KVM_API_VERSION) {
		SAY(out->what, "%s is not KVM's", places->device);
		SAY(out->why, "it does not answer with API version %d", KVM_API_VERSION);
		return false;
	}
	for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
		long has = SYS(ioctl, fd, KVM_CHECK_EXTENSION, needed[i].number);

		if (has > 0)
			continue;
		SAY(out->what, "%s lacks %s", places->device, needed[i].name);
		SAY(out->why, "the host's kernel is too old, or built without it");
		SAY(out->fix, "start a kernel of version 5.10 or newer");
		return false;
	}
	return true;
}

void kvm_probe(const struct kvm_places *places, struct kvm_report *out)
{
	own_fd fd = sys_open(AT_FDCWD, places->device, O_RDWR, 0);
	struct processor cpu;

	*out = (struct kvm_report){ .state = KVM_USABLE };
	read_processor(places->cpuinfo, &cpu);
	if (fd < 0) {
		explain_open(places, fd, &cpu, out);
		return;
	}
	if (!check_device(places, fd, out))
		return;
	if (!is_capable(&cpu)) {
		out->state = KVM_SOFTWARE;
		SAY(out->what,
		    "%s is a software KVM (no VT-x/AMD-V): it interprets guests, far "
		    "too slow to use",
		    places->device);
		explain_incapable(&cpu, out);
		return;
	}
	out->state = KVM_USABLE;
	SAY(out->what, "%s opens, API version %d, %s", places->device, out->api_version,
	    cpu.svm   ? "AMD-V"
	    : cpu.vmx ? "VT-x"
		      : "hardware virtualisation");
}

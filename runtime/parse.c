#include "runtime/parse.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

bool parse_number(const char *text, uint64_t limit, uint64_t *out)
{
	uint64_t value = 0;

	if (!isdigit((unsigned char)*text))
		return false;
	for (; isdigit((unsigned char)*text); text++)
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value) || value > limit)
			return false;
	if (*text != '\0')
		return false;
	*out = value;
	return true;
}

/* Digits with at most `places` behind the point, as an integer scaled by 10^places. */
static bool parse_decimal(const char **at, unsigned places, uint64_t *out)
{
	uint64_t value = 0;
	bool point = false, digits = false;

	for (; **at == '.' || isdigit((unsigned char)**at); (*at)++) {
		if (**at == '.') {
			if (point)
				return false;
			point = true;
			continue;
		}
		digits = true;
		if (point && places == 0)
			continue; /* more digits than anybody can use */
		places -= point;
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(**at - '0'), &value))
			return false;
	}
	while (places-- > 0)
		if (__builtin_mul_overflow(value, 10, &value))
			return false;
	*out = value;
	return digits;
}

static bool unit_shift(const char *unit, unsigned *shift)
{
	static const char letters[] = "bkmgtp";
	const char *letter;

	*shift = 0;
	if (*unit == '\0')
		return true;
	letter = strchr(letters, tolower((unsigned char)*unit));
	if (!letter)
		return false;
	*shift = (unsigned)(letter - letters) * 10;
	return unit[1] == '\0' ||
	       (*shift > 0 && (strcasecmp(unit + 1, "b") == 0 || strcasecmp(unit + 1, "ib") == 0));
}

int parse_bytes(const char *flag, const char *text, uint64_t *out, struct error *err)
{
	const char *at = text;
	unsigned shift = 0;
	uint64_t milli;
	unsigned __int128 bytes;

	if (!parse_decimal(&at, 3, &milli))
		goto bad;
	while (*at == ' ')
		at++;
	if (!unit_shift(at, &shift))
		goto bad;
	bytes = (((unsigned __int128)milli) << shift) / 1000;
	if (bytes > INT64_MAX)
		goto bad;
	*out = (uint64_t)bytes;
	return 0;
bad:
	return error_set(err, -EINVAL, "--%s is a size such as 512m or 1g, not \"%s\"", flag, text);
}

int parse_cpus(const char *text, uint64_t *out_milli, struct error *err)
{
	const char *at = text;
	uint64_t milli;

	if (!parse_decimal(&at, 3, &milli) || *at != '\0' || milli < 10 || milli > 32000)
		return error_set(err, -EINVAL,
				 "--cpus is a number from 0.01 to 32, such as 1.5, not \"%s\"",
				 text);
	*out_milli = milli;
	return 0;
}

static bool real_time_signal(const char *name, int *out)
{
	uint64_t offset;
	bool from_last = strncasecmp(name, "RTMAX", 5) == 0;

	if (!from_last && strncasecmp(name, "RTMIN", 5) != 0)
		return false;
	/* of a C library in the guest: it keeps 32 and 33 for itself */
	if (name[5] == '\0') {
		*out = from_last ? 64 : 34;
		return true;
	}
	if (name[5] != (from_last ? '-' : '+') || !parse_number(name + 6, 30, &offset))
		return false;
	*out = from_last ? 64 - (int)offset : 34 + (int)offset;
	return true;
}

int parse_signal(const char *text, int *out, struct error *err)
{
	const char *name = strncasecmp(text, "SIG", 3) == 0 ? text + 3 : text;
	uint64_t number;

	if (parse_number(text, 64, &number) && number > 0) {
		*out = (int)number;
		return 0;
	}
	if (real_time_signal(name, out))
		return 0;
	for (int i = 1; i < 32; i++) {
		const char *known = sigabbrev_np(i);

		if (known && strcasecmp(known, name) == 0) {
			*out = i;
			return 0;
		}
	}
	return error_set(err, -EINVAL, "\"%s\" is not the name or number of a signal", text);
}

static const char *const capability_names[] = {
	/* in the order of their numbers */
	"CHOWN",
	"DAC_OVERRIDE",
	"DAC_READ_SEARCH",
	"FOWNER",
	"FSETID",
	"KILL",
	"SETGID",
	"SETUID",
	"SETPCAP",
	"LINUX_IMMUTABLE",
	"NET_BIND_SERVICE",
	"NET_BROADCAST",
	"NET_ADMIN",
	"NET_RAW",
	"IPC_LOCK",
	"IPC_OWNER",
	"SYS_MODULE",
	"SYS_RAWIO",
	"SYS_CHROOT",
	"SYS_PTRACE",
	"SYS_PACCT",
	"SYS_ADMIN",
	"SYS_BOOT",
	"SYS_NICE",
	"SYS_RESOURCE",
	"SYS_TIME",
	"SYS_TTY_CONFIG",
	"MKNOD",
	"LEASE",
	"AUDIT_WRITE",
	"AUDIT_CONTROL",
	"SETFCAP",
	"MAC_OVERRIDE",
	"MAC_ADMIN",
	"SYSLOG",
	"WAKE_ALARM",
	"BLOCK_SUSPEND",
	"AUDIT_READ",
	"PERFMON",
	"BPF",
	"CHECKPOINT_RESTORE",
};

int parse_capability(const char *text, uint64_t *out, struct error *err)
{
	const char *name = strncasecmp(text, "CAP_", 4) == 0 ? text + 4 : text;

	if (strcasecmp(text, "ALL") == 0) {
		*out = CAPABILITIES_ALL;
		return 0;
	}
	for (size_t i = 0; i < sizeof capability_names / sizeof capability_names[0]; i++)
		if (strcasecmp(capability_names[i], name) == 0) {
			*out = UINT64_C(1) << i;
			return 0;
		}
	return error_set(err, -EINVAL, "\"%s\" is not a capability: see capabilities(7)", text);
}

static const struct {
	const char *name, *type;
} ulimits[] = {
	{ "as", "RLIMIT_AS" },
	{ "core", "RLIMIT_CORE" },
	{ "cpu", "RLIMIT_CPU" },
	{ "data", "RLIMIT_DATA" },
	{ "fsize", "RLIMIT_FSIZE" },
	{ "locks", "RLIMIT_LOCKS" },
	{ "memlock", "RLIMIT_MEMLOCK" },
	{ "msgqueue", "RLIMIT_MSGQUEUE" },
	{ "nice", "RLIMIT_NICE" },
	{ "nofile", "RLIMIT_NOFILE" },
	{ "nproc", "RLIMIT_NPROC" },
	{ "rss", "RLIMIT_RSS" },
	{ "rtprio", "RLIMIT_RTPRIO" },
	{ "rttime", "RLIMIT_RTTIME" },
	{ "sigpending", "RLIMIT_SIGPENDING" },
	{ "stack", "RLIMIT_STACK" },
};

static bool parse_limit(const char *text, size_t size, uint64_t *out)
{
	char copy[24];

	if (size >= sizeof copy)
		return false;
	memcpy(copy, text, size);
	copy[size] = '\0';
	if (strcmp(copy, "-1") == 0 || strcmp(copy, "unlimited") == 0) {
		*out = UINT64_MAX;
		return true;
	}
	return parse_number(copy, INT64_MAX, out);
}

int parse_ulimit(const char *text, struct rlimit_value *out, struct error *err)
{
	size_t name_size = strcspn(text, "="), soft_size;
	const char *soft = text + name_size + 1, *type = NULL;
	struct rlimit_value value;

	for (size_t i = 0; i < sizeof ulimits / sizeof ulimits[0]; i++)
		if (strlen(ulimits[i].name) == name_size &&
		    memcmp(ulimits[i].name, text, name_size) == 0)
			type = ulimits[i].type;
	if (text[name_size] != '=' || !type)
		return error_set(err, -EINVAL,
				 "--ulimit is NAME=SOFT[:HARD] with a name such as nofile, not "
				 "\"%s\"",
				 text);
	soft_size = strcspn(soft, ":");
	value.type = type;
	if (!parse_limit(soft, soft_size, &value.soft))
		return error_set(err, -EINVAL, "--ulimit %s: a limit is a number or -1", text);
	value.hard = value.soft;
	if (soft[soft_size] == ':' &&
	    !parse_limit(soft + soft_size + 1, strlen(soft + soft_size + 1), &value.hard))
		return error_set(err, -EINVAL, "--ulimit %s: a limit is a number or -1", text);
	if (value.soft > value.hard)
		return error_set(err, -EINVAL, "--ulimit %s: the soft limit is above the hard one",
				 text);
	*out = value;
	return 0;
}

static bool is_ip(const char *text)
{
	struct in6_addr address;

	return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

int parse_ip(const char *flag, const char *text, struct error *err)
{
	if (is_ip(text))
		return 0;
	return error_set(err, -EINVAL, "--%s is an IP address, not \"%s\"", flag, text);
}

int parse_host(const char *text, size_t *host_size, char ip[64], struct error *err)
{
	size_t size = strcspn(text, "=");
	const char *address;
	size_t length;

	if (text[size] == '\0')
		size = strcspn(text, ":");
	address = text[size] ? text + size + 1 : "";
	length = strlen(address);
	if (length >= 2 && address[0] == '[' && address[length - 1] == ']') {
		address++;
		length -= 2;
	}
	if (length < 64)
		(void)snprintf(ip, 64, "%.*s", (int)length, address);
	if (size == 0 || strcspn(text, " \t\r\n") < size || length >= 64 || !is_ip(ip))
		return error_set(err, -EINVAL, "--add-host is HOST:IP with an address, not \"%s\"",
				 text);
	*host_size = size;
	return 0;
}

int parse_hostname(const char *text, struct error *err)
{
	size_t size = strlen(text);
	bool good = size > 0 && size <= 64;

	for (size_t i = 0; i < size; i++)
		good = good && (isalnum((unsigned char)text[i]) || strchr("-._", text[i]));
	if (good && text[0] != '-' && text[0] != '.')
		return 0;
	return error_set(err, -EINVAL,
			 "--hostname is up to 64 letters, digits, dots and dashes, not \"%s\"",
			 text);
}

static bool is_name(const char *text)
{
	size_t size = strlen(text);
	bool good = size > 1 && size <= 128 && isalnum((unsigned char)text[0]);

	for (size_t i = 0; i < size; i++)
		good = good && (isalnum((unsigned char)text[i]) || strchr("-._", text[i]));
	return good;
}

int parse_volume_name(const char *text, struct error *err)
{
	if (is_name(text))
		return 0;
	return error_set(err, -EINVAL,
			 "a volume's name is two or more of letters, digits, '.', '_' and '-', and "
			 "starts with a letter or digit, not \"%.100s\" (a path of the host begins "
			 "with / or .)",
			 text);
}

int parse_container_name(const char *text, struct error *err)
{
	if (is_name(text))
		return 0;
	return error_set(err, -EINVAL,
			 "--name is two or more of letters, digits, '.', '_' and '-', and starts "
			 "with a letter or digit, not \"%s\"",
			 text);
}

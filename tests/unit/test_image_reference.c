#include "runtime/image/platform.h"
#include "runtime/image/reference.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEX "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

Test(reference, docker_short_forms)
{
	static const struct {
		const char *text, *name, *familiar;
	} rows[] = {
		{ "debian", "docker.io/library/debian:latest", "debian:latest" },
		{ "debian:12", "docker.io/library/debian:12", "debian:12" },
		{ "docker.io/debian", "docker.io/library/debian:latest", "debian:latest" },
		{ "index.docker.io/a/b", "docker.io/a/b:latest", "a/b:latest" },
		{ "ann/app", "docker.io/ann/app:latest", "ann/app:latest" },
		{ "quay.io/x/y:v1", "quay.io/x/y:v1", "quay.io/x/y:v1" },
		{ "localhost/x", "localhost/x:latest", "localhost/x:latest" },
		{ "localhost:5000/x", "localhost:5000/x:latest", "localhost:5000/x:latest" },
		{ "[::1]:5000/x:1", "[::1]:5000/x:1", "[::1]:5000/x:1" },
		{ "host:5000/n@sha256:" HEX, "host:5000/n@sha256:" HEX, "host:5000/n@sha256:" HEX },
		{ "n:tag@sha256:" HEX, "docker.io/library/n@sha256:" HEX, "n@sha256:" HEX },
		{ "a/b__c/d-e.f_g---h", "docker.io/a/b__c/d-e.f_g---h:latest",
		  "a/b__c/d-e.f_g---h:latest" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		char name[REFERENCE_NAME_MAX + 1];
		struct reference reference;
		struct error err = { 0 };

		cr_assert_eq(reference_parse(rows[i].text, &reference, &err), 0, "%s: %s",
			     rows[i].text, err.text);
		reference_name(&reference, name);
		cr_assert_str_eq(name, rows[i].name);
		cr_assert_str_eq(reference_familiar(name), rows[i].familiar);
	}
}

Test(reference, refused_with_the_reason)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{ "", "empty" },
		{ "Debian", "lower case" },
		{ "debian:", "tag behind the colon is empty" },
		{ "debian:-x", "starts with" },
		{ "debian:a b", "tag is" },
		{ "/debian", "part of a name" },
		{ "a//b", "part of a name" },
		{ "a..b", "part of a name" },
		{ "a___b", "part of a name" },
		{ "a/", "part of a name" },
		{ "https://quay.io/x", "scheme" },
		{ "host:99999/x", "port" },
		{ "host:0/x", "port" },
		{ "host:/x", "port" },
		{ ".bad/x", "host name" },
		{ "x@sha256:123", "64 hexadecimal" },
		{ "x@sha512:" HEX HEX, "only sha256" },
		{ "x@md5:123", "64 hexadecimal" },
		{ "a\nb", "control character" },
		{ "oci:", "no path" },
		{ "oci:x:", "tag" },
	};

	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		struct reference reference;
		struct error err = { 0 };

		cr_assert_lt(reference_parse(rows[i].text, &reference, &err), 0, "%s",
			     rows[i].text);
		cr_assert(strstr(err.text, rows[i].says), "%s gives: %s", rows[i].text, err.text);
	}
}

Test(reference, too_long)
{
	struct reference reference;
	char text[REFERENCE_NAME_MAX + 2];

	for (size_t size = REFERENCE_NAME_MAX - 120; size <= REFERENCE_NAME_MAX + 1; size++) {
		char name[REFERENCE_NAME_MAX + 1];

		memset(text, 'a', size);
		text[size] = '\0';
		if (reference_parse(text, &reference, NULL) < 0)
			continue;
		reference_name(&reference, name);
		cr_assert(strstr(name, ":latest"));
	}
	memset(text, 'a', sizeof text - 1);
	text[sizeof text - 1] = '\0';
	cr_assert_lt(reference_parse(text, &reference, NULL), 0);
}

Test(reference, local)
{
	struct reference reference;

	cr_assert_eq(reference_parse("oci:/a/b:v1", &reference, NULL), 0);
	cr_assert_eq(reference.kind, REFERENCE_OCI_DIR);
	cr_assert_str_eq(reference.path, "/a/b");
	cr_assert_str_eq(reference.tag, "v1");
	cr_assert_eq(reference_parse("oci-archive:x.tar", &reference, NULL), 0);
	cr_assert_eq(reference.kind, REFERENCE_OCI_ARCHIVE);
	cr_assert_str_eq(reference.tag, "");
	cr_assert_eq(reference_parse("docker-archive:x.tar:host:5000/a:1", &reference, NULL), 0);
	cr_assert_eq(reference.kind, REFERENCE_DOCKER_ARCHIVE);
	cr_assert_str_eq(reference.tag, "host:5000/a:1");
}

static bool runs(const char *wanted, const char *offered)
{
	struct platform a, b;

	cr_assert_eq(platform_parse(wanted, &a, NULL), 0);
	cr_assert_eq(platform_parse(offered, &b, NULL), 0);
	return platform_matches(&a, &b);
}

Test(platform, matches)
{
	struct platform platform;

	cr_assert(runs("linux/amd64", "linux/x86_64"));
	cr_assert(runs("amd64", "linux/amd64/v1"));
	cr_assert(runs("linux/arm64", "linux/arm64/v8"));
	cr_assert(runs("linux/aarch64", "linux/arm64"));
	cr_assert_not(runs("linux/amd64", "linux/amd64/v3"));
	cr_assert(runs("linux/amd64/v3", "linux/amd64/v3"));
	cr_assert(runs("linux/amd64/v3", "linux/amd64"));
	cr_assert_not(runs("linux/amd64", "linux/arm64"));
	cr_assert_not(runs("linux/amd64", "windows/amd64"));
	cr_assert_lt(platform_parse("a/b/c/d", &platform, NULL), 0);
	cr_assert_lt(platform_parse("linux/", &platform, NULL), 0);
	cr_assert_lt(platform_parse("linux/a b", &platform, NULL), 0);
}

Test(reference, long_name_with_long_tag_is_refused_not_lost)
{
	struct reference reference;
	struct error err = { 0 };
	char text[REFERENCE_NAME_MAX + 1] = "";

	memset(text, 'a', 233);
	text[104] = ':';
	cr_assert_eq(reference_parse(text, &reference, &err), -EINVAL);
	cr_assert_not_null(strstr(err.text, "too long"));
}

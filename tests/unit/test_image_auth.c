#include "runtime/image/challenge.h"
#include "runtime/image/credentials.h"
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

Test(challenge, kinds)
{
	struct challenge c;

	cr_assert_eq(
	    challenge_parse("Bearer realm=\"https://a/token\",service=\"s\\\"x\",scope=\"r:"
			    "a:pull,push\"",
			    &c),
	    0);
	cr_assert_eq(c.scheme, CHALLENGE_BEARER);
	cr_assert_str_eq(c.realm, "https://a/token");
	cr_assert_str_eq(c.service, "s\"x");
	cr_assert_str_eq(c.scope, "r:a:pull,push");
	cr_assert_eq(challenge_parse("basic realm=x", &c), 0);
	cr_assert_eq(c.scheme, CHALLENGE_BASIC);
	cr_assert_eq(
	    challenge_parse("Negotiate, Basic realm=\"x\", bearer realm=\"https://b\"", &c), 0);
	cr_assert_eq(c.scheme, CHALLENGE_BEARER);
	cr_assert_str_eq(c.realm, "https://b");
}

Test(challenge, malformed)
{
	static const char *const texts[] = {
		"",
		",",
		"Negotiate",
		"Bearer",
		"Bearer realm=",
		"Bearer realm=\"x",
		"Bearer realm=\"x\\",
		"Bearer service=\"x\"",
		"Basic realm=\"a\nb\"",
		"@",
		"Basic@ x",
	};
	struct challenge c;

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		cr_assert_eq(challenge_parse(texts[i], &c), -EINVAL, "%s", texts[i]);
}

static int find(const char *text, const char *registry, struct credentials *out, char **helper)
{
	struct error err;

	return credentials_parse(text, strlen(text), registry, out, helper, &err);
}

Test(credentials, auths)
{
	static const char text[] =
	    "{\"auths\":{\"https://index.docker.io/v1/\":{\"auth\":\"YW5uOnBhOnNz\"},"
	    "\"http://old.example/v1/\":{\"auth\":\"YW5uOnB3\"},"
	    "\"token.example\":{\"auth\":\"YTpi\",\"identitytoken\":\"tok\"},"
	    "\"empty.example\":{}}}";
	struct credentials c;
	char *helper;

	cr_assert_eq(find(text, "docker.io", &c, &helper), 0);
	cr_assert_str_eq(c.user, "ann");
	cr_assert_str_eq(c.password, "pa:ss");
	credentials_finish(&c);
	cr_assert_eq(find(text, "old.example", &c, &helper), 0);
	cr_assert_str_eq(c.password, "pw");
	credentials_finish(&c);
	cr_assert_eq(find(text, "token.example", &c, &helper), 0);
	cr_assert_str_eq(c.identity_token, "tok");
	credentials_finish(&c);
	cr_assert_eq(find(text, "empty.example", &c, &helper), 0);
	cr_assert_null(c.user);
	cr_assert_eq(find(text, "example", &c, &helper), 0);
	cr_assert_null(c.user);
	cr_assert_eq(find("{\"auths\":{\"x\":{\"auth\":\"!!\"}}}", "x", &c, &helper), -EINVAL);
	cr_assert_eq(find("{\"auths\":{\"x\":{\"auth\":\"YW5u\"}}}", "x", &c, &helper), -EINVAL);
	cr_assert_eq(find("{\"auths\":[]}", "x", &c, &helper), -EINVAL);
}

Test(credentials, helpers)
{
	static const char text[] = "{\"credsStore\":\"all\",\"credHelpers\":{\"x:5\":\"one\"}}";
	static const char hub[] =
	    "{\"credsStore\":\"all\",\"credHelpers\":{\"docker.io\":\"short\","
	    "\"https://index.docker.io/v1/\":\"hub\"}}";
	static const char short_hub[] = "{\"credHelpers\":{\"docker.io\":\"short\"}}";
	struct credentials c;
	char *helper;

	cr_assert_eq(find(text, "x:5", &c, &helper), 0);
	cr_assert_str_eq(helper, "one");
	free(helper);
	cr_assert_eq(find(text, "y", &c, &helper), 0);
	cr_assert_str_eq(helper, "all");
	free(helper);
	cr_assert_eq(find(hub, "docker.io", &c, &helper), 0);
	cr_assert_str_eq(helper, "hub");
	free(helper);
	cr_assert_eq(find(short_hub, "docker.io", &c, &helper), 0);
	cr_assert_str_eq(helper, "short");
	free(helper);
	cr_assert_eq(find("{\"credsStore\":\"../x\"}", "y", &c, &helper), -EINVAL);
}

static void make_helper(const char *folder, const char *name, const char *script)
{
	char path[256];
	FILE *file;

	(void)snprintf(path, sizeof path, "%s/docker-credential-%s", folder, name);
	file = fopen(path, "w");
	cr_assert(file);
	(void)fprintf(file, "#!/bin/sh\n%s\n", script);
	(void)fclose(file);
	cr_assert_eq(chmod(path, 0700), 0);
}

Test(credentials, asks_the_helper)
{
	char folder[] = "/tmp/katavm-test-XXXXXX", path[512];
	struct credentials c = { 0 };
	struct error err;

	cr_assert(mkdtemp(folder));
	(void)snprintf(path, sizeof path, "%s:/usr/bin:/bin", folder);
	(void)setenv("PATH", path, 1);
	make_helper(folder, "good",
		    "read r; echo \"{\\\"Username\\\":\\\"$r\\\",\\\"Secret\\\":\\\"s\\\"}\"");
	make_helper(folder, "none", "echo credentials not found in native keychain; exit 1");
	make_helper(folder, "bad", "echo broken; exit 3");
	make_helper(folder, "odd", "echo '{}'");
	cr_assert_eq(credentials_ask("good", "reg:5000", &c, &err), 0, "%s", err.text);
	cr_assert_str_eq(c.user, "reg:5000");
	cr_assert_str_eq(c.password, "s");
	credentials_finish(&c);
	cr_assert_eq(credentials_ask("none", "r", &c, &err), 0);
	cr_assert_null(c.user);
	cr_assert_eq(credentials_ask("bad", "r", &c, &err), -EACCES);
	cr_assert(strstr(err.text, "broken"));
	cr_assert_eq(credentials_ask("odd", "r", &c, &err), -EINVAL);
	cr_assert_eq(credentials_ask("absent", "r", &c, &err), -ENOENT);
}

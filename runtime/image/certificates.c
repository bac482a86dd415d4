#include "runtime/image/certificates.h"

#include "base/own.h"
#include "base/sys.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { AUTHORITIES_MAX = 4 << 20 };

void certificates_finish(struct certificates *certificates)
{
	free(certificates->authorities);
	free(certificates->own);
	free(certificates->own_key);
	*certificates = (struct certificates){ 0 };
}

static int unreadable(const char *path, int r, struct error *err)
{
	return error_set(err, r, "read the certificate %s: %s", path, sys_text(r));
}

/* Adds the file's text to the authorities. */
static int add_authority(struct certificates *certificates, const char *path, struct error *err)
{
	own_fd fd = sys_open(AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0);
	size_t have = certificates->authorities_size, size;
	struct stat status;
	char *grown;
	int r = fd < 0 ? fd : (int)SYS(fstat, fd, &status);

	if (r >= 0 && !S_ISREG(status.st_mode))
		r = -EINVAL;
	if (r >= 0 && (status.st_size > AUTHORITIES_MAX || have > AUTHORITIES_MAX))
		r = -EFBIG;
	if (r < 0)
		return unreadable(path, r, err);
	size = (size_t)status.st_size;
	grown = realloc(certificates->authorities, have + size + 2);
	if (!grown)
		return error_set(err, -ENOMEM, "out of memory");
	certificates->authorities = grown;
	r = sys_read_all(fd, grown + have, size);
	if (r < 0)
		return unreadable(path, r, err);
	grown[have + size] = '\n'; /* files without a last line's end exist */
	grown[have + size + 1] = '\0';
	certificates->authorities_size = have + size + 1;
	return 0;
}

static int set_own(struct certificates *certificates, const char *path, struct error *err)
{
	own_mem char *cert = strdup(path);
	own_mem char *key = NULL;

	if (!cert || asprintf(&key, "%.*s.key", (int)(strlen(path) - strlen(".cert")), path) < 0) {
		key = NULL;
		return error_set(err, -ENOMEM, "out of memory");
	}
	if (access(key, R_OK) < 0)
		return error_set(err, -ENOENT, "the certificate %s has no key %s beside it", path,
				 key);
	free(certificates->own);
	free(certificates->own_key);
	certificates->own = take_ptr(cert);
	certificates->own_key = take_ptr(key);
	return 0;
}

static bool ends_with(const char *text, const char *end)
{
	size_t size = strlen(text), end_size = strlen(end);

	return size > end_size && strcmp(text + size - end_size, end) == 0;
}

/* 1: the folder is there and was read. */
static int read_folder(const char *folder, struct certificates *out, struct error *err)
{
	struct dirent **list = NULL;
	int count = scandir(folder, &list, NULL, alphasort), r = 0;

	if (count < 0)
		return 0; /* not there, or not for this user: as if there was none */
	for (int i = 0; i < count; i++) {
		own_mem char *path = NULL;

		if (r == 0 && asprintf(&path, "%s/%s", folder, list[i]->d_name) < 0) {
			path = NULL;
			r = error_set(err, -ENOMEM, "out of memory");
		}
		if (r == 0 && ends_with(path, ".crt"))
			r = add_authority(out, path, err);
		else if (r == 0 && ends_with(path, ".cert"))
			r = set_own(out, path, err);
		free(list[i]);
	}
	free(list);
	return r < 0 ? r : 1;
}

/* The user's own configuration; NULL for root, whose is /etc. */
static char *user_folder(const char *host)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
	char *path = NULL;
	int n = -1;

	if (geteuid() == 0)
		return NULL;
	if (config && config[0] == '/')
		n = asprintf(&path, "%s/docker/certs.d/%s", config, host);
	else if (home && home[0] == '/')
		n = asprintf(&path, "%s/.config/docker/certs.d/%s", home, host);
	return n < 0 ? NULL : path;
}

int certificates_find(const char *host, struct certificates *out, struct error *err)
{
	struct certificates found = { 0 };
	own_mem char *user = user_folder(host);
	own_mem char *system = NULL;
	int r = user ? read_folder(user, &found, err) : 0;

	if (r == 0 && asprintf(&system, "/etc/docker/certs.d/%s", host) < 0) {
		system = NULL;
		r = error_set(err, -ENOMEM, "out of memory");
	}
	if (r == 0)
		r = read_folder(system, &found, err);
	if (r < 0) {
		certificates_finish(&found);
		return r;
	}
	*out = found;
	return 0;
}

void certificates_use(const struct certificates *certificates, const struct lib_curl *curl,
		      CURL *easy)
{
	const char *file = getenv("SSL_CERT_FILE"), *folder = getenv("SSL_CERT_DIR");
	struct curl_blob authorities = { .data = certificates->authorities,
					 .len = certificates->authorities_size,
					 .flags = CURL_BLOB_NOCOPY };

	if (file && *file)
		(void)curl->easy_setopt(easy, CURLOPT_CAINFO, file);
	if (folder && *folder)
		(void)curl->easy_setopt(easy, CURLOPT_CAPATH, folder);
	/* comes instead of CAINFO and beside CAPATH, where the system's authorities are as well */
	if (certificates->authorities)
		(void)curl->easy_setopt(easy, CURLOPT_CAINFO_BLOB, &authorities);
	if (certificates->own) {
		(void)curl->easy_setopt(easy, CURLOPT_SSLCERT, certificates->own);
		(void)curl->easy_setopt(easy, CURLOPT_SSLKEY, certificates->own_key);
	}
}

#include "runtime/image/session_private.h"

#include "base/own.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum {
	MAX_TRIES = 5,
	MAX_CALLS =
	    2, /* of a host that nobody can reach: more often it is a name that was mistyped */
	MAX_REDIRECTS = 8,
	CONNECT_TIMEOUT_S = 20,
	STALL_BYTES = 100, /* per second, for STALL_S: then the connection counts as lost */
	STALL_S = 20,
};

bool session_is_loopback(const char *host)
{
	size_t size = host[0] == '[' ? strcspn(host, "]") + 1 : strcspn(host, ":/");

	return (size == 9 && strncmp(host, "localhost", 9) == 0) ||
	       (size > 4 && strncmp(host, "127.", 4) == 0 && strspn(host, "0123456789.") == size) ||
	       (size == 5 && strncmp(host, "[::1]", 5) == 0);
}

/* Plain HTTP goes to this machine only, wherever a redirect or a name leads. The address is that of
 * the connection, before anything is sent on it. */
/* NOLINTNEXTLINE(readability-non-const-parameter): the library's type of callback */
static int check_peer(void *easy, char *address, char *own_address, int port, int own_port)
{
	const struct lib_curl *curl = lib_curl(NULL);
	const char *scheme = NULL;

	(void)own_address;
	(void)port;
	(void)own_port;
	if (!curl || curl->easy_getinfo(easy, CURLINFO_SCHEME, &scheme) != CURLE_OK || !scheme)
		return CURL_PREREQFUNC_ABORT;
	return strcasecmp(scheme, "https") == 0 || strncmp(address, "127.", 4) == 0 ||
		       strcmp(address, "::1") == 0
		   ? CURL_PREREQFUNC_OK
		   : CURL_PREREQFUNC_ABORT;
}

void session_set_common(const struct session *session, CURL *easy, const char *url)
{
	const struct lib_curl *curl = session->curl;
	bool is_plain = strncmp(url, "http://", 7) == 0;

	(void)curl->easy_setopt(easy, CURLOPT_URL, url);
	(void)curl->easy_setopt(easy, CURLOPT_USERAGENT, "katavm/" KATAVM_VERSION);
	(void)curl->easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	(void)curl->easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
	(void)curl->easy_setopt(easy, CURLOPT_MAXREDIRS, (long)MAX_REDIRECTS);
	(void)curl->easy_setopt(easy, CURLOPT_PROTOCOLS_STR, is_plain ? "http,https" : "https");
	(void)curl->easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR,
				is_plain ? "http,https" : "https");
	(void)curl->easy_setopt(easy, CURLOPT_UNRESTRICTED_AUTH, 0L);
	(void)curl->easy_setopt(easy, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_TIMEOUT_S);
	(void)curl->easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES);
	(void)curl->easy_setopt(easy, CURLOPT_LOW_SPEED_TIME, (long)STALL_S);
	(void)curl->easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	(void)curl->easy_setopt(easy, CURLOPT_PREREQFUNCTION, check_peer);
	(void)curl->easy_setopt(easy, CURLOPT_PREREQDATA, easy);
	if (session->is_loopback)
		(void)curl->easy_setopt(easy, CURLOPT_PROXY, "");
	certificates_use(&session->certificates, curl, easy);
}

int session_prepare(const struct session *session, CURL *easy, const char *path, const char *accept,
		    struct curl_slist **headers)
{
	char url[3 * SESSION_TEXT];

	(void)snprintf(url, sizeof url, "%s/v2/%s/%s", session->base, session->repository, path);
	session_set_common(session, easy, url);
	*headers = NULL;
	if (accept)
		*headers = session->curl->slist_append(NULL, accept);
	/* a header of our own is not sent to another host that a redirect leads to */
	if (session->scheme == CHALLENGE_BEARER && session->token)
		*headers = session->curl->slist_append(*headers, session->token);
	if (session->scheme == CHALLENGE_BASIC && session->credentials.user) {
		(void)session->curl->easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		(void)session->curl->easy_setopt(easy, CURLOPT_USERNAME, session->credentials.user);
		(void)session->curl->easy_setopt(easy, CURLOPT_PASSWORD,
						 session->credentials.password);
	}
	(void)session->curl->easy_setopt(easy, CURLOPT_HTTPHEADER, *headers);
	return 0;
}

static void keep_header(const char *data, size_t size, const char *name, char out[SESSION_TEXT])
{
	size_t length = strlen(name);

	if (size <= length || strncasecmp(data, name, length) != 0)
		return;
	data += length;
	size -= length;
	while (size && (*data == ' ' || *data == '\t')) {
		data++;
		size--;
	}
	while (size && strchr("\r\n \t", data[size - 1]))
		size--;
	if (size >= SESSION_TEXT || memchr(data, '\0', size))
		return;
	memcpy(out, data, size);
	out[size] = '\0';
}

size_t response_header(char *data, size_t size, size_t count, void *context)
{
	struct response *response = context;
	char challenge[SESSION_TEXT] = "";
	size_t bytes = size * count;

	if (bytes > 5 && strncmp(data, "HTTP/", 5) == 0) { /* of the next answer on a redirect */
		response->type[0] = response->digest[0] = response->challenge[0] = '\0';
		return bytes;
	}
	keep_header(data, bytes, "Content-Type:", response->type);
	keep_header(data, bytes, "Docker-Content-Digest:", response->digest);
	keep_header(data, bytes, "WWW-Authenticate:", challenge);
	if (challenge[0]) { /* several headers say the same as one with commas */
		size_t used = strlen(response->challenge);

		(void)snprintf(response->challenge + used, SESSION_TEXT - used, "%s%s",
			       used ? ", " : "", challenge);
	}
	response->type[strcspn(response->type, "; ")] = '\0';
	return bytes;
}

static size_t collect(char *data, size_t size, size_t count, void *context)
{
	struct response *response = context;
	size_t bytes = size * count;
	char *grown;

	if (bytes > response->limit - response->size) {
		response->is_too_big = true;
		return 0;
	}
	grown = realloc(response->body, response->size + bytes + 1);
	if (!grown)
		return 0;
	memcpy(grown + response->size, data, bytes);
	response->body = grown;
	response->size += bytes;
	grown[response->size] = '\0';
	return bytes;
}

void response_finish(struct response *response)
{
	free(response->body);
	*response = (struct response){ 0 };
}

bool session_is_transient(CURLcode code, long status)
{
	switch ((int)code) {
	case CURLE_OK:
		return status == 408 || status == 429 || (status >= 500 && status != 501);
	case CURLE_COULDNT_CONNECT:
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_PARTIAL_FILE:
	case CURLE_OPERATION_TIMEDOUT:
	case CURLE_GOT_NOTHING:
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		return true;
	default:
		return false;
	}
}

unsigned session_delay_ms(unsigned attempt)
{
	return 500U << (attempt < 4 ? attempt : 4);
}

int session_refusal(const struct session *session, const char *what, long code, const char *body,
		    size_t size, struct error *err)
{
	struct document document = { .what = "the answer" };
	own_json *root = NULL;
	json_object *errors = NULL;
	const char *said = NULL;

	if (body && document_parse(&document, body, size, json_type_object, &root) == 0 &&
	    document_field(&document, root, "errors", json_type_array, &errors) == 0 && errors &&
	    json_object_is_type(json_object_array_get_idx(errors, 0), json_type_object))
		(void)document_text(&document, json_object_array_get_idx(errors, 0), "message",
				    &said);
	if (code == 404)
		return error_set(err, -ENOENT, "%s has no %s", session->registry, what);
	if (code == 401 || code == 403)
		return error_set(err, -EACCES,
				 "%s gives nobody%s %s: it is not there, or needs another docker "
				 "login",
				 session->registry,
				 session->credentials.user || session->credentials.identity_token
				     ? " with these credentials"
				     : " without a login",
				 what);
	if (code == 429)
		return error_set(err, -EBUSY, "%s allows no more pulls for now (HTTP 429)",
				 session->registry);
	return error_set(err, -EPROTO, "%s answered HTTP %ld to the request for %s%s%.80s",
			 session->registry, code, what, said ? ": " : "", said ? said : "");
}

const char *session_reason(const struct session *session, CURLcode code,
			   const struct response *response)
{
	if (code == CURLE_ABORTED_BY_CALLBACK)
		return "it leads to plain HTTP on another machine";
	return response->said[0] ? response->said : session->curl->easy_strerror(code);
}

static int transport_error(const struct session *session, CURLcode code, struct response *response,
			   struct error *err)
{
	if (response->is_too_big)
		return error_set(err, -EFBIG, "%s sent a document larger than 4 MiB",
				 session->registry);
	if (code == CURLE_PEER_FAILED_VERIFICATION)
		return error_set(
		    err, -EACCES,
		    "the certificate of %s is not trusted: %s (its authority can be put "
		    "into /etc/docker/certs.d/%s/ca.crt)",
		    session->registry, session_reason(session, code, response), session->registry);
	return error_set(err, -EIO, "no answer from %s: %s%s", session->registry,
			 session_reason(session, code, response),
			 code == CURLE_SSL_CONNECT_ERROR && !session->is_loopback
			     ? " (plain HTTP is for registries on this machine only)"
			     : "");
}

CURLcode session_perform(const struct session *session, CURL *easy, struct response *response)
{
	const struct lib_curl *curl = session->curl;
	CURLcode code;

	response_finish(response);
	response->limit = DOCUMENT_MAX_SIZE;
	(void)curl->easy_setopt(easy, CURLOPT_WRITEFUNCTION, collect);
	(void)curl->easy_setopt(easy, CURLOPT_WRITEDATA, response);
	(void)curl->easy_setopt(easy, CURLOPT_HEADERFUNCTION, response_header);
	(void)curl->easy_setopt(easy, CURLOPT_HEADERDATA, response);
	(void)curl->easy_setopt(easy, CURLOPT_ERRORBUFFER, response->said);
	code = curl->easy_perform(easy);
	(void)curl->easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &response->code);
	return code;
}

static CURLcode try_once(const struct session *session, CURL *easy, const char *path,
			 const char *accept, struct response *response)
{
	struct curl_slist *headers;
	CURLcode code;

	session->curl->easy_reset(easy);
	(void)session_prepare(session, easy, path, accept, &headers);
	code = session_perform(session, easy, response);
	session->curl->slist_free(headers);
	return code;
}

/* A loopback registry may speak plain HTTP: TLS that finds no TLS says so. */
static bool fall_back(struct session *session, CURLcode code)
{
	if (!session->is_loopback || strncmp(session->base, "https://", 8) != 0 ||
	    (code != CURLE_SSL_CONNECT_ERROR && code != CURLE_GOT_NOTHING &&
	     code != CURLE_RECV_ERROR))
		return false;
	memmove(session->base + 4, session->base + 5, strlen(session->base + 5) + 1);
	return true;
}

/* After `tries` of them. A host that nobody can reach is given up sooner. */
static bool may_try_again(CURLcode code, long status, unsigned tries)
{
	bool is_away = code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST;

	return session_is_transient(code, status) && tries < (is_away ? MAX_CALLS : MAX_TRIES);
}

static int get(struct session *session, CURL *easy, const char *path, const char *accept,
	       const char *what, struct response *out, struct error *err)
{
	bool is_logged_in = false;

	for (unsigned tries = 0;;) {
		CURLcode code = try_once(session, easy, path, accept, out);
		int r;

		if (code != CURLE_OK && fall_back(session, code))
			continue;
		if (code == CURLE_OK && out->code == 200)
			return 0;
		if (code == CURLE_OK && out->code == 401 && !is_logged_in) {
			is_logged_in = true;
			r = session_login(session, out->challenge, err);
			if (r < 0)
				return r;
			continue;
		}
		if (!may_try_again(code, out->code, ++tries))
			return code != CURLE_OK ? transport_error(session, code, out, err)
						: session_refusal(session, what, out->code,
								  out->body, out->size, err);
		(void)usleep(session_delay_ms(tries - 1) * 1000);
	}
}

int session_get(struct session *session, const char *path, const char *accept, const char *what,
		struct response *out, struct error *err)
{
	struct response response = { 0 };
	CURL *easy = session->curl->easy_init();
	int r = easy ? get(session, easy, path, accept, what, &response, err)
		     : error_set(err, -ENOMEM, "out of memory");

	if (easy)
		session->curl->easy_cleanup(easy);
	if (r < 0)
		response_finish(&response);
	else
		*out = response;
	return r;
}

int session_open(struct session *session, const struct reference *reference, struct error *err)
{
	struct session opened = { .curl = lib_curl(err) };
	const char *host = reference->host;
	int r;

	if (!opened.curl)
		return -ELIBACC;
	r = certificates_find(host, &opened.certificates, err);
	if (r < 0)
		return r;
	(void)snprintf(opened.registry, sizeof opened.registry, "%s", host);
	(void)snprintf(opened.repository, sizeof opened.repository, "%s", reference->repository);
	opened.is_loopback = session_is_loopback(host);
	(void)snprintf(opened.base, sizeof opened.base, "https://%s",
		       strcmp(host, "docker.io") == 0 ? "registry-1.docker.io" : host);
	*session = opened;
	return 0;
}

void session_close(struct session *session)
{
	credentials_finish(&session->credentials);
	certificates_finish(&session->certificates);
	if (session->token)
		explicit_bzero(session->token, strlen(session->token));
	free(session->token);
	*session = (struct session){ 0 };
}

#pragma once
#include "runtime/image/certificates.h"
#include "runtime/image/challenge.h"
#include "runtime/image/credentials.h"
#include "runtime/image/document.h"
#include "runtime/image/lib_curl.h"
#include "runtime/image/reference.h"
#include <stdbool.h>

/* Talking with one registry about one repository: its address, who we are there, and GETs. */
enum { SESSION_TEXT = 1024 };

struct session {
	const struct lib_curl *curl;
	char base[REFERENCE_NAME_MAX + 16]; /* https://host[:port] */
	char registry[REFERENCE_NAME_MAX + 1];
	char repository[REFERENCE_NAME_MAX + 1];
	bool is_loopback;     /* plain HTTP is allowed */
	bool has_credentials; /* were looked for */
	struct credentials credentials;
	struct certificates certificates;
	enum challenge_scheme scheme; /* of what is sent with each request */
	char *token;                  /* "Authorization: Bearer …" */
	unsigned logins;
};

struct response {
	long code;
	char *body; /* ends with a NUL that does not count */
	size_t size, limit;
	char type[SESSION_TEXT];   /* Content-Type without parameters */
	char digest[SESSION_TEXT]; /* Docker-Content-Digest */
	char challenge[SESSION_TEXT];
	bool is_too_big;
	char said[CURL_ERROR_SIZE]; /* libcurl's own words for an error; for CURLOPT_ERRORBUFFER */
};

int session_open(struct session *session, const struct reference *reference, struct error *err);
void session_close(struct session *session);

/* Prepares a request of path (below /v2/REPOSITORY/). *headers is freed by the caller. */
int session_prepare(const struct session *session, CURL *easy, const char *path, const char *accept,
		    struct curl_slist **headers);

/* GET of path with up to DOCUMENT_MAX_SIZE of answer, with login and retries. 200, or an error:
 * -ENOENT, -EACCES, … what is what is asked for: "debian:12". */
int session_get(struct session *session, const char *path, const char *accept, const char *what,
		struct response *out, struct error *err);
void response_finish(struct response *response);

/* Collects headers; for CURLOPT_HEADERFUNCTION with a struct response. */
size_t response_header(char *data, size_t size, size_t count, void *context);

/* Answers a 401, whose challenge is text: gets a token, or switches to Basic. Also when a token has
 * become old. */
int session_login(struct session *session, const char *text, struct error *err);

/* The sentence for an HTTP status that is not success. */
int session_refusal(const struct session *session, const char *what, long code, const char *body,
		    size_t size, struct error *err);

/* Why no answer came; for a struct error, as the words may be a registry's. */
const char *session_reason(const struct session *session, CURLcode code,
			   const struct response *response);

/* Is it worth another try? */
bool session_is_transient(CURLcode code, long status);
/* Longer each time: 0.5, 1, 2, 4, 8 seconds. */
unsigned session_delay_ms(unsigned attempt);

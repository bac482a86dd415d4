/* Who we are at a registry: the token flow of the distribution specification, and Basic. */
#include "runtime/image/session_private.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_LOGINS = 20, MAX_TRIES = 3, URL_SIZE = 8 * SESSION_TEXT };

static int find_credentials(struct session *session, struct error *err)
{
	if (session->has_credentials)
		return 0;
	session->has_credentials = true;
	return credentials_find(session->registry, &session->credentials, err);
}

static int keep_token(struct session *session, const struct response *response, struct error *err)
{
	struct document document = { .what = "the registry's token", .err = err };
	const char *token = NULL;
	own_json *root = NULL;
	int r = document_parse(&document, response->body ? response->body : "", response->size,
			       json_type_object, &root);

	if (r == 0)
		r = document_text(&document, root, "token", &token);
	if (r == 0 && !token)
		r = document_need_text(&document, root, "access_token", &token);
	if (r < 0)
		return r;
	if (!token || !*token || strpbrk(token, "\r\n"))
		return error_set(err, -EPROTO, "the registry's token is malformed");
	free(session->token);
	if (asprintf(&session->token, "Authorization: Bearer %s", token) < 0) {
		session->token = NULL;
		return error_set(err, -ENOMEM, "out of memory");
	}
	session->scheme = CHALLENGE_BEARER;
	return 0;
}

/* key=value, escaped, behind ? or &. */
static void add_parameter(const struct session *session, CURL *easy, char url[URL_SIZE],
			  const char *key, const char *value)
{
	size_t used = strlen(url);
	char *escaped = value[0] ? session->curl->easy_escape(easy, value, 0) : NULL;

	if (escaped)
		(void)snprintf(url + used, URL_SIZE - used, "%s%s=%s",
			       !used                                  ? ""
			       : strchr(url, '?') || strchr(url, '=') ? "&"
								      : "?",
			       key, escaped);
	session->curl->free(escaped);
}

static void add_scope(const struct session *session, const struct challenge *challenge, CURL *easy,
		      char url[URL_SIZE])
{
	char scope[2 * SESSION_TEXT];

	(void)snprintf(scope, sizeof scope, "repository:%s:pull", session->repository);
	add_parameter(session, easy, url, "service", challenge->service);
	add_parameter(session, easy, url, "scope", challenge->scope[0] ? challenge->scope : scope);
}

static CURLcode ask_token(const struct session *session, const struct challenge *challenge,
			  CURL *easy, struct response *response)
{
	const struct credentials *have = &session->credentials;
	char url[URL_SIZE], form[URL_SIZE] = "";
	CURLcode code;

	(void)snprintf(url, sizeof url, "%s", challenge->realm);
	if (!have->identity_token)
		add_scope(session, challenge, easy, url);
	session_set_common(session, easy, url);
	if (have->identity_token) {
		add_parameter(session, easy, form, "grant_type", "refresh_token");
		add_parameter(session, easy, form, "client_id", "katavm");
		add_parameter(session, easy, form, "refresh_token", have->identity_token);
		add_scope(session, challenge, easy, form);
		(void)session->curl->easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, form);
		/* a 307 or 308 would have the body sent once more, to whomever it names */
		(void)session->curl->easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
	} else if (have->user) {
		(void)session->curl->easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
		(void)session->curl->easy_setopt(easy, CURLOPT_USERNAME, have->user);
		(void)session->curl->easy_setopt(easy, CURLOPT_PASSWORD, have->password);
	}
	code = session_perform(session, easy, response);
	explicit_bzero(form, sizeof form);
	return code;
}

static int get_token(struct session *session, const struct challenge *challenge, struct error *err)
{
	struct response response = { 0 };
	CURL *easy = session->curl->easy_init();
	CURLcode code;
	int r;

	if (!easy)
		return error_set(err, -ENOMEM, "out of memory");
	for (unsigned tries = 0;;) {
		session->curl->easy_reset(easy);
		code = ask_token(session, challenge, easy, &response);
		if (!session_is_transient(code, response.code) || ++tries == MAX_TRIES)
			break;
		(void)usleep(session_delay_ms(tries - 1) * 1000);
	}
	session->curl->easy_cleanup(easy);
	if (code != CURLE_OK)
		r = error_set(err, -EIO, "no token for %s: %s", session->registry,
			      session_reason(session, code, &response));
	else if (response.code != 200)
		r = error_set(
		    err, -EACCES, "%s gives no token: HTTP %ld%s", session->registry, response.code,
		    response.code == 401 ? ", the login in docker's config.json is refused" : "");
	else
		r = keep_token(session, &response, err);
	if (response.body)
		explicit_bzero(response.body, response.size);
	response_finish(&response);
	return r;
}

/* A password goes nowhere in the clear, but to this machine itself. */
static bool is_safe_realm(const struct session *session, const char *realm)
{
	if (strncmp(realm, "https://", 8) == 0)
		return true;
	return session->is_loopback && strncmp(realm, "http://", 7) == 0 &&
	       session_is_loopback(realm + 7);
}

int session_login(struct session *session, const char *text, struct error *err)
{
	struct challenge challenge;
	int r;

	if (++session->logins > MAX_LOGINS)
		return error_set(err, -EACCES, "%s wants one login after the other",
				 session->registry);
	if (challenge_parse(text, &challenge) < 0)
		return error_set(err, -EACCES,
				 "%s wants a login of a kind that is not known: \"%.80s\"",
				 session->registry, text);
	r = find_credentials(session, err);
	if (r < 0)
		return r;
	if (challenge.scheme == CHALLENGE_BEARER) {
		if (!is_safe_realm(session, challenge.realm))
			return error_set(err, -EACCES,
					 "%s sends to \"%.80s\" for a token, which is not https",
					 session->registry, challenge.realm);
		return get_token(session, &challenge, err);
	}
	if (!session->credentials.user)
		return error_set(err, -EACCES, "%s wants a password: docker login %s",
				 session->registry, session->registry);
	session->scheme = CHALLENGE_BASIC;
	return 0;
}

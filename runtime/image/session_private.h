#pragma once
#include "runtime/image/session.h"

/* Between session.c and session_login.c. */
void session_set_common(const struct session *session, CURL *easy, const char *url);
CURLcode session_perform(const struct session *session, CURL *easy, struct response *response);
bool session_is_loopback(const char *host);

#pragma once
#include "runtime/net/rules.h"

/* One command of the batch; format is what stands between its braces. */
void rules_put(struct rules *rules, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Pieces of libnftables-json(5). */
#define INET   "\"family\":\"inet\",\"table\":\"katavm\""
#define BRIDGE "\"family\":\"bridge\",\"table\":\"katavm\""

#define META(key) "{\"meta\":{\"key\":\"" key "\"}}"
#define FIELD(protocol, field)                                                                     \
	"{\"payload\":{\"protocol\":\"" protocol "\",\"field\":\"" field "\"}}"
#define CONCAT(parts) "{\"concat\":[" parts "]}"
#define MATCH(left, op, right)                                                                     \
	"{\"match\":{\"op\":\"" op "\",\"left\":" left ",\"right\":" right "}}"
#define VMAP(key, map) "{\"vmap\":{\"key\":" key ",\"data\":\"@" map "\"}}"
#define CT(key)        "{\"ct\":{\"key\":\"" key "\"}}"
#define ACCEPT         "{\"accept\":null}"
#define DROP           "{\"drop\":null}"
#define FROM_BRIDGES   MATCH(META("iifname"), "==", "\"@bridges\"")
#define TO_BRIDGES     MATCH(META("oifname"), "==", "\"@bridges\"")
#define ANSWERS        MATCH(CT("state"), "in", "[\"established\",\"related\"]")
#define TO_US          MATCH("{\"fib\":{\"result\":\"type\",\"flags\":[\"daddr\"]}}", "==", "\"local\"")
#define PORT_KEY       META("l4proto") "," FIELD("th", "dport")
#define TYPE4          "\"ipv4_addr\",\"inet_proto\",\"inet_service\""
#define TYPE6          "\"ipv6_addr\",\"inet_proto\",\"inet_service\""

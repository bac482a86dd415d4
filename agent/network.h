#pragma once

/* 127.0.0.1 and ::1 of the caller's network namespace become usable. */
int network_raise_loopback(void);

#pragma once
#include "base/error.h"

/*
 * The process of a sandbox's shared folders: takes the shares and then the queues from `socket`
 * (devices/fs/channel.h) and serves until its other end is gone. It is to be thought of as taken
 * over by the guest: before the first queue is served it has given up every capability that the
 * work does not need, and it opens nothing but beneath the shares' roots.
 */
int fs_server_run(int socket, struct error *err);

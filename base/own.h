#pragma once
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* Owned by this scope; released when it ends unless taken. */
#define own_fd   __attribute__((cleanup(own_fd_release))) int
#define own_mem  __attribute__((cleanup(own_mem_release)))
#define own_mmap __attribute__((cleanup(own_mmap_release))) struct own_mapping
#define own_file __attribute__((cleanup(own_file_release))) FILE
#define own_dir  __attribute__((cleanup(own_dir_release))) DIR
#define own_lock __attribute__((cleanup(own_lock_release))) pthread_mutex_t

struct own_mapping {
	void *at; /* NULL: nothing to unmap */
	size_t size;
};

static inline void own_fd_release(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd);
}

static inline void own_mem_release(void *slot)
{
	free(*(void **)slot);
}

static inline void own_mmap_release(struct own_mapping *mapping)
{
	if (mapping->at)
		(void)munmap(mapping->at, mapping->size);
}

static inline void own_file_release(FILE **file)
{
	if (*file)
		(void)fclose(*file);
}

static inline void own_dir_release(DIR **dir)
{
	if (*dir)
		(void)closedir(*dir);
}

static inline void own_lock_release(pthread_mutex_t **lock)
{
	(void)pthread_mutex_unlock(*lock);
}

/* own_lock *held = own_locked(&mutex); */
static inline pthread_mutex_t *own_locked(pthread_mutex_t *lock)
{
	(void)pthread_mutex_lock(lock);
	return lock;
}

/* Close what *fd holds and remember that it holds nothing. */
static inline void close_fd(int *fd)
{
	own_fd_release(fd);
	*fd = -EBADF;
}

static inline int take_fd(int *fd)
{
	int taken = *fd;

	*fd = -EBADF;
	return taken;
}

#define take_ptr(pointer)                                                                          \
	({                                                                                         \
		__auto_type taken_ = (pointer);                                                    \
		(pointer) = NULL;                                                                  \
		taken_;                                                                            \
	})

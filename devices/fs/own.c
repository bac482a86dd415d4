/*
 * What the guest itself does to what it watches, so that it does not hear of it a second time.
 *
 * It is noted before it is done. All events of a call are in inotify's queue when it returns, so at
 * the end of the turn that queue is read until it is empty, and then the note is no longer good
 * (fs_own_clear), unless it is of a call that takes longer. What somebody else does in the same
 * turn to the same name in the same way is left out with it: the guest's kernel has just told of
 * one such event.
 *
 * inotify does not say who did it. fanotify(7) would, but not on every file system of a host (of
 * Linux 6.1 not on overlayfs, nor on subvolumes of btrfs).
 */
#include "devices/fs/fs_private.h"

enum { SLOTS = 256 };

struct note {
	int number;          /* of the watch that will tell of it; 0: a free slot */
	uint32_t name, mask; /* name: its hash; of the watched node itself: of "" */
	unsigned held;       /* by calls that are not done yet */
};

struct fs_own {
	struct note notes[SLOTS];
};

static uint32_t hash(const char *name)
{
	uint32_t value = 2166136261U; /* FNV-1a */

	for (; *name; name++)
		value = (value ^ (uint8_t)*name) * 16777619U;
	return value;
}

/* The note of this name, or a free slot, or NULL. */
static struct note *find(struct fs_own *own, int number, uint32_t name)
{
	struct note *unused = NULL;

	for (struct note *note = own->notes; note < own->notes + SLOTS; note++) {
		if (note->number == number && note->name == name)
			return note;
		if (note->number == 0 && !unused)
			unused = note;
	}
	return unused;
}

/* The number of its slot, from 1, or 0: nobody would tell of it, or no slot is free and the guest
 * will hear of it twice. */
static uint16_t note(struct fs *fs, int number, const char *name, uint32_t mask)
{
	struct note *note = number > 0 ? find(fs->own, number, hash(name)) : NULL;

	if (!note)
		return 0;
	if (note->number == 0)
		*note = (struct note){ .number = number, .name = hash(name) };
	note->mask |= mask;
	fs_events_look_soon(fs);
	return (uint16_t)(note - fs->own->notes + 1);
}

void fs_own_name(struct fs *fs, const struct fs_node *folder, const char *name, uint32_t mask)
{
	if (fs->own)
		(void)note(fs, folder->watch, name, mask);
}

void fs_own_child(struct fs *fs, int dir, const char *name, uint32_t mask)
{
	const struct fs_node *node = fs->own ? fs_node_at(fs, dir, name) : NULL;

	if (node)
		(void)note(fs, node->watch, "", mask);
}

void fs_own_node(struct fs *fs, const struct fs_node *node, uint32_t mask)
{
	if (!fs->own)
		return;
	(void)note(fs, node->watch, "", mask);
	if (node->parent)
		(void)note(fs, node->parent->watch, node->name, mask);
}

void fs_own_begin(struct fs *fs, struct fs_call *call, const struct fs_node *node, uint32_t mask)
{
	if (!fs->own)
		return;
	call->own[0] = note(fs, node->watch, "", mask);
	call->own[1] = node->parent ? note(fs, node->parent->watch, node->name, mask) : 0;
	for (size_t i = 0; i < 2; i++)
		if (call->own[i] > 0)
			fs->own->notes[call->own[i] - 1].held++;
}

void fs_own_end(struct fs *fs, struct fs_call *call)
{
	for (size_t i = 0; i < 2; i++) {
		if (call->own[i] == 0)
			continue;
		fs->own->notes[call->own[i] - 1].held--;
		call->own[i] = 0;
		fs_events_look_soon(fs);
	}
}

bool fs_own_is(const struct fs *fs, int number, const char *name, uint32_t mask)
{
	const struct note *note = find(fs->own, number, hash(name));

	return note && note->number == number && (note->mask & mask);
}

void fs_own_clear(struct fs *fs)
{
	for (size_t i = 0; i < SLOTS; i++)
		if (fs->own->notes[i].held == 0)
			fs->own->notes[i] = (struct note){ 0 };
}

int fs_own_create(struct fs *fs)
{
	fs->own = calloc(1, sizeof *fs->own);
	return fs->own ? 0 : -ENOMEM;
}

void fs_own_destroy(struct fs *fs)
{
	free(fs->own);
	fs->own = NULL;
}

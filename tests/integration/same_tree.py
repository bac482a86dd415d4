#!/usr/bin/python3
"""Are two trees the same, entry by entry? Type, mode, owner, size, device, time to the nanosecond, link target,
extended attributes, content, and which names share an inode. Each line of standard input is a check of its own: NAME
EXPECTED SEEN [no-links] [no-folder-times] [drop=XATTR-PREFIX]..., separated by tabs; "ok NAME" or "not ok NAME" comes out."""
import hashlib
import os
import stat
import sys


def walk(top):
    found = {b".": os.lstat(top)}
    for folder, names, files in os.walk(top):
        for name in names + files:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, top)] = os.lstat(path)
    return found


def xattrs(path, dropped):
    names = [name for name in os.listxattr(path, follow_symlinks=False) if not name.startswith(dropped)]
    return {name: os.getxattr(path, name, follow_symlinks=False) for name in sorted(names)}


def data_of(path):
    """Pieces that are not holes, as (offset, size), from the file system that knows best."""
    with open(path, "rb") as file:
        end, at, pieces = os.fstat(file.fileno()).st_size, 0, []
        while at < end:
            try:
                start = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            pieces.append((start, at - start))
    return pieces


def content(path, size, pieces):
    """The whole content; of a huge file what is stored in the expected one, and samples between."""
    total = hashlib.sha256()
    with open(path, "rb") as file:
        if size <= 16 << 20:
            pieces = [(0, size)]
        for start, length in pieces:
            file.seek(start)
            while length > 0:
                piece = file.read(min(length, 1 << 20))
                if not piece:
                    return "short at %d" % file.tell()
                total.update(piece)
                length -= len(piece)
        for at in range(0, size, max(size // 32, 4096)):
            file.seek(at)
            total.update(file.read(4096))
        file.seek(max(size - 4096, 0))
        total.update(file.read())
    return total.hexdigest()


def groups(found):
    """Names that are one inode."""
    by_inode = {}
    for path, status in found.items():
        if stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
            by_inode.setdefault((status.st_dev, status.st_ino), []).append(path)
    return sorted(sorted(paths) for paths in by_inode.values())


class Comparison:
    def __init__(self, expected, seen, words):
        self.expected, self.seen, self.words = os.fsencode(expected), os.fsencode(seen), words
        self.dropped = tuple(word[5:] for word in words if word.startswith("drop="))
        self.problems = []

    def say(self, path, what, left, right):
        self.problems.append("%r: %s is %r, expected %r" % (os.fsdecode(path), what, right, left))

    def entry(self, path, left, right):
        a, b = os.path.join(self.expected, path), os.path.join(self.seen, path)
        fields = ["st_mode", "st_uid", "st_gid"]
        if not stat.S_ISDIR(left.st_mode):
            fields += ["st_size", "st_rdev"] + ([] if "no-links" in self.words else ["st_nlink"])
        if not (stat.S_ISDIR(left.st_mode) and "no-folder-times" in self.words):
            fields.append("st_mtime_ns")
        for field in fields:
            if getattr(left, field) != getattr(right, field):
                self.say(path, field, getattr(left, field), getattr(right, field))
        if stat.S_IFMT(left.st_mode) != stat.S_IFMT(right.st_mode):
            return
        if xattrs(a, self.dropped) != xattrs(b, self.dropped):
            self.say(path, "xattrs", xattrs(a, self.dropped), xattrs(b, self.dropped))
        if stat.S_ISLNK(left.st_mode) and os.readlink(a) != os.readlink(b):
            self.say(path, "target", os.readlink(a), os.readlink(b))
        if stat.S_ISREG(left.st_mode) and left.st_size == right.st_size:
            pieces = data_of(a)
            if content(a, left.st_size, pieces) != content(b, left.st_size, pieces):
                self.say(path, "content", "one", "another")

    def run(self):
        left, right = walk(self.expected), walk(self.seen)
        for path in sorted(left.keys() - right.keys()):
            self.problems.append("%r is missing" % os.fsdecode(path))
        for path in sorted(right.keys() - left.keys()):
            self.problems.append("%r is too much" % os.fsdecode(path))
        for path in sorted(left.keys() & right.keys()):
            self.entry(path, left[path], right[path])
        if "no-links" not in self.words and groups(left) != groups(right):
            self.problems.append("hard links: %r, expected %r" % (groups(right), groups(left)))
        if len(left) < 2:
            self.problems.append("there is nothing to compare")
        return len(left)


failed = False
for line in sys.stdin:
    name, expected, seen, *words = line.rstrip("\n").split("\t")
    comparison = Comparison(expected, seen, words)
    try:
        count = comparison.run()
    except OSError as error:
        comparison.problems.append(str(error))
        count = 0
    failed |= bool(comparison.problems)
    print("not ok %s" % name if comparison.problems else "ok %s (%d entries)" % (name, count))
    for problem in comparison.problems[:30]:
        print("    " + problem[:300])
sys.exit(failed)

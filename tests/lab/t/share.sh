#!/bin/bash
# timeout: 2400
# Shared folders: what is done inside is seen outside and the other way, and nothing else is reached.
. "$(dirname "$0")/../lib.sh"
cd "$work" || exit 1
bash "$checkout/tests/lab/small-image.sh" "$work/image" >/dev/null 2>&1
image=oci:$work/image:small
run() { timeout 700 katavm run --timeout 600 -q "$@"; } # a slow host is none of katavm's failures
mkdir share secret
echo hidden >secret/file

# --- both ways ---
echo outside >share/f
echo value >conf
observe run -v "$work/share:/mnt" -v "$work/conf:/etc/conf" "$image" sh -c '
	cat /mnt/f; echo inside >/mnt/g; mkdir -p /mnt/d/e; ln -s ../f /mnt/d/link; ln /mnt/g /mnt/hard
	cat /etc/conf; echo changed >/etc/conf; ls /mnt | tr "\n" " "'
if [ "$status $output" = "0 outside
value
d f g hard " ]; then pass "files of the host are seen inside"; else seen | fail "files of the host are seen inside"; fi
expect_output "what is made inside is there outside" "inside inside ../f changed" \
	sh -c 'echo "$(cat share/g) $(cat share/hard) $(readlink share/d/link) $(cat conf)"'
expect_output "a hard link is one inode" "$(stat -c %i share/g)" stat -c %i share/hard
check "folders are made" test -d share/d/e
rm -rf share/*

# At once, each step answered by the other side before the next.
mkfifo in out
(timeout 600 katavm run --timeout 600 -q -i -v "$work/share:/mnt" "$image" sh <in >out 2>err) &
runner=$!
exec 5>in 6<out
says() { # NAME WANTED COMMAND: inside
	echo "echo \"\$($3)\"" >&5
	read -r answer <&6
	if [ "$answer" = "$2" ]; then pass "$1"; else fail "$1" <<<"wanted \"$2\", got \"$answer\""; fi
}
says "an empty folder" 0 'ls /mnt | wc -l'
echo one >share/a
says "a file made outside appears at once" one 'cat /mnt/a'
echo another >share/a
says "its new content, too" another 'cat /mnt/a'
echo more >>share/a
says "and what is added to it" "another more" 'echo $(cat /mnt/a)'
printf X | dd of=share/a bs=1 conv=notrunc status=none
says "and what is changed in its middle" Xnother 'head -n 1 /mnt/a'
mv share/a share/b
says "a new name" "b" 'echo $(ls /mnt)'
says "the old one is gone" no 'test -e /mnt/a && echo yes || echo no'
echo 'exec 7</mnt/b; test -e /mnt/b' >&5
says "while it is open" Xnother 'head -n 1 <&7'
mv share/b share/c
says "also the name of an open file goes at once" "no yes" \
	'echo $(test -e /mnt/b && echo yes || echo no; test -e /mnt/c && echo yes || echo no)'
echo longer than before >>share/c
says "and by its descriptor the file is what it is now" "longer than before" 'tail -n 1 <&7'
echo 'exec 7<&-' >&5
rm share/c
says "a file removed outside is gone" no 'test -e /mnt/c && echo yes || echo no'
says "before it is made" "" 'cat /mnt/late 2>/dev/null || echo'
echo now >share/late
says "and after" now 'cat /mnt/late'
mkdir share/dir && echo deep >share/dir/f
says "a file of a new folder" deep 'cat /mnt/dir/f'
echo 'cd /mnt/dir' >&5
mv share/dir share/dir2
says "in a folder that was renamed, the process still is" deep 'cat f'
says "and its new name is known" deep 'cat /mnt/dir2/f'
mv share/dir2 "$work/elsewhere" && echo other >"$work/f"
says "a folder moved away leads nowhere else" no 'cat /mnt/dir2/f >/dev/null 2>&1 && echo yes || echo no'
says "nor does its parent" no 'cat ../secret/file ../../secret/file 2>/dev/null | grep -q hidden && echo yes || echo no'
says "written inside" "done" 'echo written >/mnt/w; echo done'
if [ "$(cat share/w)" = written ]; then pass "is there outside"; else fail "is there outside" <share/w; fi
exec 5>&-
exec 6<&-
wait "$runner"
rm -rf share/*

# --- links and races ---
ln -s "$work/secret" share/out
ln -s ../secret share/up
ln -s /etc share/etc
observe run -v "$work/share:/mnt" "$image" sh -c 'cat /mnt/out/file /mnt/up/file; cat /mnt/etc/passwd | head -n 1'
if grep -q hidden <<<"$output"; then seen | fail "a link of the share is followed in the guest"; else
	pass "a link of the share is followed in the guest"; fi
if grep -q '^root:x:0:0:root:/root:/bin/sh$' <<<"$output"; then pass "where it means the guest's files"; else
	seen | fail "where it means the guest's files"; fi
rm -rf share/*
mkdir share/race secret/race
echo inside >share/race/file
echo hidden >secret/race/file
(while [ ! -e stop ]; do # a folder of the share becomes a link out of it, and a folder again
	mv share/race share/kept 2>/dev/null; ln -s "$work/secret/race" share/race
	rm share/race; mv share/kept share/race
done) &
racer=$!
observe run -v "$work/share:/mnt" "$image" sh -c '
	i=0; while [ $i -lt 500 ]; do
		cat /mnt/race/file; echo overwritten >/mnt/race/new; ls /mnt/race; chmod 777 /mnt/race/file
		rm -f /mnt/race/new; i=$((i + 1))
	done 2>/dev/null | sort | uniq -c'
touch stop
wait "$racer"
if grep -q inside <<<"$output" && ! grep -q hidden <<<"$output"; then pass "a racing renamer lets nothing out"; else
	seen | fail "a racing renamer lets nothing out"; fi
expect_output "and nothing in" "file hidden 644" sh -c 'echo "$(ls secret/race) $(cat secret/race/file) $(stat -c %a secret/race/file)"'
rm -rf share/* stop

# --- read-only ---
echo text >share/f
cp share/f before
expect_output "read-only" $'text\nrefused' run -v "$work/share:/mnt:ro" "$image" sh -c '
	cat /mnt/f; ok=refused; touch /mnt/x 2>/dev/null && ok=made; rm /mnt/f 2>/dev/null && ok=removed
	mv /mnt/f /mnt/y 2>/dev/null && ok=moved; chmod 1 /mnt/f 2>/dev/null && ok=changed; echo $ok'
observe run --privileged -v "$work/share:/mnt:ro" "$image" sh -c 'mount -o remount,rw /mnt; cat /mnt/f; echo x >>/mnt/f; touch /mnt/x; mkdir /mnt/d'
if cmp -s share/f before && [ "$(ls share)" = f ]; then pass "read-only also for who mounts it anew"; else
	seen | fail "read-only also for who mounts it anew"; fi

# --- kinds of files ---
mkfifo share/pipe
python3 -c 'import socket; s = socket.socket(socket.AF_UNIX); s.bind("share/socket"); s.listen(1)'
mknod share/null c 1 3
observe run -v "$work/share:/mnt" "$image" sh -c '
	stat -c "%F" /mnt/pipe /mnt/socket /mnt/null
	mkfifo /mnt/p2 && echo fifo made; mknod /mnt/n2 c 1 3 2>/dev/null || echo no device made
	echo x >/mnt/null 2>/dev/null || echo no device opened
	(echo through >/mnt/p2 &); cat /mnt/p2'
if [ "$output" = "fifo
socket
character special file
fifo made
no device made
no device opened
through" ]; then pass "pipes, sockets and devices"; else seen | fail "pipes, sockets and devices"; fi
rm -rf share/*

# --- files as programs use them ---
cat >use.py <<'END'
import ctypes, errno, fcntl, mmap, os, signal, struct, sys, time
os.chdir('/mnt')
def ok(name, good=True): print(('ok ' if good else 'not ok ') + name, flush=True)
def fails(number, call, *args):
    try: call(*args)
    except OSError as e: return e.errno == number
    return False

fd = os.open('unlinked', os.O_RDWR | os.O_CREAT)
os.write(fd, b'hello')
os.unlink('unlinked')
os.lseek(fd, 0, 0)
ok('a file unlinked while open', os.read(fd, 9) == b'hello' and os.fstat(fd).st_nlink == 0)
os.ftruncate(fd, 2)
ok('and it can be truncated', os.fstat(fd).st_size == 2)
os.fchmod(fd, 0o600)
os.close(fd)

open('a', 'w').write('a' * 10); b = open('b', 'w+'); b.write('b'); b.flush()
os.rename('a', 'b')
ok('rename over an open file', open('b').read() == 'a' * 10 and os.fstat(b.fileno()).st_nlink == 0)
os.mkdir('d1'); os.mkdir('d2'); open('d1/x', 'w').close()
ok('a folder that is not empty stays', fails(errno.ENOTEMPTY, os.rmdir, 'd1'))
ok('rename of a folder into itself', fails(errno.EINVAL, os.rename, 'd1', 'd1/y'))
os.rename('d1', 'd2')
ok('rename over an empty folder', os.listdir('d2') == ['x'])
libc = ctypes.CDLL(None, use_errno=True)
open('p', 'w').write('p'); open('q', 'w').write('q')
libc.renameat2(-100, b'p', -100, b'q', 2)
ok('exchange', open('p').read() == 'q')
ok('no replacement', libc.renameat2(-100, b'p', -100, b'q', 1) == -1)
ok('names of 255 bytes', not os.close(os.open('n' * 255, os.O_CREAT)))
ok('and not of 256', fails(errno.ENAMETOOLONG, os.open, 'n' * 256, os.O_CREAT))
name = bytes(range(1, 47)) + bytes(range(48, 256))
os.close(os.open(name, os.O_CREAT))
ok('any byte in a name', name in os.listdir(b'.'))

size = 96 << 20
block = os.urandom(1 << 20)
with open('big', 'wb') as f:
    for i in range(96): f.write(block)
    f.flush(); os.fsync(f.fileno())
with open('big', 'rb') as f: ok('96 MiB, written and read', all(f.read(1 << 20) == block for i in range(96)) and not f.read(1))
with open('big', 'r+b') as f:
    m = mmap.mmap(f.fileno(), 1 << 20)
    m[5:10] = b'mmap!'
    m.flush()
    ok('mmap', open('big', 'rb').read(10)[5:] == b'mmap!')
    f.seek(1 << 30); f.write(b'end')
ok('a hole', os.stat('big').st_size == (1 << 30) + 3 and os.stat('big').st_blocks < 400 << 11)
fd = os.open('big', os.O_RDONLY)
ok('lseek to what follows a hole', os.lseek(fd, size + 8192, os.SEEK_DATA) == 1 << 30)
os.posix_fallocate(os.open('room', os.O_CREAT | os.O_RDWR), 0, 1 << 20)
ok('fallocate', os.stat('room').st_blocks >= 2048)
source = os.open('big', os.O_RDONLY); copy = os.open('copied', os.O_CREAT | os.O_RDWR)
ok('copy_file_range', os.copy_file_range(source, copy, 65536, 0, 0) == 65536 and os.pread(copy, 9, 0) == os.pread(source, 9, 0))
direct = os.open('direct', os.O_CREAT | os.O_RDWR | os.O_DIRECT)
page = mmap.mmap(-1, 65536); page.write(b'd' * 65536)
ok('O_DIRECT', os.pwritev(direct, [page], 0) == 65536 and os.preadv(direct, [page], 0) == 65536)
append = os.open('log', os.O_CREAT | os.O_WRONLY | os.O_APPEND)
other = os.open('log', os.O_WRONLY | os.O_APPEND)
for i in range(10): os.write(append, b'a'); os.write(other, b'b')
ok('O_APPEND', open('log').read() == 'ab' * 10)
os.utime('log', ns=(1000000007, 2000000009))
ok('times to the nanosecond', os.stat('log').st_mtime_ns == 2000000009)
os.chmod('log', 0o4751)
ok('set-user bits', os.stat('log').st_mode & 0o7777 == 0o4751)
os.chown('log', 33, 50)
ok('owners', (os.stat('log').st_uid, os.stat('log').st_gid) == (33, 50))
if hasattr(os, 'setxattr'):
    try:
        os.setxattr('log', 'user.colour', b'blue')
        ok('attributes of users', os.getxattr('log', 'user.colour') == b'blue' and os.listxattr('log') == ['user.colour'])
    except OSError as e: ok('attributes of users are the host\'s not to have', e.errno == errno.EOPNOTSUPP)
    capability = struct.pack('<5I', 0x02000001, 1, 0, 0, 0)
    ok('no file capabilities', fails(errno.EOPNOTSUPP, os.setxattr, 'log', 'security.capability', capability))
ok('ioctl is refused', fails(errno.ENOTTY, fcntl.ioctl, fd, 0x6601, b'12345678'))
s = os.statvfs('.')
ok('statfs', s.f_blocks > 0 and s.f_namemax == 255)
os.sync()

# locks: a child waits for what the parent holds
lock = open('lock', 'w+')
fcntl.lockf(lock, fcntl.LOCK_EX)
told, tell = os.pipe()
pid = os.fork()
if pid == 0:
    mine = open('lock', 'r+')
    try: fcntl.lockf(mine, fcntl.LOCK_EX | fcntl.LOCK_NB); os._exit(1)
    except OSError: os.write(tell, b'x')
    fcntl.lockf(mine, fcntl.LOCK_EX)
    os._exit(0 if open('lock').read() == 'ready' else 2)
os.close(tell)
os.read(told, 1) # however long the child takes to find it locked
time.sleep(0.2)
lock.write('ready'); lock.flush()
fcntl.lockf(lock, fcntl.LOCK_UN)
ok('POSIX locks are waited for', os.waitpid(pid, 0)[1] == 0)
fcntl.lockf(lock, fcntl.LOCK_EX, 1, 1000)
pid = os.fork()
if pid == 0:
    try: fcntl.lockf(open('lock', 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 1001)
    except OSError: os._exit(1)
    os._exit(0)
ok('ranges of locks', os.waitpid(pid, 0)[1] == 0)
open('lock').close() # POSIX: closing any of the process's descriptors gives its locks back
flock = open('lock'); fcntl.flock(flock, fcntl.LOCK_EX)
ok('flock', fails(errno.EAGAIN, fcntl.flock, open('lock'), fcntl.LOCK_EX | fcntl.LOCK_NB))
pid = os.fork() # waits for it, and is killed
if pid == 0: fcntl.flock(open('lock'), fcntl.LOCK_EX); os._exit(0)
time.sleep(0.3)
os.kill(pid, signal.SIGKILL)
for i in range(300):
    if (ended := os.waitpid(pid, os.WNOHANG))[0]: break
    time.sleep(0.1)
ok('who waits for a lock can be killed', ended == (pid, signal.SIGKILL))
class Alarm(Exception): pass
def ring(*_): raise Alarm
signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.3)
try: fcntl.flock(open('lock'), fcntl.LOCK_EX); ok('and interrupted', False)
except Alarm: ok('and interrupted')
try:
    import sqlite3
    db = sqlite3.connect('db'); db.execute('create table t (a)'); db.execute('insert into t values (7)'); db.commit()
    again = sqlite3.connect('db')
    ok('sqlite', again.execute('select a from t').fetchone() == (7,))
    db.execute('begin immediate')
    again.execute('pragma busy_timeout = 0')
    try: again.execute('begin immediate'); ok('sqlite locks', False)
    except sqlite3.OperationalError: ok('sqlite locks')
except ImportError: pass

os.mkdir('many')
for i in range(1000): os.close(os.open('many/%d' % i, os.O_CREAT))
ok('1,000 files', len(os.listdir('many')) == 1000)
ok('and their attributes', sum(e.stat().st_size for e in os.scandir('many')) == 0)
for i in range(1000): os.unlink('many/%d' % i)
os.rmdir('many')
ok('and gone', 'many' not in os.listdir('.'))

# inotify for changes made inside
notify = libc.inotify_init1(0)
libc.inotify_add_watch(notify, b'.', 0x100)
open('watched', 'w').close()
ok('inotify', b'watched' in os.read(notify, 4096))
ok('the end')
END
cp use.py share/
observe run -m 256m -v /usr:/usr:ro -v "$work/share:/mnt" "$image" /bin/sh -c 'ln -s usr/lib /lib; ln -s usr/lib64 /lib64; exec /usr/bin/python3 /mnt/use.py'
while read -r line; do
	case $line in
	"ok "*) pass "${line#ok }" ;;
	"not ok "*) fail "${line#not ok }" <<<"inside" ;;
	esac
done <<<"$output"
if grep -q "^ok the end$" <<<"$output"; then pass "all that a program does with files"; else seen | fail "all that a program does with files"; fi
if [ "$(stat -c '%u %g %a' share/log)" = "33 50 751" ]; then pass "owners and modes are the image's"; else
	stat share/log | fail "owners and modes are the image's"; fi
rm -rf share/*

# --- who made it ---
chmod 777 share
observe run -u www-data:staff -v "$work/share:/mnt" "$image" sh -c 'umask 027; echo x >/mnt/f; mkdir /mnt/d; ln -s x /mnt/l; mkfifo /mnt/p'
expect_output "what a user makes is his" "33 50 640 33 50 750 33 50 777 33 50 640" \
	sh -c 'echo $(stat -c "%u %g %a" share/f share/d share/l share/p)'
mkdir share/private && chmod 700 share/private && echo secret >share/private/f
observe run -u www-data -v "$work/share:/mnt" "$image" sh -c 'cat /mnt/private/f || echo refused; chown root /mnt/f || echo kept'
if [ "$output" = "refused
kept" ]; then pass "and what is another's is not"; else seen | fail "and what is another's is not"; fi
rm -rf share/*

# --- locks against the host ---
with_python() { run -m 512m "$@" -v /usr:/usr:ro -v "$work/share:/mnt" "$image" /bin/sh -c 'ln -s usr/lib /lib; ln -s usr/lib64 /lib64
	exec /usr/bin/python3 /mnt/lock.py'; } # the image has no flock
echo x >share/locked
cat >share/lock.py <<'END'
import fcntl
try: fcntl.flock(open('/mnt/locked'), fcntl.LOCK_EX | fcntl.LOCK_NB); print('free')
except BlockingIOError: print('held')
END
expect_output "a lock that nobody holds is free inside" free with_python
(flock 9; touch locked; while [ ! -e unlock ]; do sleep 0.1; done) 9<share/locked &
until [ -e locked ]; do sleep 0.1; done
expect_output "a lock of the host holds inside" held with_python
touch unlock
wait

# What gives the lock back comes by the queue in which the others wait. Its holder looks in the share for whether they all do.
cat >share/lock.py <<'END'
import fcntl, os, threading, time
def wait():
    with open('/mnt/crowd') as mine:
        fcntl.flock(mine, fcntl.LOCK_EX)
        had.append(1)
had = []
held = open('/mnt/crowd', 'w')
fcntl.flock(held, fcntl.LOCK_EX)
waiters = [threading.Thread(target=wait) for i in range(200)]
for one in waiters: one.start()
while not os.path.exists('/mnt/go'): time.sleep(0.2)
print(len(had), 'before')
fcntl.flock(held, fcntl.LOCK_UN)
for one in waiters: one.join()
print(len(had), 'after')
END
with_python --name crowd >said 2>&1 &
runner=$!
waiting() { katavm stats --devices --format json crowd 2>/dev/null | grep -o '"in_flight":[0-9]*' | cut -d: -f2 | sort -n | tail -n 1; }
now=0
until [ "${now:-0}" -ge 200 ] || ! kill -0 "$runner" 2>/dev/null; do
	sleep 0.3
	now=$(waiting)
done
touch share/go
wait "$runner"
expect_output "200 wait for a lock, and all get it" $'0 before\n200 after' cat said
rm -f share/go share/crowd share/lock.py

# --- the server ---
server() { pgrep -P "$1" -x katavm-fs || true; }
start() { # leaves katavm's pid in $pid once the process prints
	rm -f said
	timeout 600 katavm run --timeout 600 -q "$@" >said 2>&1 &
	pid=$(pgrep -P $! -x katavm) || pid=
	until [ -n "$pid" ]; do pid=$(pgrep -P $! -x katavm); done
	until grep -qs ready said || ! kill -0 "$pid" 2>/dev/null; do sleep 0.3; done
}
start --name served -v "$work/share:/mnt" -v "$work/conf:/conf:ro" "$image" sh -c 'echo ready; while :; do cat /mnt/locked; sleep 0.1; done'
fs=$(server "$pid")
if [ "$(wc -w <<<"$fs")" = 1 ]; then pass "one server for all shares"; else pgrep -a katavm | fail "one server for all shares"; fi
expect_output "its capabilities are those that files need" "CapPrm: 00000000000000db CapEff: 00000000000000cb CapBnd: 00000000000000db NoNewPrivs: 1" \
	sh -c "echo \$(grep -E 'CapPrm|CapEff|CapBnd|NoNewPrivs' /proc/$fs/status)"
expect_match "what it did is counted" 'virtio-fs +share-0 +1 +[1-9][0-9]* +[1-9][0-9]* +[1-9]' katavm stats --devices served
kill -9 "$fs"
wait $! 2>/dev/null
status=$? output=$(tail -n 3 said) errors=
if [ "$status" = 125 ] && grep -q 'the VM ended under the container: the process that serves the shared folders (katavm-fs) is gone' said; then
	pass "a server that is killed ends the VM, which says so"; else seen | fail "a server that is killed ends the VM, which says so"; fi
if [ "$(cat share/locked)" = x ]; then pass "the host's files are what they were"; else fail "the host's files are what they were" <share/locked; fi
start -v "$work/share:/mnt" "$image" sh -c 'echo ready; sleep 100'
fs=$(server "$pid")
kill -9 "$pid"
for _ in $(seq 300); do kill -0 "$fs" 2>/dev/null || break; sleep 0.1; done
if kill -0 "$fs" 2>/dev/null; then ps ax | fail "no server survives katavm"; else pass "no server survives katavm"; fi
start --cpus 3 --name wide -v "$work/share:/mnt" "$image" sh -c '
	for i in 0 1 2; do taskset -c $i touch /mnt/by-$i; done; echo ready; sleep 10000'
expect_output "each processor has a queue of requests" "1 2 3" \
	sh -c 'katavm stats --devices wide | awk "\$2 == \"virtio-fs\" && \$4 > 0 && \$5 > 0 { print \$4 }" | xargs'
kill -9 "$pid"
wait
start "$image" sh -c 'echo ready; sleep 2'
expect_output "no share, no server" "" server "$pid"
wait

# --- flags ---
expect_failure "a device" 125 'neither a folder nor an ordinary file' run -v /dev/null:/mnt "$image" true
expect_failure "a relative path inside" 125 'does not begin with /' run -v "$work/share:mnt" "$image" true
expect_failure "over the root" 125 'nothing can be mounted over /' run -v "$work/share:/" "$image" true
expect_failure "an option that is none" 125 'is not an option of a share' run -v "$work/share:/mnt:rx" "$image" true
for cache in auto always never; do
	rm -f share/f
	expect_output "cache=$cache" "text text" run -v "$work/share:/mnt:cache=$cache" "$image" \
		sh -c 'echo text >/mnt/f; echo $(cat /mnt/f) $(cat /mnt/f)'
done

#!/bin/bash
# timeout: 2400
# Shared folders with notify: inotify inside tells of what is done outside, and of what is done inside once.
. "$(dirname "$0")/../lib.sh"
cd "$work" || exit 1
bash "$checkout/tests/lab/small-image.sh" "$work/image" >/dev/null 2>&1
image=oci:$work/image:small
run() { timeout 700 katavm run --timeout 600 -q "$@"; } # a slow host is none of katavm's failures
mkdir tools share share/d other
gcc -O2 -static -o tools/watch_events "$checkout/tests/lab/watch_events.c"

# A shell in a VM, with these flags; what it is told to do answers on descriptor 6.
begin() { # FLAG...
	mkfifo in out
	(run -i -v "$work/tools:/tools:ro" "$@" "$image" sh <in >out 2>err) &
	runner=$!
	exec 5>in 6<out
}
end() {
	exec 5>&-
	exec 6<&-
	wait "$runner"
	rm in out
}
inside() { # COMMAND: and waits for it
	echo "$1; echo did" >&5
	local line
	while read -r line <&6 && [ "$line" != did ]; do :; done
}
watch() { # PATH...
	echo "rm -f /tmp/events; /tools/watch_events $* >/tmp/events & until grep -q ready /tmp/events 2>/dev/null; do sleep 0.1; done" >&5
	inside true
}
told() { # NAME WANTED: since the watch began; the end of it is said outside, or by the commands given
	local name=$1 wanted=$2 line
	observed=''
	if [ $# -gt 2 ]; then inside "$3"; else
		mkdir share/end
		rmdir share/end
	fi
	echo 'wait; cat /tmp/events; echo did' >&5
	while read -r line <&6 && [ "$line" != did ]; do
		[ "$line" = ready ] || observed+="$line"$'\n'
	done
	if [ "$observed" = "$wanted" ]; then pass "$name"; else
		printf %s "$wanted" >"$work/.wanted"
		printf %s "$observed" | diff "$work/.wanted" - | fail "$name"
	fi
}

echo kept >share/file
echo value >conf
begin -v "$work/share:/mnt:notify" -v "$work/conf:/etc/conf:notify" --mount "type=bind,source=$work/other,target=/other"

watch /mnt /mnt/d /mnt/file
echo text >share/f
chmod 600 share/f
mv share/f share/g
rm share/g
mkdir share/n
rmdir share/n
echo deep >share/d/deep
mv share/d/deep share/up
echo more >>share/file
mv share/d share/e
echo again >share/e/again
rm share/file
told "of each kind" '1 create f
1 modify f
1 close f
1 attrib f
1 from f =1
1 to g =1
1 delete g
1 create n/
1 delete n/
2 create deep
2 modify deep
2 close deep
2 from deep =2
1 to up =2
1 modify file
3 modify
1 close file
3 close
1 from d/ =3
1 to e/ =3
2 move_self
2 create again
2 modify again
2 close again
3 attrib
3 delete_self
3 ignored
1 delete file
'

# Shares are not in step with each other: what is told of one is waited for before the end is said in another.
watch /mnt /etc/conf
echo other >>conf
inside 'i=0; until grep -q "2 close" /tmp/events || [ $i -eq 600 ]; do sleep 0.1; i=$((i + 1)); done'
told "of a single file" '2 modify
2 close
'

watch /mnt /mnt/e
inside 'echo text >/mnt/h; chmod 600 /mnt/h; mv /mnt/h /mnt/e/i; echo more >>/mnt/e/i; rm /mnt/e/i
	dd if=/dev/zero of=/mnt/big bs=384k count=1 2>/dev/null; ln /mnt/big /mnt/hard; ln -s big /mnt/soft
	mkdir /mnt/q; rmdir /mnt/q; rm /mnt/big /mnt/hard /mnt/soft'
told "what is done inside is told once" '1 create h
1 modify h
1 close h
1 attrib h
1 from h =1
2 to i =1
2 modify i
2 close i
2 delete i
1 create big
1 modify big
1 close big
1 create hard
1 create soft
1 create q/
1 delete q/
1 delete big
1 delete hard
1 delete soft
'

# Who is woken by an event looks at once.
inside 'cat >/tmp/reader <<END
while read -r what; do case \$what in *"modify seen") stat -c %s /mnt/seen; cat /mnt/seen ;; esac; done
END
	stat -c %s /mnt/up; ls -l /mnt >/dev/null'
echo first >share/seen
watch /mnt
inside 'stat /mnt/seen /mnt >/dev/null; ls -l /mnt >/dev/null'
echo longer than before >share/seen
mkdir share/end
rmdir share/end
echo 'wait; sh /tmp/reader </tmp/events; echo did' >&5
observed=''
while read -r line <&6 && [ "$line" != did ]; do observed=$line; done
if [ "$observed" = "longer than before" ]; then pass "what was told is seen"; else
	fail "what was told is seen" <<<"$observed"; fi

# More than can be told: either each is, or that some were lost.
watch /mnt
python3 -c 'for i in range(5000): open(f"share/b{i}", "w").close()'
(while [ ! -e stop ]; do # the end itself may be lost
	mkdir share/end
	rmdir share/end
	sleep 0.2
done) &
ender=$!
inside wait
touch stop
wait "$ender"
echo 'echo "$(grep -c create /tmp/events) $(grep -c lost /tmp/events)"' >&5
read -r made lost <&6
rm -f share/b*
if [ "$made" = 5000 ] || { [ "$lost" -gt 0 ] && [ "$made" -gt 100 ]; }; then pass "what is lost is told"; else
	fail "what is lost is told" <<<"$made created, $lost times lost"; fi

watch /other
echo x >other/f
told "and nothing without the option" '1 create own
1 close own
' ': >/other/own; mkdir /other/end; rmdir /other/end'
end

observe run --privileged -v "$work/share:/mnt:notify" "$image" sh -c 'umount /mnt && echo unmounted && ls /mnt | wc -l'
if [ "$status $output" = "0 unmounted
0" ]; then pass "it can be unmounted"; else seen | fail "it can be unmounted"; fi
check "read-only" run -v "$work/tools:/tools:ro,notify" "$image" test -x /tools/watch_events
expect_failure "not where nobody else changes anything" 125 'notify does not go with cache=always' \
	run -v "$work/share:/mnt:notify,cache=always" "$image" true

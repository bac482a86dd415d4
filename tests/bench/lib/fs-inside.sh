#!/bin/bash
# The part of ./dev bench fs that runs in the lab: fs-inside.sh OUT ROUNDS PART...
. "$(dirname "$0")/inside.sh"
rounds=$2
shift 2
parts=$*
inside_prepare
server=/usr/lib/qemu/virtiofsd
{
	ldd $server
	ldd "$(command -v setpriv)"
} | grep -o '/[^ ]*' | sort -u | xargs cp -L --parents -t $root
cp -L --parents $server -t $root

folder() { # a new one for each
	rm -rf $root/share
	mkdir -p $root/share
	cp /results/source.tar $root/share/
	echo "$parts" >$root/share/parts
}

figure() { # FILE KIND NAME FIELD
	awk -v kind="$2" -v name="$3" -v at="$4" '$1 == kind && $2 == name { print $at }' "$1"
}

mib() { # FILE JOB
	awk -v name="$2" '$1 == "fio" && $2 == name { print $3 / 1024 }' "$1"
}

throughput_rows() {
	for job in write-128k read-128k write-direct-128k read-direct-128k; do
		echo "row $job MiB/s higher $(mib /mnt/katavm $job) $(mib /mnt/peer $job)"
	done
	for job in randread-direct-4k randwrite-direct-4k; do
		echo "row $job IO/s higher $(figure /mnt/katavm fio $job 4) $(figure /mnt/peer fio $job 4)"
	done
}

milliseconds() { # FILE NAME
	awk -v name="$2" '$1 == "time" && $2 == name { print $3 / 1000 }' "$1"
}

timed_rows() { # NAME..., those that end in -1 to -3 are rounds of one
	for job in "$@"; do
		echo "row ${job%-[123]} ms lower $(milliseconds /mnt/katavm "$job") $(milliseconds /mnt/peer "$job")"
	done
	for job in "$@"; do
		echo "note $job: interrupts $(figure /mnt/katavm time "$job" 4) to $(figure /mnt/peer time "$job" 4)," \
			"exits $(counted /mnt/katavm "$job-begin" "$job-end" exits) to $(counted /mnt/peer "$job-begin" "$job-end" exits)"
	done
}

round=1
while [ "$round" -le "$rounds" ]; do
	echo "round $round: katavm"
	folder
	boot_katavm /mnt/katavm '"shares": [{"path": "/share", "tag": "share"}]'
	cp /mnt/katavm "/results/katavm.$round"
	echo "round $round: peer"
	folder
	rm -f $root/fs.sock
	# it would make its namespaces from the lab's root, which is not the one it is started in
	chroot $root $server --socket-path=/fs.sock -o source=/share,sandbox=chroot >/mnt/server.log 2>&1 &
	while [ ! -e $root/fs.sock ]; do sleep 0.1; done
	boot_peer /mnt/peer -object memory-backend-memfd,id=m,size=512M,share=on -machine memory-backend=m \
		-chardev socket,id=s,path=/fs.sock -device vhost-user-fs-device,chardev=s,tag=share || {
		cat /mnt/server.log
		exit 1
	}
	wait || true
	cp /mnt/peer "/results/peer.$round"
	for part in $parts; do
		case $part in
		throughput) throughput_rows ;;
		tree) timed_rows untar git-status-1 git-status-2 git-status-3 ;;
		small) timed_rows create-10000 list-10000 remove-10000 ;;
		few) timed_rows create-1000 list-1000 read-1000 remove-1000 ;;
		esac
	done
	round=$((round + 1))
done

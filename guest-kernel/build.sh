#!/bin/bash
# Builds the guest kernel into the cache, unless the same kernel is there already.
# usage: build.sh [--arch x86_64|aarch64] [--debug] [--update] [--find]
# Progress goes to stderr; the last line of stdout is the path of the vmlinux. Beside it lie its config, System.map and sizes.
# KATAVM_CACHE names the cache (/var/cache/katavm). --update looks for a newer source package first; --find builds nothing and
# fails if the kernel is not there yet.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=${KATAVM_CACHE:-/var/cache/katavm}/kernel
package=linux-source-6.12
suite=backports
arch=$(uname -m) variant='' update='' find=''

say() { echo "guest kernel: $*" >&2; }
die() { say "$*"; exit 1; }

while [ $# -gt 0 ]; do
  case $1 in
    --arch) [ $# -gt 1 ] || die "--arch needs x86_64 or aarch64"; arch=$2; shift ;;
    --debug) variant=-debug ;;
    --update) update=1 ;;
    --find) find=1 ;;
    *) die "unknown argument $1 (usage: build.sh [--arch x86_64|aarch64] [--debug] [--update] [--find])" ;;
  esac
  shift
done
case $arch in
  x86_64) linux_arch=x86 prefix=x86_64-linux-gnu- ;;
  aarch64) linux_arch=arm64 prefix=aarch64-linux-gnu- ;;
  *) die "no configuration for $arch" ;;
esac
[ "$arch" = "$(uname -m)" ] && prefix=''
command -v "${prefix}gcc" >/dev/null || die "${prefix}gcc is not installed (package gcc-${arch/_/-}-linux-gnu)"

fragments=("$here/common.config" "$here/$arch.config")
[ -z "$variant" ] || fragments+=("$here/debug.config")
mapfile -t patches < <(printf '%s\n' "$here"/patches/*.patch)
mkdir -p "$cache"

# The source is fetched once and kept: what is newest on the mirror changes from day to day.
source_deb() { local deb=("$cache/${package}"_*.deb); [ -e "${deb[0]}" ] && printf '%s\n' "${deb[0]}"; }

# One number for everything that decides what comes out.
key() {
  { basename "$(source_deb)"; "${prefix}gcc" -dumpfullversion -dumpmachine; "${prefix}ld" -v
    cat "${fragments[@]}" "${patches[@]}" "$here/build.sh" "$here/prelink.c" "$here/boot-order" "$here/boot-time.sh" "$here"/profile/{count.c,init.c,written.py}; } | sha256sum | cut -c1-16
}

published() { printf '%s/%s%s-%s/vmlinux\n' "$cache" "$arch" "$variant" "$(key)"; }

report_and_leave() {
  local vmlinux
  vmlinux=$(published)
  [ -e "$vmlinux" ] || return 0
  cat "$(dirname "$vmlinux")/sizes" >&2
  echo "$vmlinux"
  exit 0
}

if [ -z "$update" ] && source_deb >/dev/null; then report_and_leave; fi
[ -z "$find" ] || die "the $arch$variant kernel of this tree is not built yet: run guest-kernel/build.sh"

exec 9>"$cache/lock"
flock -n 9 || { say "another build is running, waiting for it"; flock 9; }

# Index files of the suite go to a folder of our own, so that the machine's apt is left as it is.
fetch() {
  local apt=$cache/apt release uri options
  release=$(. /etc/os-release && echo "$VERSION_CODENAME")
  uri=$(apt-get indextargets --format '$(SITE) $(RELEASE)' 'Created-By: Packages' | awk -v r="$release" '$2 == r { print $1; exit }')
  [ -n "$uri" ] || die "no package source of $release is configured on this machine"
  mkdir -p "$apt/lists/partial" "$apt/archives/partial"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $uri $release-$suite main" > "$apt/sources.list"
  options=(-q -o "Dir::State::lists=$apt/lists" -o "Dir::Cache::archives=$apt/archives" -o Dir::Cache::pkgcache=
    -o Dir::Cache::srcpkgcache= -o "Dir::Etc::sourcelist=$apt/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o APT::Sandbox::User=root)
  say "fetching $package from $release-$suite"
  apt-get "${options[@]}" update >&2
  rm -rf "$apt/new"; mkdir "$apt/new"
  (cd "$apt/new" && apt-get "${options[@]}" download "$package" >&2)
  local new=("$apt"/new/*.deb)
  [ -e "${new[0]}" ] || die "$package could not be fetched"
  if [ "$(basename "${new[0]}")" != "$(basename "$(source_deb)" 2>/dev/null)" ]; then
    rm -f "$cache/${package}"_*.deb
    mv "${new[0]}" "$cache/"
  fi
  rm -rf "$apt"
}

if [ -n "$update" ] || ! source_deb >/dev/null; then fetch; fi
report_and_leave # another build may have made it while this one waited

# Sources that no configuration here compiles stay in the archive; their Kconfig files are needed.
unpack() {
  local tree=$1 d skip=(--exclude='*/Documentation/translations' --exclude='*/tools/testing/*' --exclude='*/rust/*.rs')
  for d in drivers/gpu drivers/media drivers/staging drivers/net/ethernet drivers/net/wireless drivers/scsi drivers/infiniband \
    sound arch/alpha arch/arc arch/csky arch/hexagon arch/loongarch arch/m68k arch/microblaze arch/mips arch/nios2 arch/openrisc \
    arch/parisc arch/powerpc arch/riscv arch/s390 arch/sh arch/sparc arch/um/drivers arch/xtensa; do
    skip+=(--exclude="*/$d/*.[chS]" --exclude="*/$d/*.dts*")
  done
  mkdir -p "$tree"
  dpkg-deb --fsys-tarfile "$(source_deb)" | tar xO "./usr/src/$package.tar.xz" | xz -dc -T0 |
    tar x -C "$tree" --strip-components=1 --wildcards "${skip[@]}"
}

tree=$cache/source-$({ basename "$(source_deb)"; cat "${patches[@]}"; sed -n '/^unpack()/,/^}/p' "$here/build.sh"; } | sha256sum | cut -c1-16)
if [ ! -d "$tree" ]; then
  say "unpacking $(basename "$(source_deb)")"
  rm -rf "$cache"/source-*
  unpack "$tree.new"
  for p in "${patches[@]}"; do
    patch -s -p1 -d "$tree.new" < "$p" || die "$(basename "$p") does not apply"
  done
  mv -T "$tree.new" "$tree"
fi

work=$cache/work-$arch$variant
mkdir -p "$work"
# Names of builder, host and day stay out, so that the same inputs give the same file.
make_kernel() {
  nice make -s -C "$tree" O="$work" ARCH="$linux_arch" CROSS_COMPILE="$prefix" KBUILD_BUILD_USER=katavm KBUILD_BUILD_HOST=katavm \
    KBUILD_BUILD_VERSION=1 KBUILD_BUILD_TIMESTAMP='1970-01-01' "$@"
}
say "configuring $arch$variant"
make_kernel tinyconfig >&2
cat "${fragments[@]}" >> "$work/.config"
make_kernel olddefconfig 2>&1 | grep -v 'override: reassigning' >&2 || true
"$here/check-config.sh" "$work/.config" "${fragments[@]}" >&2

# Functions in the order of boot-order.sh, as input sections of the linker script.
mkdir -p "$work/include/generated"
sed 's/.*/*(.text.& .text.unlikely.&)/' "$here/boot-order" > "$work/include/generated/boot-order.lds"

say "compiling, several minutes (log: $work/build.log)"
started=$SECONDS
make_kernel -j"$(nproc)" vmlinux > "$work/build.log" 2>&1 9>&- &
compiler=$!
trap 'kill "$compiler" 2>/dev/null || true' INT TERM
while kill -0 "$compiler" 2>/dev/null; do
  sleep 10 9>&- & wait -n "$compiler" $! 2>/dev/null || true
  [ $(((SECONDS - started) / 60)) = "${minute:-0}" ] || { minute=$(((SECONDS - started) / 60)); say "${minute} min, $(find "$work" -name '*.o' | wc -l) objects"; }
done
wait "$compiler" || { tail -n 20 "$work/build.log" >&2; die "the build failed"; }

# Published at once or not at all: readers hold no lock.
target=$(dirname "$(published)")
new=$target.new
rm -rf "$new"; mkdir "$new"
if [ "$arch" = x86_64 ]; then
  gcc -O2 -Wall -o "$work/prelink" "$here/prelink.c"
  "$work/prelink" "$work/vmlinux"
fi
"${prefix}objcopy" --strip-all "$work/vmlinux" "$new/vmlinux"
cp "$work/.config" "$new/config"
cp "$work/System.map" "$new/System.map"
if [ "$arch" = x86_64 ] && [ -z "$variant" ]; then # what the VMM makes the guest's own before it starts
  # As the VMM of an ordinary container has it (vmm/machine.c), so that the same pages are used.
  "$here/boot-time.sh" "$new/vmlinux" --written "$work/written" --memory 560 quiet dhash_entries=8960 ihash_entries=4480 \
    thash_entries=1120 tcpmhash_entries=1120 > "$work/boot-time"
  "${prefix}objcopy" --add-section .katavm.written="$work/written" "$new/vmlinux"
fi
"${prefix}size" -A -d "$work/vmlinux" |
  awk -v file="$(stat -c %s "$new/vmlinux")" \
    -v text=$(awk '$3 == "_text" { from = $1 } { last = $1 } $3 == "__softirqentry_text_end" || $3 == "_etext" { exit } END { print from, last }' "$new/System.map" |
      (read -r from last; echo $((0x$last - 0x$from)))) '
  $1 ~ /^\.(debug|comment|symtab|strtab|shstrtab)/ || $2 !~ /^[0-9]+$/ || NF != 3 { next }
  $1 == ".text" { next } # padded to a large page
  $1 ~ /^\.(bss|brk|data\.\.percpu)/ { bss += $2; next }
  $1 ~ /^\.(data|vvar|data_nosave)|bug_table/ { data += $2; next }
  $1 ~ /rodata|__param|__modver|__ex_table|notes|pci_fixup|BTF/ { rodata += $2; next }
  { init += $2 }
  END { printf "guest kernel: KiB of text %d, rodata %d, data %d, bss and per-cpu %d, init (freed) %d; file %d\n",
        text / 1024, rodata / 1024, data / 1024, bss / 1024, init / 1024, file / 1024 }' > "$new/sizes"
[ ! -e "$work/boot-time" ] || cat "$work/boot-time" >> "$new/sizes"
rm -rf "$target"
mv -T "$new" "$target"
rm -rf "$work"
# Older kernels of this kind go, except the newest before this one, which may be in use.
find "$cache" -maxdepth 1 -name "$arch$variant-*" -regex ".*$arch$variant-[0-9a-f]*" -printf '%T@ %p\n' | sort -rn | tail -n +4 | cut -d' ' -f2- | xargs -r rm -rf
say "built in $((SECONDS - started)) s"
cat "$target/sizes" >&2
echo "$target/vmlinux"

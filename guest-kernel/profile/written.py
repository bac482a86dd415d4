#!/usr/bin/env python3
"""written.py SYSTEM-MAP COUNTS OUT: the pages that COUNTS (of profile/count.c) saw written, of a kernel's image and of the
memory behind it that the smallest guest has."""
import struct
import sys

LINK_BASE = 0xffffffff80000000
END = (32 << 20) >> 12  # behind it addresses depend on the size of memory


def main():
    system_map, counts, out = sys.argv[1:]
    symbols = {}
    for line in open(system_map):
        address, _, name = line.split()
        symbols.setdefault(name, int(address, 16))
    first = (symbols['_text'] - LINK_BASE) >> 12
    pages = sorted(int(l.split()[1], 16) for l in open(counts) if l.startswith('P ') and l.split()[2] == '1')
    runs = []
    for page in pages:
        if not first <= page < END:
            continue
        if runs and page == runs[-1][0] + runs[-1][1]:
            runs[-1][1] += 1
        else:
            runs.append([page, 1])
    with open(out, 'wb') as file:
        for run in runs:
            file.write(struct.pack('<II', *run))
    print('%d pages in %d runs are written to' % (sum(r[1] for r in runs), len(runs)), file=sys.stderr)


main()

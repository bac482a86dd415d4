#!/usr/bin/env python3
"""order.py VMLINUX SYSTEM-MAP COUNTS: names of functions in the order in which they should be linked.

First those that run at boot and are rewritten there as well (alternatives, static calls), then those that only run, then those
that are only rewritten: a page of text that is written to becomes the guest's own, and is copied for that.
COUNTS is what profile/count.c writes, the latest block first.
"""
import bisect
import struct
import sys


class Elf:
    def __init__(self, path):
        self.data = open(path, 'rb').read()
        offset, = struct.unpack_from('<Q', self.data, 0x28)
        size, count, names = struct.unpack_from('<HHH', self.data, 0x3a)
        headers = [struct.unpack_from('<IIQQQQ', self.data, offset + i * size) for i in range(count)]
        start = headers[names][4]
        self.sections = {}
        for header in headers:
            name = self.data[start + header[0]:self.data.index(b'\0', start + header[0])].decode()
            self.sections[name] = header

    def at(self, address, size):
        for _, kind, _, start, offset, length in self.sections.values():
            if kind != 8 and start <= address < start + length:
                return self.data[offset + address - start:offset + address - start + size]
        raise ValueError('no section holds 0x%x' % address)


def rewritten(elf, symbols):
    """Addresses of instructions that the kernel rewrites at boot."""
    _, _, _, start, _, size = elf.sections['.altinstructions']
    table = elf.at(start, size)
    for i in range(0, size, 14):
        yield start + i + struct.unpack_from('<i', table, i)[0]
    start, end = symbols['__start_static_call_sites'], symbols['__stop_static_call_sites']
    table = elf.at(start, end - start)
    for i in range(0, end - start, 8):
        yield start + i + struct.unpack_from('<i', table, i)[0]


def main():
    vmlinux, system_map, counts = sys.argv[1:]
    symbols, functions = {}, []
    for line in open(system_map):
        address, kind, name = line.split()
        address = int(address, 16)
        symbols.setdefault(name, address)
        if kind in 'tTwW' and address >> 32 == 0xffffffff:
            functions.append((address, name))
    functions = [f for f in functions if symbols['_text'] <= f[0] < symbols['_etext']]
    functions.sort(key=lambda f: f[0])
    starts = [f[0] for f in functions]

    def name_of(address):
        if not symbols['_text'] <= address < symbols['_etext']:
            return None
        return functions[bisect.bisect_right(starts, address) - 1][1]

    executed = {}
    for line in reversed(open(counts).readlines()):
        if line.startswith('T '):
            name = name_of(int(line.split()[1], 16))
            if name:
                executed.setdefault(name, None)
    changed = {}
    for address in rewritten(Elf(vmlinux), symbols):
        name = name_of(address)
        if name:
            changed.setdefault(name, None)
    order = [n for n in executed if n in changed] + [n for n in executed if n not in changed]
    order += [n for n in changed if n not in executed]
    print('\n'.join(order))


main()

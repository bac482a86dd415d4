#!/usr/bin/env python3
"""mend_qemu.py FROM TO: a copy of QEMU whose emulated SVM gives a guest each interrupt once.

When a hypervisor enters a guest with an interrupt to inject, QEMU (7.2 to 10.0 at least; target/i386/tcg, helper_vmrun)
delivers it at once, but before that leaves its vector in the processor's exception_index, where nothing takes it away. When the
processor next returns to its main loop with nothing else to report, an exit request or the end of the instruction clock's
slice, what is found there is delivered as well: the handler starts again within itself, with interrupts disabled. A guest
that is in the wrong place then waits for a lock that it holds itself.

The store is one instruction, which is not needed: do_interrupt_x86_hardirq gets the vector as an argument. It is found by the
instructions around it and becomes a no-operation; a program in which they are not there exactly once is refused (status 2).
"""
import os
import re
import sys

INJECTION = re.compile(
    rb"\x41\x0f\xb6\xf4"  # movzx esi, r12b: the vector
    rb"\x44\x89\xab(?P<env>..)\x00\x00"  # mov [env + error_code], r13d
    rb"(?P<store>\x89\xb3..\xff\xff)"  # mov [cpu + exception_index], esi; the environment comes after the processor's state
    rb"\xc7\x83..\x00\x00\x00\x00\x00\x00"  # mov dword [env + exception_is_int], 0
    rb"\x48\xc7\x83..\x00\x00\xff\xff\xff\xff"  # mov qword [env + exception_next_eip], -1
    rb"\xf6\x05....\x02\x0f\x85....",  # test byte [qemu_loglevel], CPU_LOG_TB_IN_ASM; jne
    re.DOTALL,
)
NOTHING = b"\x66\x0f\x1f\x44\x00\x00"


def main():
    source, target = sys.argv[1:]
    with open(source, "rb") as file:
        text = bytearray(file.read())
    found = list(INJECTION.finditer(text))
    if len(found) != 1:
        print(f"{source}: the injection of interrupts was found {len(found)} times")
        return 2
    text[found[0].start("store") : found[0].end("store")] = NOTHING
    new = f"{target}.new"
    with open(new, "wb") as file:
        file.write(text)
    os.chmod(new, 0o755)
    os.replace(new, target)
    return 0


sys.exit(main())

#!/usr/bin/env python3
"""terminal.py ROWSxCOLUMNS COMMAND [STEP...]: runs shell text on a terminal of its own and shows what appears there.

Steps, one after another, each when the one before is done:
  see:TEXT       wait until TEXT appears in what was not looked at yet
  type:TEXT      press keys; \\x03 and the like are understood
  size:RxC       resize the terminal
  kill:SIGNAL    send a signal to the oldest katavm of the terminal's session
  sh:COMMAND     run a command elsewhere and show what it says; $VMM is the VMM of that katavm
Then the command's end is waited for. Ends with the command's status, or with 99 when a step waited for 600 seconds.
"""
import fcntl, os, pty, select, signal, struct, subprocess, sys, termios, time

LIMIT_S = 600


def set_size(fd, text):
    rows, columns = (int(n) for n in text.split('x'))
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack('HHHH', rows, columns, 0, 0))


class Terminal:
    def __init__(self, size, command):
        self.seen, self.looked_at = b'', 0
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            set_size(0, size)
            os.execvp('bash', ['bash', '-c', command])

    def read(self, deadline):
        """False: nothing will come any more."""
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self.fd], [], [], left)[0]:
            self.give_up('nothing came')
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b''
        self.seen += data
        return bool(data)

    def see(self, text):
        deadline = time.monotonic() + LIMIT_S
        while (at := self.seen.find(text.encode(), self.looked_at)) < 0:
            if not self.read(deadline):
                self.give_up(f'it ended before "{text}"')
        self.looked_at = at + len(text)

    def kill(self, name):
        os.kill(int(self.find('-s', str(self.pid), 'katavm')), getattr(signal, 'SIG' + name))

    def find(self, *how):
        return subprocess.run(['pgrep', '-o', '-x', *how], capture_output=True, check=True).stdout.decode().strip()

    def run(self, command):
        environment = {**os.environ, 'VMM': self.find('-P', self.find('-s', str(self.pid), 'katavm'), 'katavm-vmm')}
        self.seen += subprocess.run(['bash', '-c', command], env=environment, stdin=subprocess.DEVNULL,
                                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False).stdout
        self.looked_at = len(self.seen)

    def step(self, text):
        what, argument = text.split(':', 1)
        if what == 'see':
            self.see(argument)
        elif what == 'type':
            os.write(self.fd, argument.encode().decode('unicode_escape').encode())
        elif what == 'size':
            set_size(self.fd, argument)
        elif what == 'kill':
            self.kill(argument)
        elif what == 'sh':
            self.run(argument)
        else:
            sys.exit(f'terminal.py: unknown step {text}')

    def end(self):
        deadline = time.monotonic() + LIMIT_S
        while self.read(deadline):
            pass
        self.show()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def show(self):
        sys.stdout.write(self.seen.decode(errors='replace').replace('\r', ''))

    def give_up(self, why):
        self.show()
        print(f'\nterminal.py: {why}')
        os.kill(self.pid, signal.SIGKILL)
        sys.stdout.flush()
        os._exit(99)


terminal = Terminal(sys.argv[1], sys.argv[2])
for step in sys.argv[3:]:
    terminal.step(step)
status = terminal.end()
sys.exit(status if status >= 0 else 128 - status)

"""Somebody at a terminal: runs a program in one, types, and waits for what it shows.

    terminal.py COLUMNS ROWS PROGRAM ARGUMENT... < [["send", "text"], ["expect", "pattern"], ["wait_for_end"]]

A pattern is a regular expression over what came since the last match, without the terminal's control sequences.
Prints as JSON what was shown in all and what the program ended with.
"""

import fcntl
import json
import os
import pty
import re
import select
import struct
import sys
import termios
import time

PATIENCE = 30
CONTROL = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|\x1b[=>78]")

columns, rows, *command = sys.argv[1:]
steps = json.load(sys.stdin)
child, terminal = pty.fork()
if child == 0:
    # The size is there before the program looks.
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", int(rows), int(columns), 0, 0))
    os.execve(command[0], command, {**os.environ, "TERM": "xterm"})
raw = b""
matched = 0


def shown():
    return CONTROL.sub("", raw.decode(errors="replace"))


def read(until):
    """Reads more; false at the end of the output."""
    global raw
    while time.monotonic() < until:
        if not select.select([terminal], [], [], 0.05)[0]:
            return True
        try:
            more = os.read(terminal, 65536)
        except OSError:  # the program has ended
            return False
        raw += more
        return bool(more)
    return True


def fail(why):
    os.kill(child, 9)
    sys.exit(f"{why}; it showed:\n{shown()[-4000:]}")


for what, *words in steps:
    until = time.monotonic() + PATIENCE
    if what == "send":
        os.write(terminal, words[0].encode())
    elif what == "expect":
        pattern = re.compile(words[0])
        while not (found := pattern.search(shown(), matched)):
            if not read(until) or time.monotonic() > until:
                fail(f"waited in vain for {words[0]!r}")
        matched = found.end()
    elif what == "wait_for_end":
        while read(until):
            if time.monotonic() > until:
                fail("it does not end")
_, status = os.waitpid(child, 0)
print(json.dumps({"status": os.waitstatus_to_exitcode(status), "text": shown()}))

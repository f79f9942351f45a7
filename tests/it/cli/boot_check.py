#!/usr/bin/env python3
"""A device in the place of QEMU: two slots, a boot loader that tries an update once, a client, and a shell of root on the socket that
QEMU's second serial port would be. What a disk keeps is in the file `state` next to the directory of this program; the file `kind` says
what is wrong with the device."""

import json, os, re, socket, subprocess, sys, time

if "-S" in sys.argv:
    # Whether there is KVM.
    sys.exit(1)

here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
kind = open(os.path.join(here, "kind")).read().strip()
state_file = os.path.join(here, "state")
open(os.path.join(here, "arguments"), "w").write(" ".join(sys.argv[1:]))


def load():
    try:
        return json.load(open(state_file))
    except FileNotFoundError:
        return {"committed": 2, "trial": None, "tried": False, "release": "r0"}


def save(**more):
    json.dump({**load(), **more}, open(state_file, "w"))


def console(text):
    sys.stdout.write(text + "\r\n")
    sys.stdout.flush()


def start():
    """The slot that runs now."""
    disk = load()
    console("Loading ...")
    if disk["trial"] and not disk["tried"]:
        save(tried=True)
        if kind == "panic":
            console("Kernel panic - not syncing: no init")
            time.sleep(1)
            return start()
        if kind == "late":
            console("[\x1b[0;1;31m TIME \x1b[0m] Timed out waiting for device /dev/data.")
            console("[DEPEND] Dependency failed for /data.")
            console("[  OK  ] Started x.\r\n" * 20 + "You are in emergency mode.")
            time.sleep(600)
        return disk["trial"]
    if disk["trial"] and kind == "no-rollback":
        return disk["trial"]
    save(trial=None, tried=False)
    return disk["committed"]


def answer(command, slot):
    """The output and the status of a command, in a system that runs from `slot`."""
    if "mountinfo" in command:
        return f"/boot/efi 1\n/ {slot}\n", 0
    if "is-system-running" in command:
        return "running\n", 0
    if "--failed" in command:
        return ("broken.service loaded failed failed x\n" if kind == "unit" and slot == 3 else ""), 0
    if "systemctl status" in command:
        return "it is broken\n", 3
    if "is-active" in command:
        return ("active\n", 0) if "good.service" in command else ("inactive\n", 3)
    if "$client install" in command:
        if kind == "install":
            return "writing\nno space\n", 1
        # Long enough for a power cut.
        time.sleep(1)
        save(trial=5 - load()["committed"], tried=False)
        return "", 0
    if "$client commit" in command:
        save(committed=slot, trial=None, tried=False, release="r1")
        return "", 0
    if "$client show-artifact" in command:
        return "a warning\n" + load()["release"] + "\n", 0
    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.stdout.decode(), done.returncode


def serve(shell, slot):
    say = lambda text: shell.sendall(text.encode())
    say("firmware\r\nPS1=goldsmith-shell-is-ready\r\nnoise goldsmith-shell-is-ready")
    heard = ""
    while True:
        piece = shell.recv(4096)
        if not piece:
            return
        heard += piece.decode()
        hello = re.search(r"echo '(hello\d+)''\.'\n", heard)
        if hello:
            say(f"\r\n{hello[1]}.\n")
            heard = heard[hello.end():]
        command = re.search(r"echo begin'(\d+)='; sh -c '(.*)' </dev/null 2>&1; echo end'\d+='\$\?'='\n", heard, re.S)
        if command:
            output, status = answer(command[2].replace("'\\''", "'"), slot)
            say(f"begin{command[1]}=\n{output}end{command[1]}={status}=\n")
            heard = heard[command.end():]
        if "exec systemctl reboot\n" in heard:
            heard = ""
            slot = start()
            say("goldsmith-shell-is-ready")


listener = socket.socket(socket.AF_UNIX)
listener.bind("shell")
listener.listen()
serve(listener.accept()[0], start())

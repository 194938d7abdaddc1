"""A real redis-server for tests: on a free port of this host, without files unless it is told to, stopped by its pid."""
import os
import signal
import socket
import subprocess

from mesh import free_port, wait_for


class RedisServer:
    def __init__(self, *options):
        self.options = options or ("--save", "")
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}"
        self.proc = None

    def start(self):
        self.proc = subprocess.Popen(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--appendonly", "no", *self.options],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        wait_for(lambda: self.ask("PING") == "+PONG", "redis-server answers")
        return self

    def ask(self, *words):
        """One command; the first line of the reply, "" if there is none."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
                s.sendall(f"{' '.join(words)}\r\n".encode())
                return s.makefile().readline().strip()
        except OSError:
            return ""

    def freeze(self):
        os.kill(self.proc.pid, signal.SIGSTOP)

    def thaw(self):
        os.kill(self.proc.pid, signal.SIGCONT)

    def kill(self):
        if self.proc is not None:
            self.proc.kill()
            self.proc.wait(10)
            self.proc = None

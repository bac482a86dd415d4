"""The world outside a host: run in a network namespace of its own. On every address, TCP and UDP port 7000
answer with the address of who asks, and UDP and TCP port 53 answer for service.test (the addresses given as
arguments) and nothing else. Prints "ready" when it listens."""
import ipaddress
import socket
import socketserver
import struct
import sys
import threading

ADDRESSES = [ipaddress.ip_address(a) for a in sys.argv[1:]]


def name_of(query):
    at, labels = 12, []
    while query[at]:
        labels.append(query[at + 1:at + 1 + query[at]].decode())
        at += query[at] + 1
    return ".".join(labels).lower(), at + 5, struct.unpack(">H", query[at + 1:at + 3])[0]


def answer(query):
    name, end, kind = name_of(query)
    found = [a for a in ADDRESSES if name == "service.test" and kind == {4: 1, 6: 28}[a.version]]
    flags = 0x8180 if name == "service.test" else 0x8183
    out = query[:2] + struct.pack(">HHHHH", flags, 1, len(found), 0, 0) + query[12:end]
    for a in found:
        out += struct.pack(">HHHIH", 0xC00C, kind, 1, 60, len(a.packed)) + a.packed
    return out


class Tcp(socketserver.BaseRequestHandler):
    def handle(self):
        self.request.sendall(self.client_address[0].replace("::ffff:", "").encode() + b"\n")


class Udp(socketserver.BaseRequestHandler):
    def handle(self):
        self.request[1].sendto(self.client_address[0].replace("::ffff:", "").encode() + b"\n", self.client_address)


class DnsUdp(socketserver.BaseRequestHandler):
    def handle(self):
        self.request[1].sendto(answer(self.request[0]), self.client_address)


class DnsTcp(socketserver.BaseRequestHandler):
    def handle(self):
        size = struct.unpack(">H", self.request.recv(2))[0]
        out = answer(self.request.recv(size))
        self.request.sendall(struct.pack(">H", len(out)) + out)


def serve(kind, port, handler):
    class Server(kind):
        address_family = socket.AF_INET6
        allow_reuse_address = True
        daemon_threads = True

        def server_bind(self):
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            super().server_bind()

    server = Server(("::", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()


serve(socketserver.ThreadingTCPServer, 7000, Tcp)
serve(socketserver.ThreadingUDPServer, 7000, Udp)
serve(socketserver.ThreadingTCPServer, 53, DnsTcp)
serve(socketserver.ThreadingUDPServer, 53, DnsUdp)
print("ready", flush=True)
threading.Event().wait()

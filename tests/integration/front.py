#!/usr/bin/python3
"""front.py LAYOUTS LOG PORTS [CERT KEY [CLIENTS]]: a registry on loopback whose repositories misbehave, each in the way that its
name says: BEHAVIOUR/LAYOUT serves the OCI layout LAYOUTS/LAYOUT. PORTS is written when it listens: the port of HTTP and
of HTTPS. With CLIENTS, an authority, HTTPS wants a certificate of it from the other side. $AWAY
is an address of this machine that is not loopback, where it listens with plain HTTP, too. LOG gets one JSON object a request. Users: ann with the password secret, or the refresh token refresh-ann."""
import base64
import http.server
import json
import os
import re
import ssl
import sys
import threading
import time

layouts, log_path, ports_path = sys.argv[1:4]
lock = threading.Lock()
seen = {}  # how often each blob of each repository was asked for
barrier = threading.Barrier(3)
tokens = {}  # token -> requests it is still good for
BIG = 100000
ANN = "Basic " + base64.b64encode(b"ann:secret").decode()
http_port = https_port = away_port = 0
away = os.environ.get("AWAY")


def count(key):
    with lock:
        seen[key] = seen.get(key, 0) + 1
        return seen[key]


def find_manifest(layout, name):
    if not name.startswith("sha256:"):
        for entry in json.load(open(os.path.join(layouts, layout, "index.json")))["manifests"]:
            if entry["annotations"]["org.opencontainers.image.ref.name"] == name:
                name = entry["digest"]
    data = read_blob(layout, name)
    if data is None:
        return None, None, None
    try:
        text = json.loads(data)
    except ValueError:
        text = {}
    return data, name, text.get("mediaType", "application/vnd.oci.image.manifest.v1+json")


def read_blob(layout, digest):
    path = os.path.join(layouts, layout, "blobs", "sha256", digest[7:])
    if not re.fullmatch("sha256:[0-9a-f]{64}", digest) or not os.path.exists(path):
        return None
    return open(path, "rb").read()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def note(self, body=""):
        line = json.dumps({"method": self.command, "path": self.path, "host": self.headers.get("Host"),
                           "authorization": self.headers.get("Authorization"), "range": self.headers.get("Range"),
                           "tls": self.server.tls, "body": body})
        with lock, open(log_path, "a") as log:
            log.write(line + "\n")

    def answer(self, code, data=b"", headers=(), length=None):
        self.send_response(code)
        for key, value in headers:
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(data) if length is None else length))
        self.end_headers()
        self.wfile.write(data)

    def refuse(self, code, message="no"):
        self.answer(code, json.dumps({"errors": [{"code": "X", "message": message}]}).encode())

    def hang_up(self):
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(2)

    def challenge(self, value):
        self.answer(401, b"{}", [("WWW-Authenticate", value)])

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        self.note(body)
        if self.path.startswith("/token/token-moved") and self.headers["Host"].startswith("127."):
            return self.answer(307, headers=[("Location", "http://localhost:%d%s" % (http_port, self.path))])
        if self.path.startswith("/token") and "refresh_token=refresh-ann" in body:
            return self.give_token("access_token")
        self.refuse(401)

    def give_token(self, key="token"):
        token = "token-%d" % count("token")
        tokens[token] = 1 if "once" in self.path else 4 if "short" in self.path else 1000000
        self.answer(200, json.dumps({key: token, "expires_in": 60}).encode())

    def do_GET(self):
        self.note()
        if self.path.startswith("/token"):
            if "busy" in self.path and count("token-busy") <= 2:
                return self.refuse(503, "busy")
            if "private" in self.path and self.headers.get("Authorization") != ANN:
                return self.refuse(401)
            return self.give_token()
        if self.path.startswith("/elsewhere/"):
            _, _, layout, digest = self.path.split("/")
            return self.send_blob(read_blob(layout, digest))
        match = re.fullmatch("/v2/([^/]+)/([^/]+)/(manifests|blobs)/([^/]+)", self.path)
        if not match:
            return self.refuse(404)
        self.behaviour, layout, kind, name = match.groups()
        if not self.may_enter():
            return None
        if kind == "manifests":
            return self.send_manifest(layout, name)
        data = read_blob(layout, name)
        if data is None:
            return self.refuse(404, "blob unknown")
        if len(data) < BIG and self.behaviour not in ("redirect", "basic-redirect", "redirect-down", "redirect-loop", "redirect-away"):
            return self.answer(200, data)
        return self.misbehave(layout, name, data, count((self.behaviour, name)))

    def may_enter(self):
        given = self.headers.get("Authorization") or ""
        realm = "http://127.0.0.1:%d/token/%s" % (http_port, self.behaviour)
        if self.behaviour in ("basic", "basic-redirect") and given != ANN:
            self.challenge('Basic realm="here, and \\"there\\""')
        elif self.behaviour in ("token", "token-private", "token-short", "token-redirect", "token-busy", "token-moved", "token-once"):
            token = given[7:] if given.startswith("Bearer ") else ""
            if tokens.get(token, 0) > 0:
                tokens[token] -= 1
                return True
            self.challenge('Bearer realm="%s",service="test service",scope="repository:%s:pull"' %
                           (realm, "/".join(self.path.split("/")[2:4])))
        elif self.behaviour == "token-abroad":
            self.challenge('Bearer realm="http://registry.invalid/token",service="x"')
        elif self.behaviour == "login-strange":
            self.challenge('Negotiate abc')
        elif self.behaviour == "login-escape":
            self.challenge('Negotiate \x1b[31m\x9b31m')
        else:
            return True
        return False

    def send_manifest(self, layout, name):
        data, digest, type = find_manifest(layout, name)
        if data is None:
            return self.refuse(404, "manifest unknown")
        tries = count((self.behaviour, "manifest"))
        if self.behaviour == "busy" and tries <= 2:
            return self.refuse(503, "busy")
        if self.behaviour == "rate":
            return self.refuse(429, "too many")
        if self.behaviour == "broken":
            return self.refuse(501, "broken \x1b[31m")
        if self.behaviour == "manifest-flip":
            data = data.replace(b'"schemaVersion": 2', b'"schemaVersion":  2')
        if self.behaviour == "manifest-type":
            type = "text/html"
        if self.behaviour == "manifest-huge":
            data += b" " * (5 << 20)
        headers = [("Content-Type", type)]
        if self.behaviour == "manifest-name":
            headers.append(("Docker-Content-Digest", "sha256:" + "0" * 64))
        return self.answer(200, data, headers)

    def send_blob(self, data, ranges=True):
        given = re.fullmatch("bytes=([0-9]+)-", self.headers.get("Range") or "")
        if given and ranges:
            start = int(given[1])
            if start >= len(data):
                return self.refuse(416)
            return self.answer(206, data[start:], [("Content-Range", "bytes %d-%d/%d" % (start, len(data) - 1, len(data)))])
        return self.answer(200, data)

    def misbehave(self, layout, name, data, tries):
        half = len(data) // 2
        how = self.behaviour
        if how in ("cut", "cut-no-range", "cut-refused-range") and tries == 1:
            self.answer(200, data[:half], length=len(data))
            return self.hang_up()
        if how == "token-once":  # 24 pieces, each cut off
            given = re.fullmatch("bytes=([0-9]+)-", self.headers.get("Range") or "bytes=0-")
            start, step = int(given[1]), -(-len(data) // 24)
            kind = (206, [("Content-Range", "bytes %d-%d/%d" % (start, len(data) - 1, len(data)))]) if start else (200, [])
            self.answer(kind[0], data[start:start + step], kind[1], len(data) - start)
            return self.hang_up()
        if how == "cut-no-range":
            return self.send_blob(data, ranges=False)
        if how == "cut-refused-range" and self.headers.get("Range"):
            return self.refuse(416)
        if how == "cut-always":
            return self.hang_up()
        if how == "stall" and tries == 1:
            self.answer(200, data[:half], length=len(data))
            self.connection.settimeout(120)
            self.rfile.read(1)  # until the other side gives up
            return self.hang_up()
        if how == "flip":
            return self.send_blob(data[:half] + bytes([data[half] ^ 1]) + data[half + 1:])
        if how == "short":
            return self.answer(200, data[:half])
        if how == "long":
            return self.answer(200, data + b"more")
        if how == "together":
            try:
                barrier.wait(30)
            except threading.BrokenBarrierError:
                return self.refuse(501, "nobody else came")
        if how in ("redirect", "basic-redirect", "token-redirect"):
            scheme, port = ("https", https_port) if self.server.tls else ("http", http_port)
            return self.answer(307, headers=[("Location", "%s://localhost:%d/elsewhere/%s/%s" % (scheme, port, layout, name))])
        if how == "redirect-down":
            return self.answer(307, headers=[("Location", "http://127.0.0.1:%d/elsewhere/%s/%s" % (http_port, layout, name))])
        if how == "redirect-away":
            return self.answer(307, headers=[("Location", "http://%s:%d/elsewhere/%s/%s" % (away, away_port, layout, name))])
        if how == "redirect-loop":
            return self.answer(307, headers=[("Location", self.path)])
        if how == "slow":  # about a second for each, in pieces
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            step = max(len(data) // 20, 1)
            for at in range(0, len(data), step):
                self.wfile.write(data[at:at + step])
                time.sleep(0.05)
            return None
        return self.send_blob(data)


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    tls = False

    def handle_error(self, request, address):
        pass  # clients that go away are the point


def main():
    global http_port, https_port, away_port
    server = Server(("127.0.0.1", 0), Handler)
    http_port = server.server_address[1]
    if len(sys.argv) > 5:
        secure = Server(("127.0.0.1", 0), Handler)
        secure.tls = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[4], sys.argv[5])
        if len(sys.argv) > 6:
            context.load_verify_locations(sys.argv[6])
            context.verify_mode = ssl.CERT_REQUIRED
        secure.socket = context.wrap_socket(secure.socket, server_side=True)
        https_port = secure.server_address[1]
        threading.Thread(target=secure.serve_forever, daemon=True).start()
    if away:
        other = Server((away, 0), Handler)
        away_port = other.server_address[1]
        threading.Thread(target=other.serve_forever, daemon=True).start()
    with open(ports_path + ".new", "w") as file:
        file.write("%d %d\n" % (http_port, https_port))
    os.rename(ports_path + ".new", ports_path)
    server.serve_forever()


main()

"""A hub on loopback that serves repositories from folders and misbehaves on order.

    python3 hub.py ROOT    serves ROOT/models/org/name and ROOT/datasets/org/name; of a revision: ROOT/models/org/name@REV

ROOT/port gets "PORT PORT2" when it is up: of the hub, and of the second host that large files lie at, by signed addresses.
ROOT/orders says what goes wrong, a line an order: "FAULT ARG TIMES GLOB", asked of every request whose path fits.
ROOT/log gets a line a request: port, method, path, status, bytes sent, range, whether a token came.
"""
import fnmatch, gzip, hashlib, json, os, socket, ssl, struct, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

ROOT = sys.argv[1]
LARGE = (".safetensors", ".bin", ".gguf")
used, signed, moved, bombs = {}, {}, set(), {}
lock = threading.Lock()
hashes = {}


def digest(path):
    """Of a file: its size and the name that its blob has."""
    stat = os.stat(path)
    key = (path, stat.st_size, stat.st_mtime_ns)
    if key not in hashes:
        large = path.endswith(LARGE)
        h = hashlib.sha256() if large else hashlib.sha1(b"blob %d\0" % stat.st_size)
        with open(path, "rb") as f:
            while block := f.read(1 << 20):
                h.update(block)
        hashes[key] = stat.st_size, h.hexdigest(), large
    return hashes[key]


def files(folder):
    found = []
    for at, _, names in os.walk(folder):
        found += [os.path.relpath(os.path.join(at, n), folder) for n in names]
    return sorted(found)


def commit(folder):
    text = "".join(f"{f} {digest(os.path.join(folder, f))[1]}\n" for f in files(folder))
    return hashlib.sha1(text.encode()).hexdigest()


def find(kind, repo, rev):
    """The folder of a revision: its name, or the commit of any."""
    base = os.path.join(ROOT, kind, repo)
    if rev == "main":
        return base + "@next" if base in moved else base
    if os.path.isdir(f"{base}@{rev}"):
        return f"{base}@{rev}"
    above, name = os.path.split(base)
    for n in sorted(os.listdir(above)):
        if (n == name or n.startswith(name + "@")) and commit(os.path.join(above, n)) == rev:
            return os.path.join(above, n)
    return None


def order(path, *faults):
    """The argument of the first of these faults that is to be played now; None: none is."""
    try:
        with open(os.path.join(ROOT, "orders")) as f:
            lines, when = f.read().splitlines(), os.fstat(f.fileno()).st_mtime_ns
    except FileNotFoundError:
        return None, None
    for i, line in enumerate(lines):
        fault, arg, times, glob = line.split()
        if fault in faults and fnmatch.fnmatch(path, glob):
            with lock:
                if used.get((i, when), 0) < int(times):
                    used[i, when] = used.get((i, when), 0) + 1
                    return fault, arg
    return None, None


def encode(fault, arg, body):
    """A body and what it is said to be encoded as: itself, so many zeroes instead, or not at all."""
    if fault == "encoding":
        return body, arg
    if fault == "gzip":
        return gzip.compress(body), "gzip"
    with lock:
        bombs[arg] = bombs.get(arg) or gzip.compress(bytes(int(arg)), 1)
    return bombs[arg], "gzip"


class Hub(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    def note(self, status, sent):
        token = "token" if self.headers.get("Authorization") else "-"
        with lock, open(os.path.join(ROOT, "log"), "a") as f:
            f.write(f"{self.server.server_port} {self.command} {self.path} {status} {sent} {self.headers.get('Range', '-')} {token}\n")

    def head(self, status, headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()

    def answer(self, status, body=b"", **headers):
        headers = {k.replace("_", "-"): v for k, v in headers.items()}
        fault, arg = order(self.path, "gzip", "bomb", "encoding")
        if fault:
            body, headers["Content-Encoding"] = encode(fault, arg, body)
        self.head(status, {"Content-Length": len(body), **headers})
        if self.command != "HEAD":
            self.wfile.write(body)
        self.note(status, len(body))

    def error(self, status, code, message):
        self.answer(status, b"{}", X_Error_Code=code, X_Error_Message=message)

    def trouble(self):
        """Faults that need no more than the path."""
        fault, arg = order(self.path, "status", "429", "429rate", "429bare", "416", "gated", "loop", "http", "huge", "talk", "page")
        if fault == "status":
            self.answer(int(arg))
        elif fault == "429":
            self.answer(429, Retry_After=arg)
        elif fault == "429rate":
            self.answer(429, RateLimit=f'"api";r=0;t={arg}')
        elif fault == "429bare":
            self.answer(429)
        elif fault == "416":
            self.answer(416)
        elif fault in ("huge", "talk"):
            self.answer(200 if fault == "huge" else 404, b" " * int(arg))
        elif fault == "page":
            self.answer(200, b"\n<!DOCTYPE html><html><body>Please log in.</body></html>", Content_Type="text/html")
        elif fault == "gated":
            self.error(403, "GatedRepo", "Access to this model is restricted.")
        elif fault == "loop":
            self.answer(302, Location=self.path)
        elif fault == "http":
            self.answer(302, Location=f"http://127.0.0.1:{other.server_port}/x")
        return fault is not None

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        try:
            if not self.trouble():
                self.route()
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def route(self):
        url = urlsplit(self.path)
        parts = [unquote(p) for p in url.path.split("/")[1:]]
        if parts[0] == "signed":
            return self.serve_signed(parts[1], parse_qs(url.query))
        if parts[:1] == ["api"]:
            kind, repo = parts[1], "/".join(parts[2:4])
            if not os.path.isdir(os.path.join(ROOT, kind, repo)):
                return self.error(401, "RepoNotFound", "Repository not found")
            return self.api(kind, repo, parts[4], parts[5], parse_qs(url.query))
        kind = parts.pop(0) if parts[0] == "datasets" else "models"
        repo, rev, path = "/".join(parts[:2]), parts[3], "/".join(parts[4:])
        self.resolve(kind, repo, rev, path)

    def api(self, kind, repo, what, rev, query):
        folder = find(kind, repo, rev)
        if not folder:
            return self.error(404, "RevisionNotFound", "Invalid rev id")
        if what == "revision":
            body = {"id": repo, "sha": commit(folder), "siblings": [{"rfilename": f} for f in files(folder)]}
            self.answer(200, json.dumps(body).encode(), Content_Type="application/json")
            if order(self.path, "move")[0]:
                moved.add(folder)
            return
        entries = []
        for f in files(folder):
            size, oid, large = digest(os.path.join(folder, f))
            entry = {"type": "file", "path": f, "size": size, "oid": oid if not large else hashlib.sha1(oid.encode()).hexdigest()}
            if large:
                entry["lfs"] = {"oid": oid, "size": size, "pointerSize": 134}
            entries.append(entry)
        fault, arg = order(self.path, "name")
        if fault:
            entries.append({"type": "file", "path": unquote(arg), "size": 1, "oid": "0" * 40})
        fault, arg = order(self.path, "many")
        entries += [{"type": "file", "path": f"many/{i}.dat", "size": 1, "oid": "0" * 40} for i in range(int(arg or 0))]
        fault, arg = order(self.path, "size")
        if fault:
            entries[-1]["size"] = int(arg)
            entries[-1].get("lfs", {})["size"] = int(arg)
        fault, arg = order(self.path, "pages")
        at, n = int(query.get("cursor", ["0"])[0]), int(arg or 10**9)
        headers = {}
        if at + n < len(entries):
            headers["Link"] = f'<http://{self.headers["Host"]}/api/{kind}/{repo}/tree/{rev}?recursive=1&cursor={at + n}>; rel="next"'
        fault, arg = order(self.path, "elsewhere")
        if fault:
            headers["Link"] = f'<http://127.0.0.1:{other.server_port}/more>; rel="next"'
        if order(self.path, "endless")[0]:
            headers["Link"] = f'<{self.path}>; rel="next"'
        self.answer(200, json.dumps(entries[at:at + n]).encode(), Content_Type="application/json", **headers)

    def resolve(self, kind, repo, rev, path):
        folder = find(kind, repo, rev)
        whole = os.path.join(folder or "", path)
        if not folder or not os.path.isfile(whole):
            return self.error(404, "EntryNotFound", "Entry not found")
        size, oid, large = digest(whole)
        headers = {"X-Repo-Commit": commit(folder), "ETag": f'"{oid}"'}
        fault, arg = order(self.path, "weaketag", "noetag", "wrongetag", "othercommit")
        if fault == "weaketag":
            headers["ETag"] = f'W/"{oid}"'
        elif fault == "noetag":
            del headers["ETag"]
        elif fault == "wrongetag":
            headers["ETag"] = f'"{"1" * len(oid)}"'
        elif fault == "othercommit":
            headers["X-Repo-Commit"] = "2" * 40
        if not large:
            return self.serve(whole, headers)
        if "ETag" in headers:
            headers["X-Linked-Etag"] = headers.pop("ETag")
        headers["X-Linked-Size"] = size
        fault, arg = order(self.path, "relative")
        with lock:
            signed[len(signed)] = whole
            number = len(signed) - 1
        place = "" if fault else f"http://127.0.0.1:{other.server_port}"
        self.head(302, {**headers, "Location": f"{place}/signed/{number}?sig={number}", "Content-Length": 0})
        self.note(302, 0)

    def serve_signed(self, number, query):
        if order(self.path, "expired")[0]:
            return self.answer(403, b"<Error>expired</Error>")
        self.serve(signed[int(number)], {"ETag": '"somebody-elses"'})

    def serve(self, path, headers):
        data_size = os.path.getsize(path)
        asked = self.headers.get("Range", "")
        start, end = 0, data_size
        fault, arg = order(self.path, "cut", "reset", "stall", "norange", "badrange", "short", "flip", "long", "slow")
        if asked.startswith("bytes=") and fault != "norange":
            first, last = asked[6:].split("-")
            start, end = int(first), int(last) + 1 if last else data_size
        if start >= data_size > 0:
            return self.answer(416, Content_Range=f"bytes */{data_size}")
        if fault == "short":
            end -= 1
        length = end - start + (1 if fault == "long" else 0)
        shift = 1 if fault == "badrange" else 0
        partial = asked and fault != "norange"
        if partial:
            headers["Content-Range"] = f"bytes {start + shift}-{end - 1 + shift}/{data_size}"
        encoding, how = order(self.path, "gzip", "bomb", "encoding")
        if encoding:
            body, headers["Content-Encoding"] = encode(encoding, how, open(path, "rb").read())
            self.head(200, {**headers, "Content-Length": len(body)})
            self.wfile.write(body)
            return self.note(200, len(body))
        if order(self.path, "chunked")[0]:
            return self.send_chunks(path, start, end, headers, fault, int(arg or 0))
        self.head(206 if partial else 200, {**headers, "Content-Length": length, "Accept-Ranges": "bytes"})
        sent = 0 if self.command == "HEAD" else self.send(path, start, end, fault, int(arg or 0))
        self.note(206 if partial else 200, sent)
        self.hang_up(fault)

    def send(self, path, start, end, fault, arg):
        stop = min(end, start + arg) if fault in ("cut", "reset", "stall") else end
        sent = 0
        self.wfile.flush()
        with open(path, "rb") as f:
            try:
                while sent < stop - start:
                    most = min(1 << (16 if fault == "slow" else 22), stop - start - sent)
                    if fault == "flip" and start + sent <= arg < start + sent + most:
                        f.seek(start + sent)
                        block = bytearray(f.read(most))
                        block[arg - start - sent] ^= 1
                        self.wfile.write(block)
                        sent += most
                    else:  # as file servers send: the kernel takes the pages themselves
                        sent += os.sendfile(self.connection.fileno(), f.fileno(), start + sent, most)
                    time.sleep(most / arg if fault == "slow" else 0)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True
                return sent
        if fault == "long":
            self.wfile.write(b"x")
        return sent

    def send_chunks(self, path, start, end, headers, fault, most):
        """Of no length that is told beforehand; cut, it ends in the middle of a chunk."""
        self.head(206 if "Content-Range" in headers else 200, {**headers, "Transfer-Encoding": "chunked"})
        with open(path, "rb") as f:
            f.seek(start)
            body = f.read(min(most, end - start) if fault == "cut" else end - start)
        for at in range(0, len(body), 100_000):
            chunk = body[at:at + 100_000]
            is_cut = fault == "cut" and at + len(chunk) == len(body)
            self.wfile.write(b"%x\r\n%b" % (len(chunk) + 1000 * is_cut, chunk) + b"\r\n" * (not is_cut))
        if fault != "cut":
            self.wfile.write(b"0\r\n\r\n")
        self.note(206 if "Content-Range" in headers else 200, len(body))
        self.hang_up(fault)

    def hang_up(self, fault):
        if fault == "stall":
            time.sleep(20)
        if fault in ("cut", "reset", "stall"):
            if fault == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close() if fault == "reset" else self.connection.shutdown(socket.SHUT_RDWR)


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass

    def get_request(self):
        connection, address = super().get_request()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 18)  # what is sent is nearly what has arrived
        return connection, address


hub, other = Server(("127.0.0.1", 0), Hub), Server(("127.0.0.1", 0), Hub)
if len(sys.argv) > 2:  # a certificate with its key: the hub speaks https
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(sys.argv[2])
    hub.socket = context.wrap_socket(hub.socket, server_side=True)


def end_with_parent(parent=os.getppid()):
    """A test that is killed leaves no hub behind."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


threading.Thread(target=end_with_parent, daemon=True).start()
threading.Thread(target=other.serve_forever, daemon=True).start()
with open(os.path.join(ROOT, "port.new"), "w") as f:
    f.write(f"{hub.server_port} {other.server_port}\n")
os.rename(os.path.join(ROOT, "port.new"), os.path.join(ROOT, "port"))
hub.serve_forever()

#!/usr/bin/env python3
"""A test upstream: an OpenAI-compatible server that behaves as it is told, well or badly.

How a request is answered is chosen by its model's name (BEHAVIOURS below) and then by words in double square brackets
in its last message, such as "hello [[tokens=100 delay=0.01]]" or "[[status=429 retry-after=7]]". Only the standard
library is used. Answers to the same request are the same bytes.

    status=N            answer with this error; message=TEXT (dots for blanks), code=TEXT, retry-after=S, retry-after-ms=MS
    body=html|detail|empty|loading|legacy    what the error's body looks like
    tokens=N            so many tokens instead of the echo of the last message
    first=S delay=S     seconds before the first token, between tokens
    dialect=openai|deepseek|vllm|llama|ollama
    usage=own|finish|every|none    its own chunk, on the finish chunk, on every chunk, not at all
    reasoning=N         so many tokens of reasoning first
    tools=N             so many tool calls, all in one chunk
    finish=REASON       stop by default; none = it is left out
    role=none           the role is left out
    json=1              a whole JSON answer although a stream was asked for; blanks=N empty lines before it
    comments=N          so many ": keep-alive" comments before the first token
    cut=N               the connection is closed after N tokens; reset=1: with a TCP reset
    error=N             an error chunk after N tokens; status 500 in place of a whole answer
    hang=N              nothing more after N tokens, until the client leaves; hang=head: not even a status line
    nodone=1            a clean end without [DONE]; linger=1: [DONE], but the connection stays
    garbage=html|sse|json|bytes    an answer with status 200 that is none
    huge=N              one token of N bytes
    split=1             written byte by byte
    floats=1            vectors as lists of numbers, whatever was asked for

Embeddings of a text are [its length, its words, its place in the request, 1, …], as many as "dimensions" says (4).
A request without "stream" gets a whole JSON answer, once its tokens would have been sent. One that is cut, hangs or has no
[DONE] is half of it.

Besides the API: GET /_state tells what happened, POST /_reset forgets it, POST /_always with a JSON object such as
{"status": "500"} makes every request behave like that from now on, {} as before.
Run it: upstream.py [--port N]; with port 0, the default, a free one is taken and printed. Or import Upstream.
"""
import argparse
import asyncio
import json
import re
import socket
import struct
import threading
import urllib.request

from upstream_kinds import as_completion, prompt_text, vectors

BEHAVIOURS = {
    "echo": {},
    "echo-slow": {"delay": "0.05"},
    "echo-long": {"tokens": "1000", "delay": "0.01"},
    "deepseek-flash": {"dialect": "deepseek", "reasoning": "3"},
    "vllm": {"dialect": "vllm", "reasoning": "2"},
    "llama": {"dialect": "llama"},
    "ollama": {"dialect": "ollama"},
    "tools": {"tools": "2"},
    "json": {"json": "1", "blanks": "3"},
    "limit": {"status": "429", "retry-after": "7"},
    "broken": {"status": "500"},
    "busy": {"status": "503", "body": "loading"},
    "poor": {"status": "402"},
    "locked": {"status": "401"},
    "overlong": {"status": "400", "message": "This.model's.maximum.context.length.is.8.tokens"},
    # Slow enough that its first tokens are with the client: an answer that fails before is an error with a status.
    "cut": {"tokens": "10", "cut": "3", "delay": "0.1"},
    "reset": {"tokens": "10", "cut": "3", "reset": "1"},
    "error": {"tokens": "10", "error": "3"},
    "nodone": {"nodone": "1"},
    "hang": {"hang": "head"},
    "hang-mid": {"tokens": "10", "hang": "2"},
    "garbage": {"garbage": "html"},
    "huge": {"huge": "1000000"},
    "floats": {"floats": "1"},
}
REASONS = {200: "OK", 400: "Bad Request", 401: "Unauthorized", 402: "Payment Required", 404: "Not Found",
           429: "Too Many Requests", 500: "Internal Server Error", 503: "Service Unavailable"}
CREATED = 1700000000
LOG_MAX = 10000


class Left(Exception):
    """The client closed the connection."""


def last_text(body):
    """Text of the last message."""
    if "prompt" in body:
        return prompt_text(body["prompt"])
    messages = body.get("messages") or [{}]
    content = messages[-1].get("content") or ""
    if isinstance(content, list):
        content = "".join(part.get("text", "") for part in content)
    return content


def choose(body, always):
    """The behaviour of a request, and the text that it echoes."""
    text = last_text(body)
    options = {**BEHAVIOURS[body["model"]], **always}
    for words in re.findall(r"\[\[(.*?)\]\]", text):
        options.update(word.partition("=")[::2] for word in words.split())
    return options, re.sub(r"\s*\[\[.*?\]\]", "", text)


def tokens_of(text, options):
    """What is said, piece by piece."""
    if "huge" in options:
        return ["x" * int(options["huge"])]
    if "tokens" in options:
        return [f"t{i} " for i in range(int(options["tokens"]))]
    return re.findall(r"\S+\s*|\s+", text) or ["(nothing)"]


def usage_of(body, options, tokens):
    """Counts that only depend on the request."""
    prompt = sum(len(str(m.get("content") or "").split()) + 3 for m in body.get("messages", []))
    reasoning = int(options.get("reasoning", 0))
    usage = {"prompt_tokens": prompt, "completion_tokens": len(tokens) + reasoning,
             "total_tokens": prompt + len(tokens) + reasoning}
    if options.get("dialect") == "deepseek":
        usage.update(prompt_cache_hit_tokens=prompt // 2, prompt_cache_miss_tokens=prompt - prompt // 2,
                     completion_tokens_details={"reasoning_tokens": reasoning})
    elif options.get("dialect") == "vllm":
        usage["prompt_tokens_details"] = {"cached_tokens": 1}
    return usage


def tool_calls(count, dialect, stream):
    """Tool calls; Ollama's carry no index."""
    calls = []
    for i in range(count):
        call = {"id": f"call_{i}", "type": "function",
                "function": {"name": f"tool_{i}", "arguments": json.dumps({"n": i})}}
        if stream and dialect != "ollama":
            call["index"] = i
        calls.append(call)
    return calls


def chunks_of(body, options, text):
    """The stream as (kind, object); kind is token, end or usage."""
    dialect = options.get("dialect", "openai")
    tokens = tokens_of(text, options)
    usage_mode = options.get("usage", "finish" if dialect == "deepseek" else "own")
    usage = usage_of(body, options, tokens)
    thought = "reasoning" if dialect == "vllm" else "reasoning_content"
    first = True

    def chunk(delta, finish=None):
        nonlocal first
        if first and options.get("role") != "none":
            delta = {"role": "assistant", **delta}
        first = False
        c = {"id": "chatcmpl-test", "object": "chat.completion.chunk", "created": CREATED, "model": body["model"],
             "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]}
        if dialect in ("openai", "deepseek"):
            c["system_fingerprint"] = "fp_test"
        if usage_mode == "every":
            c["usage"] = usage
        elif dialect == "openai":
            c["usage"] = None
        return c

    if dialect in ("openai", "vllm", "llama"):
        yield "role", chunk({"content": None if dialect == "llama" else ""})
    for i in range(int(options.get("reasoning", 0))):
        yield "token", chunk({thought: f"r{i} "})
    if "tools" in options:
        yield "token", chunk({"tool_calls": tool_calls(int(options["tools"]), dialect, True)})
    else:
        for token in tokens:
            yield "token", chunk({"content": token})
    finish = options.get("finish", "tool_calls" if "tools" in options else "stop")
    last = chunk({} if dialect != "deepseek" else {"content": ""}, None if finish == "none" else finish)
    if usage_mode == "finish":
        last["usage"] = usage
    if finish != "none" or usage_mode == "finish":
        yield "end", last
    if usage_mode == "own":
        yield "usage", {**last, "choices": [], "usage": usage}


def whole_answer(body, options, text):
    """The answer as one object."""
    tokens = tokens_of(text, options)
    message = {"role": "assistant", "content": "".join(tokens)}
    if "reasoning" in options:
        message["reasoning_content"] = "".join(f"r{i} " for i in range(int(options["reasoning"])))
    if "tools" in options:
        message.update(content=None, tool_calls=tool_calls(int(options["tools"]), "", False))
    return {"id": "chatcmpl-test", "object": "chat.completion", "created": CREATED, "model": body["model"],
            "choices": [{"index": 0, "message": message,
                         "finish_reason": options.get("finish", "tool_calls" if "tools" in options else "stop")}],
            "usage": usage_of(body, options, tokens)}


def error_body(status, options):
    """Body and content type of an error."""
    kind = options.get("body", "")
    message = options.get("message", f"told.to.fail.with.{status}").replace(".", " ")
    if kind == "empty":
        return b"", "text/plain"
    if kind == "html":
        return b"<html><body>Bad Gateway</body></html>", "text/html"
    if kind == "detail":
        return b'{"detail":"Not Found"}', "application/json"
    if kind == "loading":
        return b'{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}', "application/json"
    if kind == "legacy":
        return json.dumps({"object": "error", "message": message, "type": "BadRequestError", "param": None,
                           "code": status}).encode(), "application/json"
    return json.dumps({"error": {"message": message, "type": "test_error", "param": options.get("param"),
                                 "code": options.get("code")}}).encode(), "application/json"


class Connection(asyncio.Protocol):
    """One connection: requests one after the other. Notices at once when the client leaves."""

    def __init__(self, state):
        self.state = state
        self.buffer = b""
        self.transport = self.task = None
        self.more = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()
        self.lost = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.state["opened"] += 1
        self.state["open"] += 1
        self.task = asyncio.get_running_loop().create_task(self.serve())

    def connection_lost(self, exc):
        self.state["open"] -= 1
        self.state["closed"] += 1
        self.lost.set()
        self.more.set()
        self.writable.set()

    def data_received(self, data):
        self.buffer += data
        self.more.set()

    def pause_writing(self):
        self.writable.clear()

    def resume_writing(self):
        self.writable.set()

    async def read_until(self, ready):
        """Wait until ready(buffer) gives something."""
        while (found := ready(self.buffer)) is None:
            if self.lost.is_set():
                raise Left
            self.more.clear()
            await self.more.wait()
        return found

    async def write(self, data):
        if self.lost.is_set():
            raise Left
        self.transport.write(data)
        await self.writable.wait()
        if self.lost.is_set():
            raise Left

    async def pause(self, seconds=None):
        """Wait, or with None for ever; raises as soon as the client has left."""
        try:
            await asyncio.wait_for(self.lost.wait(), seconds)
        except asyncio.TimeoutError:
            return
        raise Left

    async def read_request(self):
        end = await self.read_until(lambda b: b.find(b"\r\n\r\n") if b"\r\n\r\n" in b else None)
        lines = self.buffer[:end].decode("latin-1").split("\r\n")
        headers = {n.strip().lower(): v.strip() for n, _, v in (line.partition(":") for line in lines[1:])}
        need = end + 4 + int(headers.get("content-length", 0))
        await self.read_until(lambda b: True if len(b) >= need else None)
        body, self.buffer = self.buffer[end + 4:need], self.buffer[need:]
        method, path, _ = lines[0].split(" ")
        return method, path, headers, body

    async def serve(self):
        try:
            while True:
                if not await self.answer(*await self.read_request()):
                    break
        except Left:
            pass
        finally:
            self.transport.close()

    async def reply(self, status, body, content_type="application/json", headers=()):
        head = [f"HTTP/1.1 {status} {REASONS.get(status, 'Status')}", f"Content-Type: {content_type}",
                f"Content-Length: {len(body)}", *headers]
        await self.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
        return True

    async def answer(self, method, path, headers, raw):
        """Answer one request. False: close the connection."""
        if path == "/_state":
            return await self.reply(200, json.dumps(self.state).encode())
        if path == "/_reset":
            self.state.update(requests=0, active=0, completed=0, cancelled=0, opened=0, closed=0, log=[])
            return await self.reply(200, b"{}")
        if path == "/_always":
            self.state["always"] = json.loads(raw)
            return await self.reply(200, b"{}")
        path = path.removeprefix("/v1")
        if (method, path) == ("GET", "/models"):
            data = [{"id": name, "object": "model", "created": CREATED, "owned_by": "test"} for name in BEHAVIOURS]
            return await self.reply(200, json.dumps({"object": "list", "data": data}).encode())
        if method != "POST" or path not in ("/chat/completions", "/completions", "/embeddings"):
            return await self.reply(404, *error_body(404, {"body": "detail"}))
        body = json.loads(raw)
        if body["model"] not in BEHAVIOURS:
            return await self.reply(404, *error_body(404, {"message": "no.such.model", "code": "model_not_found"}))
        entry = {"path": path, "model": body["model"], "headers": headers, "body": body, "outcome": "active", "tokens": 0}
        if len(self.state["log"]) < LOG_MAX:
            self.state["log"].append(entry)
        self.state["requests"] += 1
        self.state["active"] += 1
        try:
            keep = await self.behave(body, entry)
            entry["outcome"] = "complete" if keep else "cut"
            self.state["completed"] += 1
            return keep
        except Left:
            entry["outcome"] = "client_left"
            self.state["cancelled"] += 1
            raise
        finally:
            self.state["active"] -= 1

    async def behave(self, body, entry):
        options, text = choose(body, self.state["always"])
        if options.get("hang") == "head":
            await self.pause()
        if "first" in options:
            await self.pause(float(options["first"]))
        if "status" in options:
            headers = [f"{name.title()}: {options[name]}" for name in ("retry-after", "retry-after-ms")
                       if name in options]
            status = int(options["status"])
            return await self.reply(status, *error_body(status, options), headers)
        if "garbage" in options:
            return await self.garbage(options["garbage"])
        if "input" in body:
            return await self.reply(200, json.dumps(vectors(body, options)).encode())
        if "json" in options or not body.get("stream"):
            return await self.whole(body, options, text, entry)
        return await self.stream(body, options, text, entry)

    async def garbage(self, kind):
        if kind == "html":
            return await self.reply(200, b"<html>not what you asked for</html>", "text/html")
        if kind == "json":
            return await self.reply(200, b'{"choices": [{"delta": {"content": 5}}')
        if kind == "sse":
            return await self.reply(200, b"data: {nope\n\ndata: [DONE]\n\n", "text/event-stream")
        await self.write(b"\x00\xff\x16\x03 not HTTP at all\r\n\r\n")
        return False

    async def piece(self, data, options):
        """One chunk of the body."""
        framed = b"%x\r\n%s\r\n" % (len(data), data)
        if "split" not in options:
            return await self.write(framed)
        for i in range(len(framed)):
            await self.write(framed[i:i + 1])
            await asyncio.sleep(0)
        return None

    async def stream(self, body, options, text, entry):
        await self.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(int(options.get("comments", 0))):
            await self.piece(b": keep-alive\n\n", options)
        for kind, chunk in chunks_of(body, options, text):
            chunk = as_completion(chunk) if "prompt" in body else chunk
            sent = str(entry["tokens"])
            if kind in ("token", "end") and sent == options.get("hang"):
                await self.pause()
            if kind in ("token", "end") and sent == options.get("cut"):
                return await self.cut(options)
            if kind in ("token", "end") and sent == options.get("error"):
                await self.piece(b'data: {"error":{"message":"told to break","type":"server_error"}}\n\n', options)
                await self.write(b"0\r\n\r\n")
                return True
            await self.piece(b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n", options)
            if kind == "token":
                entry["tokens"] += 1
                if "delay" in options:
                    await self.pause(float(options["delay"]))
        if "nodone" not in options:
            await self.piece(b"data: [DONE]\n\n", options)
        if "linger" in options:
            await self.pause()
        await self.write(b"0\r\n\r\n")
        return True

    async def whole(self, body, options, text, entry):
        """The answer as one object, after the time that its tokens would have taken."""
        answer = whole_answer(body, options, text)
        answer = json.dumps(as_completion(answer) if "prompt" in body else answer).encode()
        answer = b"\n" * int(options.get("blanks", 0)) + answer
        count = sum(kind == "token" for kind, _ in chunks_of(body, options, text))
        while True:
            sent = str(entry["tokens"])
            if sent == options.get("error"):
                return await self.reply(500, *error_body(500, {"message": "told.to.break"}))
            broken = sent == options.get("cut") or ("nodone" in options and entry["tokens"] == count)
            if broken or sent == options.get("hang"):
                head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"
                await self.write(head.encode() + answer[:len(answer) // 2])
                if not broken:
                    await self.pause()
                return await self.cut(options)
            if entry["tokens"] == count:
                return await self.reply(200, answer)
            entry["tokens"] += 1
            if "delay" in options:
                await self.pause(float(options["delay"]))

    async def cut(self, options):
        """Close in the middle: what was written goes out first."""
        if "reset" in options:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()
        return False


def fresh_state():
    return {"open": 0, "opened": 0, "closed": 0, "requests": 0, "active": 0, "completed": 0, "cancelled": 0, "log": [],
            "always": {}}


async def listen(port):
    """A server on 127.0.0.1, and its port."""
    state = fresh_state()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(state), "127.0.0.1", port, backlog=4096)
    return server, server.sockets[0].getsockname()[1]


class Upstream:
    """The server in a thread of its own: with Upstream() as up: … up.url, up.state()"""

    def __init__(self, port=0):
        self.port = port
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        asyncio.set_event_loop(self._loop)
        self._server, self.port = self._loop.run_until_complete(listen(self.port))
        self._started.set()
        self._loop.run_forever()
        self._server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    def start(self):
        self._thread.start()
        self._started.wait()
        return self

    def stop(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    __enter__ = start

    def __exit__(self, *exc):
        self.stop()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/v1"

    def _call(self, path, data=None):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{self.port}{path}", data, timeout=10) as reply:
            return json.load(reply)

    def state(self):
        """What happened since the start or reset(); the asking connection is counted as open too."""
        return self._call("/_state")

    def always(self, **options):
        """Every request behaves like that from now on."""
        self._call("/_always", json.dumps(options).encode())

    def reset(self):
        self._call("/_reset", b"")


async def main():
    parser = argparse.ArgumentParser(description="OpenAI-compatible test upstream")
    parser.add_argument("--port", type=int, default=0, help="0 = any free one")
    server, port = await listen(parser.parse_args().port)
    print(port, flush=True)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main())
    except KeyboardInterrupt:
        pass

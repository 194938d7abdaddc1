"""Streams of chat completions against an OpenAI-compatible server, with what each token's and the first one's time was."""
import asyncio
import json
import time


class Asked:
    """One request: seconds to the first text, seconds in all, tokens as the server counts them."""

    def __init__(self, first, whole, usage, text):
        self.first, self.whole, self.usage, self.text = first, whole, usage, text


async def read_stream(reader, begin):
    first, usage, text = None, None, []
    async for line in reader:
        if not line.startswith(b"data: {"):
            if line.startswith(b"data: [DONE]"):
                break
            continue
        event = json.loads(line[6:])
        if event.get("error"):
            raise SystemExit(f"bench: the server says {event['error']}")
        for choice in event.get("choices", ()):
            piece = choice["delta"].get("content")
            if piece:
                first = first or time.monotonic() - begin
                text.append(piece)
        usage = event.get("usage") or usage
    if usage is None:
        raise SystemExit("bench: a stream ended without usage")
    whole = time.monotonic() - begin
    return Asked(first or whole, whole, usage, "".join(text))


async def ask(port, key, body):
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
    data = json.dumps({"stream": True, "stream_options": {"include_usage": True}, "temperature": 0, **body}).encode()
    begin = time.monotonic()
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                 b"Content-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n" % ((key or "x").encode(), len(data)) + data)
    status = await reader.readline()
    if b" 200 " not in status:
        raise SystemExit(f"bench: port {port} answers {status.decode().strip()}: {(await reader.read(2000)).decode(errors='replace')}")
    asked = await read_stream(reader, begin)
    writer.close()
    return asked


async def ask_all(port, key, bodies, at_once):
    bodies, done = iter(bodies), []

    async def one_after_another():
        for body in bodies:
            done.append(await ask(port, key, body))

    await asyncio.gather(*(one_after_another() for _ in range(at_once)))
    return done


def measure(port, key, bodies, at_once):
    """([Asked], seconds it took) for 'bodies', 'at_once' of them at a time."""
    begin = time.monotonic()
    done = asyncio.run(ask_all(port, key, bodies, at_once))
    return done, time.monotonic() - begin

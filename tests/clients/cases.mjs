// cases.mjs CASE - one conversation of the openai SDK with the gateway (OPENAI_BASE_URL, OPENAI_API_KEY). Exits 0 if what
// came back is what the contract says; prints what was different otherwise. Run by test_openai.py.
import assert from "node:assert/strict";
import OpenAI from "openai";

const client = new OpenAI({ maxRetries: 0, timeout: 30_000 });
const user = (content) => [{ role: "user", content }];

async function gather(stream) {
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return { chunks, text: chunks.map((c) => c.choices[0]?.delta?.content ?? "").join("") };
}

async function fails(promise, type, check) {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof type, `${error?.constructor?.name}: ${error?.message}`);
    check(error);
    return;
  }
  assert.fail(`no ${type.name}`);
}

const cases = {
  async whole() {
    const r = await client.chat.completions.create({ model: "echo", messages: user("hello big world") });
    assert.equal(r.object, "chat.completion");
    assert.match(r.id, /^chatcmpl-/);
    assert.equal(r.model, "echo");
    assert.equal(r.choices[0].message.role, "assistant");
    assert.equal(r.choices[0].message.content, "hello big world");
    assert.equal(r.choices[0].finish_reason, "stop");
    assert.deepEqual([r.usage.prompt_tokens, r.usage.completion_tokens, r.usage.total_tokens], [6, 3, 9]);
    assert.match(r._request_id, /^[0-9a-f]{32}$/);
  },
  async stream() {
    const { chunks, text } = await gather(
      await client.chat.completions.create({ model: "echo", stream: true, messages: user("hello big world") }));
    assert.equal(text, "hello big world");
    assert.equal(chunks[0].choices[0].delta.role, "assistant");
    assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
    assert.ok(chunks.every((c) => c.object === "chat.completion.chunk" && c.id === chunks[0].id && c.created === chunks[0].created));
    assert.ok(chunks.every((c) => c.usage == null));
  },
  async stream_usage() {
    const { chunks, text } = await gather(await client.chat.completions.create(
      { model: "echo", stream: true, stream_options: { include_usage: true }, messages: user("hello big world") }));
    assert.equal(text, "hello big world");
    const last = chunks.at(-1);
    assert.deepEqual(last.choices, []);
    assert.equal(last.usage.total_tokens, 9);
    assert.ok(chunks.slice(0, -1).every((c) => c.usage === null));
  },
  async completions() {
    const r = await client.completions.create({ model: "echo", prompt: "hello big world" });
    assert.equal(r.object, "text_completion");
    assert.match(r.id, /^cmpl-/);
    assert.deepEqual(r.choices, [{ index: 0, text: "hello big world", logprobs: null, finish_reason: "stop" }]);
    const chunks = [];
    for await (const chunk of await client.completions.create({ model: "echo", prompt: "hello big world", stream: true })) chunks.push(chunk);
    assert.equal(chunks.map((c) => c.choices[0].text).join(""), "hello big world");
    assert.equal(chunks.at(-1).choices[0].finish_reason, "stop");
    assert.ok(chunks.every((c) => c.object === "text_completion" && c.id === chunks[0].id));
    await fails(client.completions.create({ model: "echo", prompt: [] }), OpenAI.BadRequestError,
      (e) => assert.deepEqual([e.code, e.param], ["invalid_value", "prompt"]));
  },
  async embeddings() {
    // As the SDK is by default it asks for base64 and decodes it.
    const r = await client.embeddings.create({ model: "echo", input: ["a bc", "def"] });
    assert.equal(r.object, "list");
    assert.equal(r.model, "echo");
    assert.deepEqual(r.data.map((e) => [e.index, ...e.embedding]), [[0, 4, 2, 0, 1], [1, 3, 1, 1, 1]]);
    assert.deepEqual(r.usage, { prompt_tokens: 7, total_tokens: 7 });
    const f = await client.embeddings.create({ model: "echo", input: [5, 6], encoding_format: "float", dimensions: 6 });
    assert.deepEqual(f.data[0].embedding, [2, 2, 0, 1, 1, 1]);
    await fails(client.embeddings.create({ model: "echo", input: "" }), OpenAI.BadRequestError,
      (e) => assert.deepEqual([e.code, e.param], ["invalid_value", "input"]));
    await fails(client.embeddings.create({ model: "broken", input: "x" }), OpenAI.InternalServerError,
      (e) => assert.equal(e.code, "upstream_error"));
  },
  async dialects() {
    for (const model of ["deepseek-flash", "vllm", "llama", "ollama"]) {
      const { chunks, text } = await gather(await client.chat.completions.create(
        { model, stream: true, stream_options: { include_usage: true }, messages: user("one two") }));
      assert.equal(text, "one two", model);
      assert.ok(chunks.some((c) => c.choices[0]?.finish_reason === "stop"), model);
      assert.equal(chunks.filter((c) => c.usage).length, 1, model);
      const r = await client.chat.completions.create({ model, messages: user("one two") });
      assert.equal(r.choices[0].message.content, "one two", model);
    }
    const r = await client.chat.completions.create({ model: "deepseek-flash", messages: user("one two") });
    assert.ok(r.choices[0].message.reasoning_content.length > 0);
    assert.equal(r.usage.prompt_tokens, r.usage.prompt_cache_hit_tokens + r.usage.prompt_cache_miss_tokens);
  },
  async tools() {
    const tools = [{ type: "function", function: { name: "tool_0", parameters: { type: "object", properties: { n: { type: "integer" } } } } }];
    const r = await client.chat.completions.create({ model: "tools", tools, messages: user("use them") });
    assert.deepEqual(r.choices[0].message.tool_calls.map((c) => [c.id, c.function.name, JSON.parse(c.function.arguments).n]),
      [["call_0", "tool_0", 0], ["call_1", "tool_1", 1]]);
    const { chunks } = await gather(await client.chat.completions.create({ model: "tools", stream: true, tools, messages: user("use them") }));
    const calls = chunks.flatMap((c) => c.choices[0]?.delta?.tool_calls ?? []);
    assert.ok(chunks.every((c) => (c.choices[0]?.delta?.tool_calls ?? []).length <= 1), "one tool call a chunk");
    assert.deepEqual([...new Set(calls.map((c) => c.index))], [0, 1]);
    // The next turn: the calls and their results go back.
    const next = await client.chat.completions.create({
      model: "echo", tools, messages: [...user("use them"), r.choices[0].message,
        { role: "tool", tool_call_id: "call_0", content: "42" }, { role: "tool", tool_call_id: "call_1", content: "43" }],
    });
    assert.equal(next.choices[0].message.content, "43");
  },
  async turns() {
    const r = await client.chat.completions.create({
      model: "echo", messages: [{ role: "developer", content: "Be brief." }, ...user("first"),
        { role: "assistant", content: "an answer" }, ...user([{ type: "text", text: "second" }])],
    });
    assert.equal(r.choices[0].message.content, "second");
    assert.equal(r.usage.prompt_tokens > 6, true);
  },
  async unicode() {
    const text = "Grüße 你好 😀 \u2028 \"quoted\" \\ tab\tend é";
    const r = await client.chat.completions.create({ model: "echo", messages: user(text) });
    assert.equal(r.choices[0].message.content, text);
    const s = await gather(await client.chat.completions.create({ model: "echo", stream: true, messages: user(text + "[[split=1]]") }));
    assert.equal(s.text, text);
  },
  async abort() {
    const stream = await client.chat.completions.create({ model: "echo-long", stream: true, messages: user("go on") });
    let n = 0;
    for await (const chunk of stream) {
      if (chunk.choices[0]?.delta?.content && ++n === 3) break; // the SDK closes the connection
    }
    assert.equal(n, 3);
  },
  async abort_whole() {
    const controller = new AbortController();
    setTimeout(() => controller.abort(), 300);
    await fails(client.chat.completions.create({ model: "echo-long", messages: user("go on") }, { signal: controller.signal }),
      OpenAI.APIUserAbortError, () => {});
  },
  async models() {
    const list = await client.models.list();
    assert.ok(list.data.some((m) => m.id === "echo" && m.object === "model" && Number.isInteger(m.created)));
    assert.equal((await client.models.retrieve("echo")).id, "echo");
    await fails(client.models.retrieve("nonesuch"), OpenAI.NotFoundError, (e) => assert.equal(e.code, "model_not_found"));
  },
  async error_401() {
    const stranger = new OpenAI({ apiKey: "im-nobodyknowsthiskey", maxRetries: 0 });
    await fails(stranger.chat.completions.create({ model: "echo", messages: user("hi") }), OpenAI.AuthenticationError, (e) => {
      assert.equal(e.code, "invalid_api_key");
      assert.ok(!e.message.includes("nobodyknowsthis"), "the key is masked");
    });
  },
  async error_404() {
    await fails(client.chat.completions.create({ model: "gpt-nonesuch", messages: user("hi") }), OpenAI.NotFoundError, (e) => {
      assert.equal(e.code, "model_not_found");
      assert.ok(e.message.includes("The model `gpt-nonesuch` does not exist or you do not have access to it."));
    });
  },
  async error_400() {
    await fails(client.chat.completions.create({ model: "echo" }), OpenAI.BadRequestError, (e) => {
      assert.equal(e.code, "missing_required_parameter");
      assert.equal(e.param, "messages");
    });
    await fails(client.chat.completions.create({ model: "echo", messages: [{ role: "wizard", content: "x" }] }),
      OpenAI.BadRequestError, (e) => assert.equal(e.param, "messages[0].role"));
    await fails(client.chat.completions.create({ model: "echo", temperature: "hot", messages: user("x") }),
      OpenAI.BadRequestError, (e) => assert.deepEqual([e.param, e.code], ["temperature", "invalid_type"]));
  },
  async error_413() {
    await fails(client.chat.completions.create({ model: "echo", messages: user("x".repeat(12 << 20)) }), OpenAI.APIError, (e) => {
      assert.equal(e.status, 413);
      assert.equal(e.code, "request_too_large");
    });
  },
  async error_429() {
    await fails(client.chat.completions.create({ model: "limit", messages: user("hi") }), OpenAI.RateLimitError, (e) => {
      assert.equal(e.code, "rate_limit_exceeded");
      assert.equal(e.headers.get("retry-after"), "7");
    });
  },
  async rate_limited() {
    const hi = { model: "echo", messages: user("hi") };
    const poor = new OpenAI({ apiKey: process.env.POOR_KEY, maxRetries: 0 });
    await fails(poor.chat.completions.create({ ...hi, max_tokens: 5000 }), OpenAI.BadRequestError, (e) => {
      assert.deepEqual([e.code, e.param, e.headers.get("x-should-retry")], ["request_exceeds_limit", "max_tokens", "false"]);
    });
    for (const left of ["1", "0"]) { // what was refused has cost nothing
      const { data, response } = await poor.chat.completions.create(hi).withResponse();
      assert.equal(data.choices[0].message.content, "hi");
      assert.equal(response.headers.get("x-ratelimit-limit-requests"), "2");
      assert.equal(response.headers.get("x-ratelimit-remaining-requests"), left);
      assert.equal(response.headers.get("x-ratelimit-limit-tokens"), "4000");
      assert.match(response.headers.get("x-ratelimit-reset-requests"), /^\d+(\.\d+)?s$/);
    }
    for (const stream of [false, true]) {
      await fails(poor.chat.completions.create({ ...hi, stream }), OpenAI.RateLimitError, (e) => {
        assert.deepEqual([e.status, e.type, e.code], [429, "requests", "rate_limit_exceeded"]);
        assert.match(e.message, /Rate limit reached for requests of key `poor`/);
        assert.equal(e.headers.get("x-ratelimit-remaining-requests"), "0");
        assert.ok(Number(e.headers.get("retry-after-ms")) <= 3000);
      });
    }
    // As the SDK is by default: it waits as long as it is told, and then it is its turn.
    const patient = new OpenAI({ apiKey: process.env.POOR_KEY });
    assert.equal((await patient.chat.completions.create(hi)).choices[0].message.content, "hi");
  },
  async error_500() {
    await fails(client.chat.completions.create({ model: "broken", messages: user("hi") }), OpenAI.InternalServerError, (e) => {
      assert.equal(e.status, 502);
      assert.equal(e.code, "upstream_error");
    });
  },
  async error_upstream_key() {
    await fails(client.chat.completions.create({ model: "locked", messages: user("hi") }), OpenAI.InternalServerError,
      (e) => assert.equal(e.code, "upstream_error"));
  },
  async error_context() {
    await fails(client.chat.completions.create({ model: "overlong", messages: user("hi") }), OpenAI.BadRequestError, (e) => {
      assert.equal(e.code, "context_length_exceeded");
      assert.match(e.message, /maximum context length/);
    });
  },
  async cut() {
    for (const model of ["cut", "reset", "error", "nodone"]) {
      const seen = [];
      await fails((async () => {
        const stream = await client.chat.completions.create({ model, stream: true, messages: user("hi there you") });
        for await (const c of stream) seen.push(c);
      })(), OpenAI.APIError, (e) => assert.ok(e.message.length > 0, model));
      await fails(client.chat.completions.create({ model, messages: user("hi there you") }), OpenAI.APIError,
        (e) => assert.ok(e.status >= 500, `${model}: ${e.status}`));
    }
  },
  async retry() {
    // As the SDK is by default: it tries a 429 again after the time that it was told.
    const patient = new OpenAI({ maxRetries: 1 });
    const begin = Date.now();
    await fails(patient.chat.completions.create({ model: "echo", messages: user("[[status=429 retry-after-ms=200]]") }),
      OpenAI.RateLimitError, () => assert.ok(Date.now() - begin >= 200));
  },
};

const name = process.argv[2];
if (!cases[name]) {
  console.error(`no case '${name}'; there are: ${Object.keys(cases).join(" ")}`);
  process.exit(2);
}
try {
  await cases[name]();
} catch (error) {
  console.error(error);
  process.exit(1);
}

// sdk.mjs - the openai SDK streams one answer of the model 'demo' through OPENAI_BASE_URL and prints it.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(new URL("../clients/cases.mjs", import.meta.url));
const { default: OpenAI } = await import(pathToFileURL(require.resolve("openai")));
const client = new OpenAI({ maxRetries: 0, timeout: 30_000 });
const stream = await client.chat.completions.create({
  model: "demo", stream: true, messages: [{ role: "user", content: "Where is my order A12345?" }] });
let chunks = 0;
for await (const chunk of stream) {
  chunks++;
  process.stdout.write(chunk.choices[0]?.delta?.content ?? "");
}
if (chunks < 3) throw new Error(`only ${chunks} chunks`);

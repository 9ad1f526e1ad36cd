// Drives what OpenAI's client for Node can do against a server; says what it drove as JSON.
// Run as `node drive.mjs FOLDER URL KEY LIMITED_KEY SLOW_URL`; FOLDER holds its node_modules.
import assert from "node:assert/strict";
import { createReadStream, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [folder, baseURL, apiKey, limitedKey, slowURL] = process.argv.slice(2);
const root = join(folder, "node_modules", "openai");
const { default: OpenAI, toFile } = await import(pathToFileURL(join(root, "index.mjs")));
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const called = new Set();
const left = new Set();

function watch(resource, path) {
  const prototype = Object.getPrototypeOf(resource);
  for (const name of Object.getOwnPropertyNames(prototype)) {
    if (name === "constructor" || name.startsWith("_")) continue;
    const method = prototype[name];
    left.add(`${path}.${name}`);
    prototype[name] = function (...given) {
      called.add(`${path}.${name}`);
      left.delete(`${path}.${name}`);
      return method.apply(this, given);
    };
  }
}

async function refused(made, type, status, expected = {}) {
  const error = await Promise.resolve(made).then(
    () => assert.fail(`nothing was refused; expected ${type.name}`),
    (error) => error,
  );
  assert.equal(error.constructor, type, String(error));
  assert.equal(error.status, status);
  assert.ok(error.requestID);
  assert.deepEqual(Object.keys(error.error).sort(), ["code", "message", "param", "type"]);
  for (const [name, value] of Object.entries(expected)) assert.equal(error.error[name], value);
}

async function all(pages) {
  const found = [];
  for await (const one of pages) found.push(one);
  return found;
}

async function ended(id) {
  for (;;) {
    const batch = await client.batches.retrieve(id);
    if (["completed", "failed", "expired", "cancelled"].includes(batch.status)) return batch;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

const lines = Array.from({ length: 40 }, (_, number) =>
  JSON.stringify({
    custom_id: `c${number}`,
    method: "POST",
    url: "/v1/chat/completions",
    body: { model: "m1", messages: [{ role: "user", content: `line ${number}` }] },
  }),
).join("\n") + "\n";
const named = () => toFile(Buffer.from(lines), "lines.jsonl");
const words = { endpoint: "/v1/chat/completions", completion_window: "24h" };

async function driveModels() {
  const names = (await all(client.models.list())).map((one) => one.id);
  assert.ok(names.includes("m1") && names.includes("m2"));
  assert.equal((await client.models.retrieve("m1")).id, "m1");
  await refused(client.models.retrieve("none"), OpenAI.NotFoundError, 404, {
    code: "model_not_found",
  });
  await refused(client.models.delete("m1"), OpenAI.APIError, 405);
}

async function driveFiles() {
  const path = join(mkdtempSync(join(tmpdir(), "drive-")), "lines.jsonl");
  writeFileSync(path, lines);
  const month = { anchor: "created_at", seconds: 2592000 };
  const made = [
    await client.files.create({ file: await named(), purpose: "batch" }),
    await client.files.create({ file: createReadStream(path), purpose: "batch" }),
    await client.files.create({ file: await named(), purpose: "batch", expires_after: month }),
  ];
  const ids = made.map((one) => one.id);
  assert.equal(made[1].filename, "lines.jsonl");
  assert.equal(made[2].expires_at - made[2].created_at, month.seconds);
  const listed = (await all(client.files.list({ limit: 2 }))).map((one) => one.id);
  assert.deepEqual(listed.slice(0, 3), ids.toReversed());
  assert.deepEqual(await client.files.retrieve(ids[0]), await client.files.waitForProcessing(ids[0]));
  assert.equal(await (await client.files.content(ids[1])).text(), lines);
  const { data, response, request_id } = await client.files.list({ limit: 1 }).withResponse();
  assert.equal(data.data.length, 1);
  assert.equal(response.headers.get("x-request-id"), request_id);
  assert.equal(response.headers.get("openai-version"), "2020-10-01");
  for (const id of ids) assert.ok((await client.files.delete(id)).deleted);
  await refused(client.files.delete(ids[0]), OpenAI.NotFoundError, 404);
  await refused(
    client.files.create({ file: await named(), purpose: "none" }), OpenAI.BadRequestError, 400,
    { code: "invalid_value" },
  );
}

async function driveBatches() {
  const file = await client.files.create({ file: await named(), purpose: "batch" });
  const asked = { input_file_id: file.id, ...words };
  const made = await client.batches.create({ ...asked, metadata: { who: "node" } });
  const batch = await ended(made.id);
  assert.equal(batch.status, "completed");
  assert.deepEqual(batch.metadata, { who: "node" });
  assert.deepEqual(batch.request_counts, { total: 40, completed: 40, failed: 0 });
  const output = await (await client.files.content(batch.output_file_id)).text();
  assert.equal(output.trimEnd().split("\n").length, 40);
  assert.equal((await all(client.batches.list({ limit: 2 })))[0].id, batch.id);
  await refused(client.batches.cancel(batch.id), OpenAI.ConflictError, 409);
  // Of a model that takes a minute, so that none ends before its cancel comes.
  const thought = await toFile(Buffer.from(lines.replaceAll('"m1"', '"thinker"')), "slow.jsonl");
  const slow = await client.files.create({ file: thought, purpose: "batch" });
  const running = await client.batches.create({ ...asked, input_file_id: slow.id });
  const cancelled = await client.batches.cancel(running.id);
  assert.equal((await ended(cancelled.id)).status, "cancelled");
  await refused(client.batches.retrieve("batch_none"), OpenAI.NotFoundError, 404);
}

async function driveUploads() {
  const asked = { filename: "x.jsonl", purpose: "batch", mime_type: "application/jsonl" };
  const bytes = Buffer.byteLength(lines);
  const upload = await client.uploads.create({ bytes, ...asked });
  const parts = [lines.slice(0, 100), lines.slice(100)];
  const part_ids = [];
  for (const part of parts) {
    const data = await toFile(Buffer.from(part), "part");
    part_ids.push((await client.uploads.parts.create(upload.id, { data })).id);
  }
  const done = await client.uploads.complete(upload.id, { part_ids });
  assert.equal(done.status, "completed");
  assert.equal(await (await client.files.content(done.file.id)).text(), lines);
  const other = await client.uploads.create({ bytes, ...asked });
  assert.equal((await client.uploads.cancel(other.id)).status, "cancelled");
}

async function driveWebhooks() {
  let arrive;
  const arrived = new Promise((resolve) => (arrive = resolve));
  const receiver = createServer((request, response) => {
    let body = "";
    request.on("data", (chunk) => (body += chunk));
    request.on("end", () => {
      response.end();
      arrive({ body, headers: request.headers });
    });
  }).listen(0, "127.0.0.1");
  await once(receiver, "listening");
  const url = `http://127.0.0.1:${receiver.address().port}/hook`;
  const body = { name: "node", url, event_types: ["batch.completed"] };
  const endpoint = await client.post("/webhook_endpoints", { body });
  const file = await client.files.create({ file: await named(), purpose: "batch" });
  const batch = await client.batches.create({ input_file_id: file.id, ...words });
  const came = await arrived;
  const secret = endpoint.signing_secret;
  const event = await client.webhooks.unwrap(came.body, came.headers, secret);
  assert.equal(event.type, "batch.completed");
  assert.equal(event.data.id, batch.id);
  await client.webhooks.verifySignature(came.body, came.headers, secret);
  await assert.rejects(client.webhooks.unwrap(`${came.body} `, came.headers, secret));
  await client.delete(`/webhook_endpoints/${endpoint.id}`);
  receiver.closeAllConnections();
  receiver.close();
}

async function driveRefusals() {
  const wrong = client.withOptions({ apiKey: "wrong" });
  await refused(wrong.models.list(), OpenAI.AuthenticationError, 401, { code: "invalid_api_key" });
  const limited = client.withOptions({ apiKey: limitedKey });
  await limited.files.list();
  await refused(limited.batches.list(), OpenAI.PermissionDeniedError, 403);
  const slow = client.withOptions({ baseURL: slowURL });
  await slow.models.list().catch(() => undefined);
  await refused(slow.models.list(), OpenAI.RateLimitError, 429, { code: "rate_limit_exceeded" });
}

for (const name of ["files", "batches", "models", "uploads", "webhooks"]) {
  watch(client[name], name);
}
watch(client.uploads.parts, "uploads.parts");
for (const drive of [
  driveModels, driveFiles, driveBatches, driveUploads, driveWebhooks, driveRefusals,
]) {
  await drive();
}
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf-8"));
console.log(JSON.stringify({ version, called: [...called].sort(), left: [...left].sort() }));

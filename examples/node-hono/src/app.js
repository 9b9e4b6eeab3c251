// The routes: one for each thing that web apps do.
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { Hono } from "hono";
import { getCookie, setCookie } from "hono/cookie";
import { stream } from "hono/streaming";

// Read once while the app loads, as settings usually are.
const greeting = process.env.GREETING ?? "Hello";
const page = await readFile(new URL("./page.html", import.meta.url), "utf8");
const LARGE_BYTES_MAX = 256 * 1024 * 1024;
const CHUNK = new TextEncoder().encode("a".repeat(64 * 1024));

const app = new Hono();

app.get("/", (c) => c.html(page.replaceAll("{greeting}", greeting)));

app.get("/hello", (c) => c.text(`Hello, ${c.req.query("name") ?? "World"}!`));

app.post("/echo", async (c) => {
  const body = await c.req.arrayBuffer();
  return c.body(body, 200, { "Content-Type": c.req.header("content-type") ?? "application/octet-stream" });
});

app.get("/cookies", (c) => {
  const visits = Number(getCookie(c, "visits") ?? 0) + 1;
  setCookie(c, "visits", String(visits), { httpOnly: true });
  return c.text(`visits=${visits}`);
});

app.get("/large", (c) => {
  const count = Math.min(Math.max(Number.parseInt(c.req.query("bytes") ?? "0", 10) || 0, 0), LARGE_BYTES_MAX);
  c.header("Content-Type", "text/plain");
  return stream(c, async (out) => {
    for (let left = count; left > 0; left -= CHUNK.length) await out.write(left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK);
  });
});

app.get("/environment", (c) => {
  const value = process.env[c.req.query("name") ?? ""];
  return value === undefined ? c.text("not set", 404) : c.text(value);
});

app.get("/random", (c) => c.json({ uuid: randomUUID(), random: Math.random(), time: Date.now() }));

app.get("/lazy", async (c) => {
  const { answer } = await import("./lazy.js");
  return c.text(answer());
});

app.get("/error", () => {
  throw new Error("this route always fails");
});

app.get("/crash", () => {
  process.exit(1);
});

export default app;

// An ordinary Express app: one route for each thing that web apps do.
const crypto = require("node:crypto");
const path = require("node:path");
const { Readable } = require("node:stream");
const cookieParser = require("cookie-parser");
const express = require("express");

// Read once while the app loads, as settings usually are.
const greeting = process.env.GREETING || "Hello";
const LARGE_BYTES_MAX = 256 * 1024 * 1024;
const CHUNK = Buffer.alloc(64 * 1024, "a");

const app = express();
app.set("view engine", "ejs");
app.set("views", path.join(__dirname, "views"));
app.disable("x-powered-by");
app.use("/static", express.static(path.join(__dirname, "public")));
app.use(cookieParser());

app.get("/", (request, response) => {
  response.render("index", { greeting, hello: "Hello from Express" });
});

app.get("/hello", (request, response) => {
  response.type("text/plain").send(`Hello, ${request.query.name || "World"}!`);
});

app.post("/echo", express.raw({ type: () => true, limit: "64mb" }), (request, response) => {
  response.setHeader("Content-Type", request.headers["content-type"] || "application/octet-stream");
  response.end(Buffer.isBuffer(request.body) ? request.body : "");
});

app.post("/json", express.json(), (request, response) => {
  response.status(201).json({ received: request.body });
});

app.get("/cookies", (request, response) => {
  const visits = Number(request.cookies.visits || 0) + 1;
  response.cookie("visits", String(visits), { httpOnly: true });
  response.type("text/plain").send(`visits=${visits}`);
});

function* letters(count) {
  for (let left = count; left > 0; left -= CHUNK.length) yield left < CHUNK.length ? CHUNK.subarray(0, left) : CHUNK;
}

app.get("/large", (request, response) => {
  const count = Math.min(Math.max(Number.parseInt(request.query.bytes, 10) || 0, 0), LARGE_BYTES_MAX);
  response.set({ "Content-Type": "text/plain", "Content-Length": String(count) });
  Readable.from(letters(count), { objectMode: false }).pipe(response);
});

app.get("/file", (request, response) => {
  response.sendFile(path.join(__dirname, "public", "style.css"));
});

app.get("/environment", (request, response) => {
  const value = process.env[request.query.name];
  if (value === undefined) response.status(404).type("text/plain").send("not set");
  else response.type("text/plain").send(value);
});

app.get("/random", (request, response) => {
  response.json({ uuid: crypto.randomUUID(), random: Math.random(), time: Date.now() });
});

app.get("/error", () => {
  throw new Error("this route always fails");
});

app.get("/crash", () => {
  process.exit(1);
});

const port = process.env.PORT || 3000;
app.listen(port, () => console.log(`listening on ${port}`));

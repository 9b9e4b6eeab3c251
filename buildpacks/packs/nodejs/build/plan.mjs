// Writes `.dyno/process-types.toml` and `.dyno/release.yml`: which process types there are, and what `node` runs for each.
//
// usage: node plan.mjs check BUILD_DIR | node plan.mjs write BUILD_DIR BASE.wasm
import fs from "node:fs";
import path from "node:path";
import { CommandRefused, understand } from "./command.mjs";

const PACK_VERSION = "0.1.0";
const HANDLER = "wasi:http/proxy@0.2";
const COMMAND = "wasi:cli/command@0.2";
const MAIN_FILES = ["server.js", "index.js", "app.js", "server.mjs", "index.mjs", "app.mjs", "src/server.js", "src/index.js", "src/app.js"];

const [, , mode, app, base] = process.argv;

function fail(...lines) {
  for (const line of lines) console.error(` !     ${line}`);
  process.exit(1);
}

function readManifest() {
  try {
    const manifest = JSON.parse(fs.readFileSync(path.join(app, "package.json"), "utf8"));
    if (manifest && typeof manifest === "object" && !Array.isArray(manifest)) return manifest;
    return fail("package.json is not an object");
  } catch (error) {
    return fail(`package.json cannot be read: ${error.message}`, "hint: check it: node -e 'require(\"./package.json\")'");
  }
}

/** The Procfile's lines as [name, command]. */
function procfile() {
  const file = path.join(app, "Procfile");
  if (!fs.existsSync(file)) return [];
  const lines = [];
  fs.readFileSync(file, "utf8").split(/\r?\n/).forEach((line, i) => {
    if (!line.trim() || line.trim().startsWith("#")) return;
    const match = /^\s*([A-Za-z0-9_-]{1,30})\s*:\s*(.+?)\s*$/.exec(line);
    if (!match) fail(`Procfile line ${i + 1} is not a process: ${line.trim()}`, "hint: a line is `name: command`");
    if (lines.some(([name]) => name === match[1])) fail(`Procfile names the process "${match[1]}" twice`, "hint: remove one of them");
    lines.push([match[1], match[2]]);
  });
  return lines;
}

function defaultWeb(manifest) {
  if (manifest.scripts?.start) return "npm start";
  const candidates = [manifest.main, ...MAIN_FILES].filter(Boolean);
  const found = candidates.find((name) => fs.existsSync(path.join(app, name)) && fs.statSync(path.join(app, name)).isFile());
  return found && `node ${found}`;
}

/** Says which Node the app finds, and whether that is the one it asks for. */
function check() {
  const emulated = process.env.NODE_EMULATED_VERSION ?? "";
  const wanted = readManifest().engines?.node;
  console.log(`       engines.node (package.json): ${wanted ?? "unspecified"}`);
  console.log(`       Apps find Node.js ${emulated} in the dyno; the build runs on Node.js ${process.versions.node}`);
  const exact = /^\s*[v=^~]?\s*(\d+)(?:\.[\dx*]+)*\s*$/.exec(wanted ?? "");
  if (exact && exact[1] !== emulated.split(".")[0]) console.log(` !     This app asks for Node.js ${wanted}; it runs as ${emulated}, the only version there is.`);
}

/** A TOML basic string; JSON's escapes are a subset of TOML's except for DEL. */
const quote = (text) => JSON.stringify(text).replaceAll("\x7f", "\\u007F");

function table(name, command, manifest) {
  const { args, environment } = understand(command, app, manifest);
  const web = name === "web";
  const rows = [`component = ${quote(base)}`, `world = ${quote(web ? HANDLER : COMMAND)}`];
  if (web) rows.push('arguments = []', 'boot = "release"', 'reuse = "instance"');
  else rows.push(`arguments = [${["node", ...args].map(quote).join(", ")}]`);
  const variables = { NODE_ENV: "production", ...environment, ...(web && { DYNO_NODE_ARGUMENTS: JSON.stringify(args) }) };
  const lines = Object.keys(variables).sort().map((key) => `${key} = ${quote(variables[key])}`);
  return `\n[process.${name}]\n${rows.join("\n")}\n[process.${name}.environment]\n${lines.join("\n")}\n`;
}

function write() {
  const manifest = readManifest();
  const lines = procfile();
  let web;
  if (!lines.some(([name]) => name === "web")) {
    web = defaultWeb(manifest);
    if (!web && !lines.length) fail("nothing says what to start: no Procfile, no start script, no main file", "hint: add a Procfile: web: node server.js");
  }
  const head = `format = 1\n\n[buildpack]\nname = "nodejs"\nversion = ${quote(PACK_VERSION)}\n`;
  const tables = [...lines, ...(web ? [["web", web]] : [])].map(([name, command]) => {
    try {
      return table(name, command, manifest);
    } catch (error) {
      if (error instanceof CommandRefused) return fail(`${name}: ${error.message}`, `hint: ${error.hint}`);
      throw error;
    }
  });
  fs.writeFileSync(path.join(app, ".dyno/process-types.toml"), head + tables.join(""));
  const defaults = web ? `default_process_types:\n  web: ${quote(web)}\n` : "default_process_types: {}\n";
  fs.writeFileSync(path.join(app, ".dyno/release.yml"), `addons: []\nconfig_vars: {}\n${defaults}`);
  if (web) console.log(`       Default types: web (${web})`);
}

if (mode === "check" && app) check();
else if (mode === "write" && app && base) write();
else fail("usage: node plan.mjs check BUILD_DIR | write BUILD_DIR BASE.wasm");

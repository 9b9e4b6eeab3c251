// Goes through an app's files and leaves, under `.dyno/node/`, the converted form of those that the engine cannot run as they are.
//
// usage: node slug.mjs TOOLS_DIR BUILD_DIR
import fs from "node:fs";
import { builtinModules } from "node:module";
import path from "node:path";
import { Resolver } from "../runtime/loader/resolve.js";
import { ASYNC, CONVERTED, Converter, MODULE } from "./convert.mjs";

const FILES_MAX = 200_000;
const FILE_BYTES_MAX = 8 * 1024 * 1024;
const DEPTH_MAX = 64;
const SKIPPED = new Set([".dyno", ".git", ".bin", ".cache"]);

const [, , tools, app] = process.argv.map((word, i) => (i > 1 ? path.resolve(word) : word));
const converter = new Converter(tools);
const resolver = new Resolver(
  {
    isFile: (file) => fs.statSync(file, { throwIfNoEntry: false })?.isFile() ?? false,
    isDirectory: (folder) => fs.statSync(folder, { throwIfNoEntry: false })?.isDirectory() ?? false,
    readText: (file) => (fs.existsSync(file) ? fs.readFileSync(file, "utf8") : null),
    realPath: (folder) => fs.realpathSync(folder),
  },
  new Set(builtinModules),
);

function fail(...lines) {
  for (const line of lines) console.error(` !     ${line}`);
  process.exit(1);
}

/** Every script of the app, in a fixed order. Links are not followed: what they lead to is met where it lies. */
function scripts(folder, depth = 0, found = []) {
  if (depth > DEPTH_MAX) fail(`${path.relative(app, folder)} lies more than ${DEPTH_MAX} folders deep`);
  const entries = fs.readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  for (const entry of entries) {
    const file = path.join(folder, entry.name);
    if (entry.isDirectory()) {
      if (!SKIPPED.has(entry.name)) scripts(file, depth + 1, found);
    } else if (entry.isFile() && /\.[cm]?js$/.test(entry.name) && fs.statSync(file).size <= FILE_BYTES_MAX) {
      if (found.length >= FILES_MAX) fail(`the app has more than ${FILES_MAX} scripts`);
      found.push(file);
    }
  }
  return found;
}

function describe(file) {
  const relative = path.relative(app, file);
  const own = !relative.split(path.sep).includes("node_modules");
  const code = fs.readFileSync(file, "utf8");
  let esm = false;
  try {
    esm = resolver.formatOf(file) === "esm";
    esm ||= file.endsWith(".js") && own && !resolver.scope(file)?.manifest.type && converter.looksLikeModule(code);
  } catch (error) {
    if (own) fail(error.message);
  }
  return { file, relative, own, code, esm, asynchronous: false };
}

/** Marks the modules with a top-level await, and all that import them. */
function markAsynchronous(modules) {
  const importers = new Map();
  const open = [];
  for (const module of modules) {
    try {
      if (converter.awaitsAtTop(module.code)) open.push(module);
    } catch {
      // Reported, or not, where it is converted.
    }
  }
  if (!open.length) return;
  for (const module of modules) {
    for (const id of attempt(() => converter.importsOf(module.code)) ?? []) {
      const target = attempt(() => resolver.resolve(id, module.file, true));
      if (target) importers.set(target, [...(importers.get(target) ?? []), module]);
    }
  }
  while (open.length) {
    const module = open.pop();
    if (module.asynchronous) continue;
    module.asynchronous = true;
    open.push(...(importers.get(module.file) ?? []));
  }
}

function attempt(operation) {
  try {
    return operation();
  } catch {
    return undefined;
  }
}

async function convert({ relative, own, code, esm, asynchronous }) {
  try {
    return esm ? await converter.module(code, own, asynchronous, relative) : converter.commonjs(code, own);
  } catch (error) {
    // Packages carry broken files (test fixtures, other dialects); only those the app really loads matter, at run time.
    const text = error.errors?.[0]?.text ?? error.message;
    if (own) console.log(` !     ${relative}: ${text}`);
    return undefined;
  }
}

const all = scripts(app).map(describe);
markAsynchronous(all.filter((module) => module.esm));
const index = {};
for (const module of all) {
  const text = await convert(module);
  if (text === undefined) continue;
  const target = path.join(app, ".dyno/node", module.relative);
  fs.mkdirSync(path.dirname(target), { recursive: true });
  fs.writeFileSync(target, text);
  index[module.relative] = module.asynchronous ? ASYNC : module.esm ? MODULE : CONVERTED;
}
fs.mkdirSync(path.join(app, ".dyno/node"), { recursive: true });
fs.writeFileSync(path.join(app, ".dyno/node/index.json"), JSON.stringify(index));
console.log(`       ${all.length} scripts, ${Object.keys(index).length} of them converted`);

// The module loader: compiles the app's own files and packages from its directory when they are asked for.
//
// CommonJS files run as they are. ES modules were turned into CommonJS beside the sources when the slug was made
// (`.dyno/node/`, with an index); importers see them, and CommonJS modules, through namespaces as Node makes them.
import path from "path";
import { builtins } from "../builtins.js";
import { watchPromise } from "../exceptions.js";
import { operations } from "../node/fs/operations.js";
import { Resolver } from "./resolve.js";

export const APP_ROOT = "/app";
const CONVERTED = `${APP_ROOT}/.dyno/node`;
// What the index says of a converted file; CommonJS files that were only touched up have 1.
const ASYNC = 2; // an ES module with a top-level await, or that imports one
const MODULE = 3; // any other ES module, also one that only its syntax tells
const builtinNames = new Set([...Object.keys(builtins), "module"]);

function quietly(operation) {
  try {
    return operation();
  } catch {
    return null;
  }
}
const files = {
  isFile: (file) => quietly(() => operations.stat(file).isFile()) ?? false,
  isDirectory: (folder) => quietly(() => operations.stat(folder).isDirectory()) ?? false,
  readText: (file) => quietly(() => operations.readFile(file, "utf8")),
  realPath: (folder) => quietly(() => operations.realpath(folder)) ?? folder,
};
export const resolver = new Resolver(files, builtinNames);

let index;
/** What the slug compiler did to a file: undefined when nothing. */
function conversionOf(file) {
  index ??= JSON.parse(files.readText(`${CONVERTED}/index.json`) ?? "{}");
  return file.startsWith(`${APP_ROOT}/`) ? index[file.slice(APP_ROOT.length + 1)] : undefined;
}

const isModule = (file, conversion) => conversion === ASYNC || conversion === MODULE || resolver.formatOf(file) === "esm";

// === modules ===

const cache = Object.create(null);
let mainModule;

export class Module {
  constructor(id = "", parent) {
    this.id = this.filename = id;
    this.path = path.dirname(id);
    this.exports = {};
    this.loaded = false;
    this.children = [];
    this.paths = nodeModulePaths(this.path);
    if (parent) parent.children.push(this);
    this.parent = parent;
  }
  require(id) { return load(resolver.resolve(id, this.filename), this); }
  _compile(source, file) {
    compile(source, file, this, false);
    return undefined;
  }
}

function nodeModulePaths(folder) {
  const paths = [];
  for (let at = folder; ; at = path.dirname(at)) {
    if (path.basename(at) !== "node_modules") paths.push(path.join(at, "node_modules"));
    if (at === "/" || at === ".") return paths;
  }
}

const namespaces = new WeakMap();
/** What `import * as` sees of a CommonJS module: its properties, and itself as `default`. */
function namespaceOf(exports) {
  if (exports === null || (typeof exports !== "object" && typeof exports !== "function")) return { default: exports, __esModule: true };
  let namespace = namespaces.get(exports);
  if (namespace) return namespace;
  namespace = Object.create(null);
  namespaces.set(exports, namespace);
  for (const key of Object.keys(exports)) if (key !== "default") Object.defineProperty(namespace, key, { enumerable: true, configurable: true, get: () => exports[key] });
  Object.defineProperty(namespace, "default", { value: exports, enumerable: true });
  Object.defineProperty(namespace, "__esModule", { value: true });
  return namespace;
}

/** Loads a resolved module for `require`, or (`esm`) for the require that an import was turned into. */
export function load(file, parent, esm = false) {
  if (file.startsWith("node:")) return esm ? namespaceOf(builtin(file)) : builtin(file);
  const known = cache[file];
  if (known) {
    if (known.evaluation && !known.loaded) throw asyncModule(file);
    return esm && !known.esm && known.loaded ? namespaceOf(known.exports) : known.exports;
  }
  const conversion = conversionOf(file);
  if (conversion === ASYNC) throw asyncModule(file);
  const module = register(file, parent);
  try {
    evaluate(module, conversion);
    module.loaded = true;
  } catch (error) {
    delete cache[file];
    throw error;
  }
  return esm && !module.esm ? namespaceOf(module.exports) : module.exports;
}
const asyncModule = (file) => Object.assign(new Error(`require() cannot be used on an ESM graph with top-level await. Use import() instead: ${file}`), { code: "ERR_REQUIRE_ASYNC_MODULE" });

function builtin(id) {
  const name = id.slice("node:".length);
  if (name === "module") return Module;
  if (!(name in builtins)) throw Object.assign(new Error(`No such built-in module: ${id}`), { code: "ERR_UNKNOWN_BUILTIN_MODULE" });
  return builtins[name];
}

function register(file, parent) {
  const module = new Module(file, parent);
  cache[file] = module;
  module.esm = isModule(file, conversionOf(file));
  return module;
}

function sourceOf(file, conversion, esm) {
  if (conversion) return operations.readFile(`${CONVERTED}/${file.slice(APP_ROOT.length + 1)}`, "utf8");
  if (esm) throw Object.assign(new Error(`${file} is an ES module that was not there when the slug was made`), { code: "ERR_UNKNOWN_MODULE_FORMAT" });
  return operations.readFile(file, "utf8");
}

function evaluate(module, conversion) {
  const { filename: file } = module;
  const handler = Module._extensions[path.extname(file)];
  if (handler && handler !== builtinExtension) return handler(module, file);
  if (file.endsWith(".json")) {
    module.exports = parseJson(file);
    return undefined;
  }
  if (file.endsWith(".node")) throw Object.assign(new Error(`the native addon ${file} cannot be loaded in WebAssembly`), { code: "ERR_DLOPEN_FAILED" });
  return compile(sourceOf(file, conversion, module.esm), file, module, module.esm, conversion);
}
function parseJson(file) {
  try {
    return JSON.parse(operations.readFile(file, "utf8").replace(/^\uFEFF/, ""));
  } catch (error) {
    error.message = `${file}: ${error.message}`;
    throw error;
  }
}

/** Runs source text as a module. Answers a promise for an asynchronous one. */
function compile(source, file, module, esm, conversion) {
  let text = source.startsWith("#!") ? `//${source}` : source;
  // The engine's own `import()` knows nothing of files. Converted sources have this done already.
  if (!conversion && text.includes("import")) text = text.replace(/(?<![.\w$])import\s*\(/g, "__dyno_import(");
  const head = `(${conversion === ASYNC ? "async " : ""}function (exports, require, module, __filename, __dirname, __dyno_import, __dyno_meta, __dyno_watch, __dyno_await) {`;
  const run = (0, eval)(`${head}${text}\n})\n//# sourceURL=${file}`);
  const require = requireOf(file, module, esm);
  return run.call(esm ? undefined : module.exports, module.exports, require, module, file, path.dirname(file), importOf(file), esm ? metaOf(file) : undefined, watchPromise, (id) => importForAsync(id, module));
}

function requireOf(file, module, esm) {
  const require = (id) => load(resolver.resolve(id, file, esm), module, esm);
  require.resolve = (id, options) => {
    const from = options?.paths?.length ? path.join(path.resolve(path.dirname(file), options.paths[0]), "x.js") : file;
    return resolver.resolve(id, from, esm).replace(/^node:/, "");
  };
  require.resolve.paths = (id) => (builtinNames.has(id) ? null : nodeModulePaths(path.dirname(file)));
  require.cache = cache;
  require.extensions = Module._extensions;
  require.main = mainModule;
  return require;
}

function metaOf(file) {
  const resolve = (id) => {
    const found = resolver.resolve(id, file, true);
    return found.startsWith("node:") ? found : `file://${encodeURI(found)}`;
  };
  return { url: `file://${encodeURI(file)}`, filename: file, dirname: path.dirname(file), resolve, main: mainModule?.filename === file };
}

// === asynchronous modules ===

const importOf = (from) => async (id) => importFile(resolver.resolve(String(id), from, true));

/** `import()` of a resolved module: its namespace, once it has run. */
export async function importFile(file) {
  if (file.startsWith("node:")) return load(file, undefined, true);
  const known = cache[file];
  if (!known && conversionOf(file) === ASYNC) await startAsync(file);
  else if (known?.evaluation) await known.evaluation;
  return load(file, undefined, true);
}

function startAsync(file, parent) {
  const module = register(file, parent);
  module.evaluation = Promise.resolve(evaluate(module, ASYNC)).then(
    () => { module.loaded = true; },
    (error) => {
      delete cache[file];
      throw error;
    },
  );
  // Importers await it; one that is only started by them must not count as unhandled.
  module.evaluation.catch(() => {});
  return module.evaluation;
}

/** A static import inside an asynchronous module. In a cycle the unfinished exports are handed out, as between others. */
async function importForAsync(id, importer) {
  const file = resolver.resolve(id, importer.filename, true);
  if (file.startsWith("node:") || conversionOf(file) !== ASYNC) return load(file, importer, true);
  const started = cache[file] ? cache[file].evaluation : startAsync(file, importer);
  const module = cache[file];
  if (!module || module.loaded) {
    await started;
    return cache[file].exports;
  }
  importer.waitsFor = module;
  for (let at = module; at; at = at.waitsFor) {
    if (at !== importer) continue;
    importer.waitsFor = undefined;
    return module.exports;
  }
  await started;
  importer.waitsFor = undefined;
  return module.exports;
}

// === the program ===

/** Runs a file as the main module; settles when it has been evaluated. Answers its namespace or exports. */
export async function runMain(file) {
  const conversion = conversionOf(file);
  mainModule = new Module(file);
  mainModule.id = ".";
  mainModule.esm = isModule(file, conversion);
  cache[file] = mainModule;
  globalThis.process.mainModule = mainModule.esm ? undefined : mainModule;
  await evaluate(mainModule, conversion);
  mainModule.loaded = true;
  return mainModule.exports;
}

/** Runs text as `node -e` does. */
export function runText(text, file = `${globalThis.process.cwd()}/[eval]`) {
  mainModule = new Module(file);
  cache[file] = mainModule;
  Object.assign(globalThis, { require: requireOf(file, mainModule, false), module: mainModule, exports: mainModule.exports, __filename: "[eval]", __dirname: ".", __dyno_import: importOf(file) });
  return (0, eval)(`${text.replace(/(?<![.\w$])import\s*\(/g, "__dyno_import(")}\n//# sourceURL=[eval]`);
}

const builtinExtension = () => { throw new Error("not called: a built-in extension is handled by the loader"); };
Object.assign(Module, {
  Module, builtinModules: [...builtinNames], isBuiltin: (id) => builtinNames.has(String(id).replace(/^node:/, "")), _cache: cache, _pathCache: Object.create(null), globalPaths: [],
  _extensions: { ".js": builtinExtension, ".json": builtinExtension, ".node": builtinExtension },
  createRequire(from) {
    const text = String(from);
    const file = text.startsWith("file:") ? decodeURIComponent(new URL(text).pathname) : text;
    return requireOf(file, undefined, false);
  },
  _resolveFilename: (id, parent) => resolver.resolve(id, parent?.filename ?? `${APP_ROOT}/index.js`).replace(/^node:/, ""),
  _load: (id, parent) => load(resolver.resolve(id, parent?.filename ?? `${APP_ROOT}/index.js`), parent),
  _nodeModulePaths: nodeModulePaths, wrap: (source) => `(function (exports, require, module, __filename, __dirname) { ${source}\n});`, register() {}, registerHooks() {}, findSourceMap() {}, enableCompileCache() {}, syncBuiltinESMExports() {}, findPackageJSON: () => undefined,
});
builtins.module = Module;
globalThis.process.getBuiltinModule = (id) => {
  const name = String(id).replace(/^node:/, "");
  return builtinNames.has(name) ? builtin(`node:${name}`) : undefined;
};

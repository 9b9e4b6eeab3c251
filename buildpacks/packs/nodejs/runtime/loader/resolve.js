// Node's module resolution: CommonJS and ESM, `exports` and `imports` maps, self reference, symbolic links of package folders.
//
// It only asks a small file system interface, so the same code runs in the dyno, in the slug compiler and in tests.
import path from "path";

const EXTENSIONS = [".js", ".json", ".node", ".cjs", ".mjs"];
const REQUIRE_CONDITIONS = new Set(["node", "require", "module-sync", "default"]);
const IMPORT_CONDITIONS = new Set(["node", "import", "module-sync", "default"]);
const fault = (Type, code, text, extra) => Object.assign(new Type(text), { code }, extra);

/** The first target of an exports or imports entry that the conditions allow; `null` forbids, `undefined` goes on. */
export function pickTarget(target, conditions) {
  if (typeof target === "string" || target === null) return target;
  if (Array.isArray(target)) {
    for (const item of target) {
      const picked = pickTarget(item, conditions);
      if (picked) return picked;
    }
    return undefined;
  }
  for (const key of Object.keys(target ?? {})) {
    if (!conditions.has(key)) continue;
    const picked = pickTarget(target[key], conditions);
    if (picked !== undefined) return picked;
  }
  return undefined;
}

/** Looks a subpath up in an exports or imports map, patterns with `*` included. */
export function lookUpMap(map, subpath, conditions) {
  if (Object.hasOwn(map, subpath) && !subpath.includes("*")) return pickTarget(map[subpath], conditions);
  let best;
  for (const key of Object.keys(map)) {
    const star = key.indexOf("*");
    if (star < 0) continue;
    const fits = subpath.startsWith(key.slice(0, star)) && subpath.endsWith(key.slice(star + 1)) && subpath.length >= key.length;
    if (fits && (!best || star > best.indexOf("*") || (star === best.indexOf("*") && key.length > best.length))) best = key;
  }
  if (best === undefined) return undefined;
  const star = best.indexOf("*");
  const middle = subpath.slice(star, subpath.length - (best.length - star - 1));
  const target = pickTarget(map[best], conditions);
  return typeof target === "string" ? target.replaceAll("*", () => middle) : target;
}

/** `@scope/name/sub/path` → `["@scope/name", "./sub/path"]`. */
export function splitPackage(id) {
  const match = /^(@[^/]+\/[^/]+|[^/@.][^/]*)(\/.*)?$/.exec(id);
  return match ? [match[1], `.${match[2] ?? ""}`] : null;
}

export class Resolver {
  /** `files` — `{ isFile, isDirectory, readText, realPath }` on absolute paths; `builtins` — names without `node:`. */
  constructor(files, builtins) {
    this._files = files;
    this._builtins = builtins;
    this._manifests = new Map();
    this._folders = new Map();
    this._resolved = new Map();
  }

  /** The parsed package.json of a folder, or null. */
  manifest(folder) {
    if (!this._manifests.has(folder)) {
      let parsed = null;
      const text = this._files.readText(`${folder}/package.json`);
      if (text !== null) {
        try {
          parsed = JSON.parse(text);
        } catch (error) {
          throw fault(Error, "ERR_INVALID_PACKAGE_CONFIG", `Invalid package config ${folder}/package.json: ${error.message}`);
        }
      }
      this._manifests.set(folder, parsed);
    }
    return this._manifests.get(folder);
  }

  /** The package a file belongs to: `{ folder, manifest }` or null. */
  scope(file) {
    for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
      if (path.basename(folder) === "node_modules") return null;
      const manifest = this.manifest(folder);
      if (manifest) return { folder, manifest };
      if (folder === "/") return null;
    }
  }

  /** "esm" or "commonjs", by extension and the package's `type`. */
  formatOf(file) {
    if (file.endsWith(".mjs")) return "esm";
    if (!file.endsWith(".js")) return "commonjs";
    return this.scope(file)?.manifest.type === "module" ? "esm" : "commonjs";
  }

  /** The absolute path of a module, or `node:name`. `esm` — asked for by an import, not a require. */
  resolve(id, from, esm = false) {
    const key = `${esm ? "i" : "r"}\0${path.dirname(from)}\0${id}`;
    let found = this._resolved.get(key);
    if (found === undefined) {
      found = this._resolve(id, from, esm);
      this._resolved.set(key, found);
    }
    return found;
  }

  _resolve(id, from, esm) {
    if (typeof id !== "string" || id === "") throw fault(TypeError, "ERR_INVALID_ARG_VALUE", `The argument 'id' must be a non-empty string. Received ${id}`);
    if (id.startsWith("node:")) {
      if (!this._builtins.has(id.slice(5))) throw fault(Error, "ERR_UNKNOWN_BUILTIN_MODULE", `No such built-in module: ${id}`);
      return id;
    }
    if (this._builtins.has(id)) return `node:${id}`;
    if (id.startsWith("file:")) id = decodeURIComponent(new URL(id).pathname);
    const conditions = esm ? IMPORT_CONDITIONS : REQUIRE_CONDITIONS;
    if (/^(\.{1,2}(\/|$)|\/)/.test(id)) {
      const target = path.resolve(path.dirname(from), id);
      const folderOnly = /(^|\/)\.{0,2}$/.test(id);
      return (folderOnly ? undefined : this._asFile(target)) ?? this._asFolder(target) ?? this._lost(id, from);
    }
    const own = this.scope(from);
    if (id.startsWith("#")) return this._private(id, from, own, conditions, esm);
    const split = splitPackage(id);
    if (!split) return this._lost(id, from);
    const [name, subpath] = split;
    if (own?.manifest.name === name && own.manifest.exports !== undefined) return this._inside(own.folder, own.manifest, subpath, conditions, from);
    for (let folder = path.dirname(from); ; folder = path.dirname(folder)) {
      if (path.basename(folder) !== "node_modules") {
        const home = this._packageFolder(path.join(folder, "node_modules", name));
        const found = home && this._inside(home, this.manifest(home), subpath, conditions, from);
        if (found) return found;
      }
      if (folder === "/") return this._lost(id, from);
    }
  }

  /** A package's folder behind its symbolic link (workspaces, pnpm), or null when there is none. */
  _packageFolder(folder) {
    if (!this._folders.has(folder)) this._folders.set(folder, this._files.isDirectory(folder) ? this._files.realPath(folder) : null);
    return this._folders.get(folder);
  }

  _private(id, from, own, conditions, esm) {
    const target = own?.manifest.imports && lookUpMap(own.manifest.imports, id, conditions);
    if (!target) throw fault(TypeError, "ERR_PACKAGE_IMPORT_NOT_DEFINED", `Package import specifier "${id}" is not defined imported from ${from}`);
    return target.startsWith(".") ? path.resolve(own.folder, target) : this.resolve(target, from, esm);
  }

  _inside(folder, manifest, subpath, conditions, from) {
    if (manifest?.exports !== undefined && manifest.exports !== null) {
      const { exports } = manifest;
      const sugar = typeof exports === "string" || Array.isArray(exports) || !Object.keys(exports)[0]?.startsWith(".");
      const target = lookUpMap(sugar ? { ".": exports } : exports, subpath, conditions);
      if (!target) {
        const what = subpath === "." ? 'No "exports" main defined' : `Package subpath '${subpath}' is not defined by "exports"`;
        throw fault(Error, "ERR_PACKAGE_PATH_NOT_EXPORTED", `${what} in ${folder}/package.json imported from ${from}`);
      }
      return path.resolve(folder, target);
    }
    if (subpath === ".") return this._asFolder(folder);
    const target = path.join(folder, subpath);
    return this._asFile(target) ?? this._asFolder(target);
  }

  _asFile(target) {
    if (this._files.isFile(target)) return target;
    return EXTENSIONS.map((extension) => target + extension).find((file) => this._files.isFile(file));
  }
  _asFolder(target) {
    const main = this.manifest(target)?.main;
    if (main) {
      const file = path.resolve(target, main);
      const found = this._asFile(file) ?? this._asFile(`${file}/index`);
      if (found) return found;
    }
    return this._asFile(`${target}/index`);
  }
  /** The file that `node target` runs. */
  entry(target) { return this._asFile(target) ?? this._asFolder(target) ?? this._lost(target, null); }

  _lost(id, from) {
    const stack = from ? `\nRequire stack:\n- ${from}` : "";
    throw fault(Error, "MODULE_NOT_FOUND", `Cannot find module '${id}'${stack}`, { requireStack: from ? [from] : [] });
  }
}

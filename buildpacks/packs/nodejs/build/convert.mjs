// Makes one source file loadable by the engine's loader: ES modules become CommonJS, and what the engine lacks is written out.
//
// Positions stay on their lines wherever possible, so that stack traces name the app's own lines.
import { createRequire } from "node:module";
import path from "node:path";

const PROPERTY_ESCAPE = /\\[pP]\{/;
const META = Object.fromEntries(["url", "dirname", "filename", "resolve"].map((name) => [`import.meta.${name}`, `__dyno_meta.${name}`]));
// esbuild's helper decides how a CommonJS module looks to importers; the loader has already made it look as in Node.
const NODE_MODE = "isNodeMode || !mod || !mod.__esModule";

export const CONVERTED = 1;
export const ASYNC = 2;
export const MODULE = 3;

/** Calls `visit(node, insideFunction)` for every node of a syntax tree. */
function walk(node, visit, inside = false) {
  if (!node || typeof node !== "object") return;
  if (Array.isArray(node)) {
    for (const item of node) walk(item, visit, inside);
    return;
  }
  if (typeof node.type === "string") visit(node, inside);
  const within = inside || /Function/.test(node.type ?? "");
  for (const key of Object.keys(node)) if (key !== "regex" && key !== "value") walk(node[key], visit, within);
  if (node.value && typeof node.value === "object" && node.type !== "Literal") walk(node.value, visit, within);
}

/** Applies replacements of disjoint spans; at one place, insertions come before the replacement that begins there. */
function applyEdits(code, edits) {
  edits.sort((a, b) => a.start - b.start || a.end - b.end);
  let out = "";
  let at = 0;
  for (const { start, end, text } of edits) {
    out += code.slice(at, start) + text;
    at = end;
  }
  return out + code.slice(at);
}

export class Converter {
  constructor(tools) {
    const require = createRequire(path.join(path.resolve(tools), "package.json"));
    this._esbuild = require("esbuild");
    this._rewrite = require("regexpu-core");
    this._parseSync = require("oxc-parser").parseSync;
  }

  parse(code, sourceType) {
    const parsed = this._parseSync("module.js", code, { sourceType });
    if (parsed.errors.length) throw new SyntaxError(parsed.errors[0].message);
    return parsed;
  }

  /** True when a file without a declared format is written as an ES module, as Node finds out for itself. */
  looksLikeModule(code) {
    if (!/^\s*(import|export)\b/m.test(code)) return false;
    try {
      return this.parse(code, "unambiguous").module.hasModuleSyntax;
    } catch {
      return false;
    }
  }

  /** The specifiers that an ES module imports statically. */
  importsOf(code) {
    const { module } = this.parse(code, "module");
    const exported = module.staticExports.flatMap((item) => item.entries.map((entry) => entry.moduleRequest?.value));
    return [...new Set([...module.staticImports.map((item) => item.moduleRequest.value), ...exported].filter(Boolean))];
  }

  awaitsAtTop(code) {
    if (!/\bawait\b/.test(code)) return false;
    let found = false;
    walk(this.parse(code, "module").program, (node, inside) => {
      found ||= !inside && (node.type === "AwaitExpression" || (node.type === "ForOfStatement" && node.await));
    });
    return found;
  }

  /** A CommonJS file: undefined when it can run as it is. `own` — a file of the app, not of a package. */
  commonjs(code, own) {
    if (!own && !PROPERTY_ESCAPE.test(code)) return undefined;
    // `return` at the top of a CommonJS file is legal; as a function's body it parses.
    const [head, tail] = ["(function () {", "\n})"];
    const text = head + code.replace(/^#!/, "//") + tail;
    const edits = this._edits(this.parse(text, "script").program, own, false);
    if (!edits.length) return undefined;
    return applyEdits(text, edits).slice(head.length, -tail.length);
  }

  /** An ES module as the body of a CommonJS function; with `asynchronous`, of an async one. */
  async module(code, own, asynchronous, name) {
    let text = code.replace(/^#!/, "//");
    if (own || asynchronous || PROPERTY_ESCAPE.test(text) || /\bimport\s*\(/.test(text)) {
      text = applyEdits(text, this._edits(this.parse(text, "module").program, own, asynchronous));
    }
    const result = await this._esbuild.transform(text, {
      loader: "js", format: "cjs", target: "es2022", sourcefile: name, logLevel: "silent", legalComments: "none",
      supported: { "dynamic-import": true, "import-attributes": true }, define: { ...META, "import.meta": "__dyno_meta" },
    });
    const converted = result.code.replace(NODE_MODE, "!mod || !mod.__esModule");
    return asynchronous ? this._asynchronous(converted) : converted;
  }

  _edits(program, own, asynchronous) {
    const edits = [];
    const put = (start, end, text) => edits.push({ start, end, text });
    walk(program, (node, inside) => {
      if (node.type === "ImportExpression") put(node.start, node.start + "import".length, "__dyno_import");
      else if (node.type === "Literal" && node.regex && (PROPERTY_ESCAPE.test(node.regex.pattern) || node.regex.flags.includes("v"))) {
        put(node.start, node.end, this._regularExpression(node.regex));
      } else if (own && node.type === "ExpressionStatement" && isDroppedCall(node.expression)) {
        put(node.expression.start, node.expression.start, "__dyno_watch(");
        put(node.expression.end, node.expression.end, ")");
      } else if (asynchronous && !inside && node.type === "AwaitExpression") {
        put(node.start, node.start + "await".length, "__dyno_tla(");
        put(node.end, node.end, ")");
      } else if (asynchronous && !inside && node.type === "ForOfStatement" && node.await) {
        put(node.start, node.left.start, "for (");
        put(node.right.start, node.right.start, "__dyno_each(");
        put(node.right.end, node.right.end, ")");
      }
    });
    return edits;
  }

  /** The engine has no Unicode tables: classes of them are written out. */
  _regularExpression({ pattern, flags }) {
    const rewritten = this._rewrite(pattern, flags, { unicodePropertyEscapes: "transform", unicodeSetsFlag: "transform" });
    return `/${rewritten}/${flags.replace("v", "u")}`;
  }

  /** esbuild refuses await in this form, so it went through as calls of marker functions; they are turned back here. */
  _asynchronous(code) {
    const text = `(async function () {${code}\n})`;
    const head = text.indexOf("{") + 1;
    const edits = [];
    const put = (start, end, replacement) => edits.push({ start, end, text: replacement });
    const isCall = (node, name) => node?.type === "CallExpression" && node.callee.type === "Identifier" && node.callee.name === name;
    const { program } = this.parse(text, "script");
    walk(program.body[0].expression.body ?? program.body[0].expression.expression.body, (node, inside) => {
      if (inside) return;
      if (isCall(node, "__dyno_tla")) {
        put(node.start, node.arguments[0].start, "(await (");
        put(node.arguments[0].end, node.end, "))");
      } else if (node.type === "ForOfStatement" && isCall(node.right, "__dyno_each")) {
        put(node.start, node.start + "for".length, "for await");
        put(node.right.start, node.right.arguments[0].start, "(");
      } else if (isCall(node, "require") && node.arguments[0]?.type === "Literal") {
        put(node.start, node.end, `(await __dyno_await(${JSON.stringify(node.arguments[0].value)}))`);
      }
    });
    return applyEdits(text, edits).slice(head, -"\n})".length);
  }
}

/** A statement that is one call and drops its value, which may be a promise whose rejection nobody would see. */
function isDroppedCall(expression) {
  const call = expression.type === "ChainExpression" ? expression.expression : expression;
  return call.type === "CallExpression" && call.callee.type !== "Super";
}

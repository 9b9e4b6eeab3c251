// Builds the base component: the runtime of `runtime/` and its polyfills in one script, componentized with its heap.
//
// usage: node build-base.mjs TOOLCHAIN_DIR OUT.wasm      (TOOLCHAIN_DIR holds node_modules; NODE_EMULATED_VERSION is set)
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import os from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { componentize } from "./componentize.mjs";

const pack = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const [, , toolchain, out] = process.argv;
const version = process.env.NODE_EMULATED_VERSION;
if (!toolchain || !out || !version) {
  console.error("usage: NODE_EMULATED_VERSION=22.x.y node build-base.mjs TOOLCHAIN_DIR OUT.wasm");
  process.exit(2);
}
const require = createRequire(path.join(path.resolve(toolchain), "package.json"));
const esbuild = require("esbuild");

// What `X-polyfill` means in the runtime's sources; the trailing slash keeps Node's own module of that name out.
const POLYFILLS = { assert: "assert/", buffer: "buffer/", crypto: "crypto-browserify", events: "events/", punycode: "punycode/", querystring: "querystring-es3", string_decoder: "string_decoder/", url: "url/", util: "util/", zlib: "browserify-zlib" };
// What the polyfills get when they ask for each other.
const INNER = { ...POLYFILLS, stream: "readable-stream", path: "path-browserify" };
const OURS = { buffer: "runtime/node/buffer.js", process: "runtime/process.js" };
// Asked for by cryptographic packages inside try blocks, or never used by what is kept of them.
const EMPTY = new Set(["vm", "crypto"]);

const nodeModules = {
  name: "node-modules",
  setup(build) {
    build.onResolve({ filter: /^[^./]/ }, ({ path: id }) => {
      if (id.startsWith("wasi:")) return { path: id, external: true };
      const name = id.replace(/^node:/, "").replace(/\/$/, "");
      if (name.endsWith("-polyfill")) return { path: require.resolve(POLYFILLS[name.slice(0, -"-polyfill".length)]) };
      if (OURS[name]) return { path: path.join(pack, OURS[name]) };
      if (EMPTY.has(name)) return { path: name, namespace: "empty" };
      if (INNER[name]) return { path: require.resolve(INNER[name]) };
      return undefined;
    });
    build.onLoad({ filter: /.*/, namespace: "empty" }, () => ({ contents: "module.exports = {};", loader: "js" }));
  },
};

const room = await mkdtemp(path.join(os.tmpdir(), "dyno-node-base-"));
try {
  const script = path.join(room, "base.js");
  await esbuild.build({
    entryPoints: [path.join(pack, "runtime/main.js")], outfile: script, bundle: true, format: "esm", platform: "neutral", target: "es2022",
    mainFields: ["browser", "module", "main"], conditions: ["node", "require", "default"], plugins: [nodeModules], nodePaths: [path.join(path.resolve(toolchain), "node_modules")],
    define: { __NODE_VERSION__: JSON.stringify(version), "process.browser": "false" }, legalComments: "none", logLevel: "warning",
  });
  const component = await componentize({ toolchain, script, wit: path.join(pack, "wit"), world: "node" });
  await writeFile(out, component);
} finally {
  if (process.env.DYNO_KEEP_SCRIPT) console.error(`script kept in ${room}`);
  else await rm(room, { recursive: true, force: true });
}

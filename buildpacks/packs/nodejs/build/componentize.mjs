// Turns one bundled script into a component: splices its world's bindings into the engine, runs it once, keeps the heap.
//
// The engine, the splicer and wizer come from the componentize-js package; its own driver is not used because two
// faults of that version have to be mended between its steps (see `methodlessResource` and `ungatedImport`).
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { mkdtemp, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { pathToFileURL } from "node:url";
import { renameCoreImport } from "./core-imports.mjs";

// "clocks" would make the engine read the wall clock while the heap is made; "http" must stay, or calls of wasi:http
// become `unreachable`; "fetch-event" is left out because that form answers one request per instance.
const FEATURES = ["stdio", "random", "clocks", "http"];

// The splicer writes no class for a resource without methods, yet refers to it.
const methodlessResource = `
class import_network_0_2_10$Network {
  [symbolDispose]() {
    finalizationRegistry_import$network_0_2_10$network.unregister(this);
    $resource_import$network_0_2_10$drop$network(this[symbolRscHandle]);
    this[symbolRscHandle] = undefined;
  }
}
`;

// The engine always imports this unstable function, whatever the world says, and the encoder then refuses it. It is
// never called, so it is renamed to one of the same core type that the world has.
const ungatedImport = {
  from: ["wasi:sockets/network@0.2.10", "network-error-code"],
  to: ["wasi:io/error@0.2.10", "[method]error.to-debug-string"],
};

/**
 * `toolchain` — folder whose node_modules holds componentize-js; `script` — the bundle; `wit` — folder of the world.
 * Answers the component's bytes. Throws with the engine's own words when the script fails while it is run.
 */
export async function componentize({ toolchain, script, wit, world }) {
  const home = path.join(path.resolve(toolchain), "node_modules/@bytecodealliance/componentize-js");
  const fromThere = createRequire(path.join(home, "package.json"));
  const load = async (name) => import(pathToFileURL(resolveEsm(fromThere, name)));
  const { splicer } = await import(pathToFileURL(path.join(home, "lib/spidermonkey-embedding-splicer.js")));
  const engine = await readFile(path.join(home, "lib/starlingmonkey_embedding.wasm"));
  const spliced = splicer.spliceBindings(engine, FEATURES, undefined, wit, world, false);

  const room = await mkdtemp(path.join(os.tmpdir(), "dyno-componentize-"));
  try {
    const heap = await initialise({ room, spliced, script, wizer: (await load("@bytecodealliance/wizer")).default });
    const module = splicer.stubWasi(heap, FEATURES, undefined, wit, world);
    const { componentNew, preview1AdapterReactorPath } = await load("@bytecodealliance/jco");
    return await componentNew(
      renameCoreImport(module, ungatedImport.from, ungatedImport.to),
      [["wasi_snapshot_preview1", await readFile(preview1AdapterReactorPath())]],
      false,
    );
  } finally {
    await rm(room, { recursive: true, force: true });
  }
}

/** Runs the script inside the engine under wizer; answers the core module with the heap as it then was. */
async function initialise({ room, spliced, script, wizer }) {
  const sources = path.join(room, "sources");
  await mkdir(sources);
  const input = path.join(room, "in.wasm");
  const output = path.join(room, "out.wasm");
  await writeFile(input, Buffer.from(spliced.wasm));
  await writeFile(path.join(sources, "bindings.js"), spliced.jsBindings + methodlessResource);
  await writeFile(path.join(sources, "base.js"), await readFile(script));

  const result = spawnSync(
    wizer,
    // The guest sees fixed paths: they end up in the heap, and the heap should not know where it was made.
    ["--allow-wasi", "--init-func", "componentize.wizer", `--mapdir=/::${sources}`,
      "--wasm-bulk-memory=true", "--inherit-env=true", `-o=${output}`, input],
    {
      stdio: ["pipe", "inherit", "pipe"],
      env: engineEnvironment(spliced),
      input: "--initializer-script-path /bindings.js --strip-path-prefix / /base.js",
      encoding: "utf8",
    },
  );
  if (result.status !== 0) {
    throw new Error(`the base component's script failed while its heap was made:\n${result.stderr || result.error}`);
  }
  if (result.stderr) process.stderr.write(result.stderr);
  return readFile(output);
}

/** How the engine's embedding is told the shapes of the exports and imports that were spliced in. */
function engineEnvironment({ exports, imports }) {
  const env = { DEBUG: "", SOURCE_NAME: "base.js", EXPORT_CNT: String(exports.length), FEATURE_CLOCKS: "1" };
  exports.forEach(([name, shape], i) => {
    env[`EXPORT${i}_NAME`] = name;
    env[`EXPORT${i}_ARGS`] = (shape.paramptr ? "*" : "") + shape.params.join(",");
    env[`EXPORT${i}_RET`] = (shape.retptr ? "*" : "") + (shape.ret || "");
    env[`EXPORT${i}_RETSIZE`] = String(shape.retsize);
  });
  imports.forEach(([, name, count], i) => {
    env[`IMPORT${i}_NAME`] = name;
    env[`IMPORT${i}_ARGCNT`] = String(count);
  });
  env.IMPORT_CNT = String(imports.length);
  return env;
}

/** `require.resolve` refuses packages that only declare an `import` entry: find their folder and read it. */
function resolveEsm(require, name) {
  for (const folder of require.resolve.paths(name) ?? []) {
    const home = path.join(folder, name);
    let manifest;
    try {
      manifest = require(path.join(home, "package.json"));
    } catch {
      continue;
    }
    const entry = manifest.exports?.["."] ?? manifest.exports;
    const file = typeof entry === "string" ? entry : entry?.import ?? entry?.default ?? manifest.main ?? "index.js";
    return path.join(home, typeof file === "string" ? file : file.default);
  }
  throw new Error(`package ${name} is not in the toolchain`);
}

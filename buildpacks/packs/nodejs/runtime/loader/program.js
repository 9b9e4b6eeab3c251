// Loads the app: from the arguments of `node` to a program that has run, or a server that listens.
import path from "path";
import { runUntil } from "../event-loop.js";
import { createServer, whenListening } from "../node/http/server.js";
import { listenerOf } from "../node/http/fetch.js";
import { operations } from "../node/fs/operations.js";
import { importFile, resolver, runMain, runText } from "./modules.js";
import { parseEnvFile, parseNodeArguments } from "./command-line.js";

// Heroku gives a web process 60 s to bind its port.
const LISTEN_MILLISECONDS_MAX = 60000;

/** Runs the program. Answers what its main module exports. */
export async function runProgram(args) {
  const { process } = globalThis;
  const plan = parseNodeArguments(args);
  for (const { file, optional } of plan.envFiles) readEnvFile(file, optional);
  const directory = process.cwd();
  const from = path.join(directory, "[preload].js");
  if (plan.version) {
    globalThis.console.log(process.version);
    return undefined;
  }
  process.execArgv = args.slice(0, args.length - plan.rest.length - (plan.script === undefined ? 0 : 1));
  const entry = plan.script === undefined ? undefined : resolver.entry(path.resolve(directory, plan.script));
  process.argv = ["/usr/bin/node", ...(entry ? [entry] : []), ...plan.rest];
  for (const id of plan.preload) await importFile(resolver.resolve(id, from, true));
  if (plan.code !== undefined) {
    const value = runText(plan.code);
    if (plan.print) globalThis.console.log(value);
    return undefined;
  }
  if (!entry) {
    runText(operations.readFile(0, "utf8"), path.join(directory, "[stdin]"));
    return undefined;
  }
  return runMain(entry);
}

function readEnvFile(file, optional) {
  let text;
  try {
    text = operations.readFile(file, "utf8");
  } catch (error) {
    if (optional) return;
    throw error;
  }
  const { env } = globalThis.process;
  for (const [name, value] of Object.entries(parseEnvFile(text))) env[name] ??= value;
}

/** A server that the main module exports instead of listening itself, in any of the forms people use. */
function exportedServer(exports) {
  for (const candidate of [exports?.default, exports, exports?.app, exports?.default?.default]) {
    if (!candidate) continue;
    if (typeof candidate.fetch === "function") return createServer(listenerOf(candidate));
    // An Express app, or a plain request listener.
    if (typeof candidate === "function" && (typeof candidate.handle === "function" || candidate.length === 2 || candidate.length === 3)) return createServer(candidate);
    if (typeof candidate.listen === "function" && typeof candidate._serve === "function") return candidate;
  }
  return undefined;
}

/** Runs the program of a web process until it listens. */
export async function startServer(args) {
  const { process } = globalThis;
  const exports = await runUntil(runProgram(args), "the app waits for something that can never happen while it is loaded (an await at its top level)");
  if (whenListening.already()) return;
  const server = exportedServer(exports);
  if (server) {
    server.listen(Number(process.env.PORT) || 0);
    return;
  }
  // listen() may come after a promise: a database, a schema, a timer.
  const late = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`the app did not call listen() within ${LISTEN_MILLISECONDS_MAX / 1000} seconds`)), LISTEN_MILLISECONDS_MAX);
    whenListening(() => {
      clearTimeout(timer);
      resolve();
    });
  });
  const script = process.argv[1] ?? "the app";
  await runUntil(late, `${script} ran to its end without a server: it neither called listen() nor exports an app or a fetch handler`);
}

/** Lets what is ready happen: `listening` callbacks, settled promises, timers that are due. */
export const settle = () => runUntil(new Promise((resolve) => { setTimeout(resolve, 1); }), "");

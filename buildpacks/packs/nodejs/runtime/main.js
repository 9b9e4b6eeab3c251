// The base component's exports: boot (release step), the request handler (web dynos) and run (workers, one-offs).
//
// The order of the first imports matters: globals stand before the polyfills that read them while they load.
import "./engine-errors.js";
import { refreshRandom, startRandom } from "./engine-gaps.js";
import { hostArguments, refreshEnvironment } from "./process.js";
import "./node/buffer.js";
import "./console.js";
import { restartClock, startClock } from "./clock.js";
import { describeError } from "./engine-errors.js";
import * as loop from "./event-loop.js";
import { ExitDuringBoot, exitProcess, interceptFaults, uncaughtException } from "./exceptions.js";
import "./builtins.js";
import "./standard-input.js";
import { releaseHandles } from "./node/fs.js";
import { fetch } from "./node/http/fetch.js";
import { activeServer, answer } from "./node/http/server.js";
import { openSockets } from "./node/net.js";
import { runProgram, settle, startServer } from "./loader/program.js";
import { startStandardOutput } from "./standard-output.js";

globalThis.fetch = fetch;
globalThis.navigator = { hardwareConcurrency: 1, language: "en-US", platform: "linux", userAgent: `Node.js/${process.versions.node.split(".")[0]}` };
process.exitCode = undefined;

let snapshot = false;
let server;

/** At the start of every export: the host may be called now; what a snapshot holds of an earlier host is renewed. */
function enter() {
  startClock();
  startRandom();
  startStandardOutput();
  if (!snapshot) return;
  snapshot = false;
  restartClock();
  refreshRandom();
  loop.thaw();
  refreshEnvironment();
}

/** The arguments of `node` for the web process, which a handler has no argv for. */
function webArguments() {
  refreshEnvironment();
  const given = process.env.DYNO_NODE_ARGUMENTS;
  delete process.env.DYNO_NODE_ARGUMENTS;
  return given ? JSON.parse(given) : ["."];
}

/** Starts the app once; every later call waits for the same start. */
function ensureServer() {
  return (server ??= startServer(webArguments()));
}

/** Release step: loads the app. Rejects with a text when the heap cannot be kept; the app then starts at its first request. */
export async function boot() {
  enter();
  const fault = new Promise((_, reject) => interceptFaults(reject));
  fault.catch(() => {});
  try {
    await Promise.race([ensureServer().then(settle), fault]);
  } catch (error) {
    throw error instanceof ExitDuringBoot ? error.message : describeError(error);
  } finally {
    interceptFaults(undefined);
  }
  const { watches } = loop.pending();
  if (openSockets() || watches) throw `the app keeps ${openSockets()} connections open after it was loaded, and they cannot be part of a snapshot`;
  releaseHandles();
  loop.freeze();
  snapshot = true;
}

export const incomingHandler = {
  async handle(request, outparam) {
    enter();
    try {
      await ensureServer();
    } catch (error) {
      // As a Node process that cannot start: it says why and ends.
      uncaughtException(error);
    }
    if (!activeServer()) uncaughtException(new Error("the app has closed its server"));
    await answer(request, outparam);
    if (loop.pending().immediates) await loop.sweep();
  },
};

export const run = {
  async run() {
    enter();
    refreshEnvironment();
    delete process.env.DYNO_NODE_ARGUMENTS;
    try {
      await loop.runUntil(runProgram(hostArguments().slice(1)), "the program waits for something that can never happen");
      if (activeServer()) throw new Error("this process listens for HTTP requests, and only the web process can be reached by them");
      await loop.runUntilIdle();
      process.emit("beforeExit", process.exitCode ?? 0);
      await loop.runUntilIdle();
    } catch (error) {
      uncaughtException(error);
    }
    process.emit("exit", process.exitCode ?? 0);
    if (process.exitCode) exitProcess(Number(process.exitCode));
  },
};

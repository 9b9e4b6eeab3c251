// What `require("node:…")` answers: every module of the emulated Node, by name.
import assert from "assert-polyfill";
import path from "path";
import querystring from "querystring-polyfill";
import punycode from "punycode-polyfill";
import stringDecoder from "string_decoder-polyfill";
import zlibPolyfill from "zlib-polyfill";
import console from "./console.js";
import * as absent from "./node/absent.js";
import asyncHooks from "./node/async-hooks.js";
import buffer from "./node/buffer.js";
import crypto from "./node/crypto.js";
import diagnosticsChannel from "./node/diagnostics-channel.js";
import dns from "./node/dns.js";
import events from "./node/events.js";
import fs from "./node/fs.js";
import { http, https } from "./node/http.js";
import net from "./node/net.js";
import os from "./node/os.js";
import * as small from "./node/small-modules.js";
import stream, { consumers, web } from "./node/stream.js";
import url from "./node/url.js";
import util from "./node/util.js";
import process from "./process.js";

Object.assign(path, { posix: path, win32: path, toNamespacedPath: (value) => value, matchesGlob: undefined });
assert.strict ??= assert;
const zlib = {
  ...zlibPolyfill,
  constants: Object.fromEntries(Object.entries(zlibPolyfill).filter(([, value]) => typeof value === "number")),
  codes: zlibPolyfill.codes ?? {},
  ...Object.fromEntries(["createBrotliCompress", "createBrotliDecompress", "brotliCompress", "brotliDecompress", "brotliCompressSync", "brotliDecompressSync"].map((name) => [name, absent.absent(`zlib.${name}`)])),
};

export const builtins = {
  assert, "assert/strict": assert.strict, async_hooks: asyncHooks, buffer, child_process: absent.childProcess, cluster: absent.cluster, console, constants: small.constants, crypto, dgram: absent.dgram,
  diagnostics_channel: diagnosticsChannel, dns, "dns/promises": dns.promises, domain: absent.domain, events, fs, "fs/promises": fs.promises, http, http2: absent.http2, https, inspector: absent.inspector, "inspector/promises": absent.inspector,
  net, os, path, "path/posix": path, "path/win32": path, perf_hooks: small.perfHooks, process, punycode, querystring, readline: small.readline, "readline/promises": small.readline.promises, repl: absent.repl,
  stream, "stream/consumers": consumers, "stream/promises": stream.promises, "stream/web": web, string_decoder: stringDecoder, sys: util, timers: small.timers, "timers/promises": small.timersPromises, tls: absent.tls,
  trace_events: absent.traceEvents, tty: small.tty, url, util, "util/types": util.types, v8: small.v8, vm: small.vm, wasi: absent.wasi, worker_threads: absent.workerThreads, zlib,
};

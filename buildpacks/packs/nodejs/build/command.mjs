// Understands the command of a process type: which script `node` runs, through npm scripts and package programs.
import fs from "node:fs";
import path from "node:path";

const SCRIPT_DEPTH_MAX = 8;
const SHELL = /^(&&|\|\||\||;|&|>|>>|<|2>&1)$/;
const MANAGER = new Set(["npm", "yarn", "pnpm"]);
const IMPOSSIBLE = {
  pm2: "a dyno runs one process; the platform restarts it", forever: "a dyno runs one process; the platform restarts it", bash: "a Node.js dyno has no shell", sh: "a Node.js dyno has no shell",
  bun: "only Node.js programs run in it", deno: "only Node.js programs run in it", "ts-node": "it compiles TypeScript while it runs; compile it in a build script", tsx: "it compiles TypeScript while it runs; compile it in a build script",
  nodemon: "it watches files and starts processes; name the script itself", concurrently: "a dyno runs one process; give each command a line of its own",
};

export class CommandRefused extends Error {
  constructor(command, reason, hint) {
    super(`\`${command}\` cannot run: ${reason}`);
    this.hint = hint;
  }
}

/** Splits like a shell without expanding anything. */
export function split(command) {
  const words = [];
  let word;
  let quote = "";
  for (let i = 0; i < command.length; i++) {
    const c = command[i];
    if (quote) {
      if (c === quote) quote = "";
      else if (c === "\\" && quote === '"' && /["\\$`]/.test(command[i + 1] ?? "")) word += command[++i];
      else word += c;
    } else if (c === "'" || c === '"') {
      quote = c;
      word ??= "";
    } else if (c === "\\") word = (word ?? "") + (command[++i] ?? "");
    else if (/\s/.test(c)) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else word = (word ?? "") + c;
  }
  if (quote) throw new CommandRefused(command, "its quotes do not match", "close the quotes");
  if (word !== undefined) words.push(word);
  return words;
}

/** Answers `{ args, environment }`: what follows `node`. `app` — the build directory; `manifest` — its package.json. */
export function understand(command, app, manifest, depth = 0) {
  const refuse = (reason, hint) => { throw new CommandRefused(command, reason, hint); };
  if (depth > SCRIPT_DEPTH_MAX) refuse("its npm scripts lead in a circle", "name the script itself: web: node server.js");
  const words = split(command);
  const environment = {};
  while (words.length) {
    const assignment = /^([A-Za-z_]\w*)=(.*)$/s.exec(words[0]);
    if (assignment) environment[assignment[1]] = assignment[2];
    else if (!["exec", "env", "cross-env"].includes(words[0])) break;
    words.shift();
  }
  const token = words.find((word) => SHELL.test(word) || /;$/.test(word));
  if (token) refuse(`\`${token}\` needs a shell`, "what must run before the server belongs in a build script or in `release: …`");
  if (!words.length) refuse("it names no command", "a line is `name: command`");
  const program = path.basename(words[0]);
  if (program === "node" || program === "nodejs") return { args: nodeArguments(words.slice(1), app, refuse), environment };
  const script = MANAGER.has(program) && scriptOf(program, words.slice(1), manifest);
  if (script) {
    const line = manifest.scripts?.[script.name];
    if (line === undefined && script.name === "start" && fs.existsSync(path.join(app, "server.js"))) return { args: ["server.js", ...script.rest], environment };
    if (line === undefined) refuse(`package.json has no script "${script.name}"`, "add it to scripts, or name the file: web: node server.js");
    const inner = understand(line, app, manifest, depth + 1);
    return { args: [...inner.args, ...script.rest], environment: { ...environment, ...inner.environment } };
  }
  const rest = program === "npx" ? words.slice(1).filter((word, i, list) => !(word.startsWith("-") && list.slice(0, i).every((w) => w.startsWith("-")))) : words;
  const name = path.basename(rest[0] ?? "");
  if (IMPOSSIBLE[name]) refuse(IMPOSSIBLE[name], "name the script: web: node server.js");
  if (/\.[cm]?js$/.test(name) && fs.existsSync(path.join(app, rest[0]))) return { args: rest, environment };
  const file = programOf(name, app);
  if (!file) refuse(`\`${name}\` is neither node, an npm script nor a program of an installed package`, "start it with node: web: node server.js");
  return { args: [file, ...rest.slice(1)], environment };
}

function nodeArguments(args, app, refuse) {
  const script = args.find((word) => !word.startsWith("-"));
  if (script && /\.[cm]?tsx?$/.test(script)) refuse("TypeScript is not run directly", "compile it in a build script and start the result");
  if (script && !args.some((word) => /^(-e|-p|--eval|--print|-r|--require|--import|--env-file)/.test(word))) {
    const candidates = [script, `${script}.js`, `${script}.cjs`, `${script}.mjs`, `${script}/index.js`];
    const found = candidates.some((name) => fs.existsSync(path.join(app, name)));
    if (!found) refuse(`${script} is not there`, "check the name; it is relative to the app's root, and a build script may have to make it");
  }
  return args;
}

/** The npm script that a package manager's command runs. */
function scriptOf(program, args, manifest) {
  const words = args.filter((word) => !/^(-s|--silent|--quiet|--production|--if-present)$/.test(word));
  let name = words.shift();
  if (name === "run" || name === "run-script") name = words.shift();
  else if (name !== "start" && (program === "npm" || !manifest.scripts?.[name])) return undefined;
  if (words[0] === "--") words.shift();
  return name && { name, rest: words };
}

/** The script behind `node_modules/.bin/NAME`, relative to the app. */
function programOf(name, app) {
  const link = path.join(app, "node_modules/.bin", name);
  if (!name || !fs.existsSync(link)) return undefined;
  const file = path.relative(app, fs.realpathSync(link));
  const head = fs.readFileSync(path.join(app, file)).subarray(0, 64).toString();
  return file.startsWith("..") || !/^#!.*\bnode\b/.test(head) ? undefined : file;
}

// The arguments of `node`: which script runs, what is loaded before it, what is left for the script.

const WITH_VALUE = new Set(["-r", "--require", "--import", "-e", "--eval", "-p", "--print", "-C", "--conditions", "--env-file", "--env-file-if-exists", "--title", "--loader", "--experimental-loader", "--input-type", "--stack-trace-limit", "--inspect-port"]);

/** `args` — without the program's name. Flags that mean nothing to this runtime (`--max-old-space-size=…`) are skipped. */
export function parseNodeArguments(args) {
  const plan = { preload: [], envFiles: [], code: undefined, print: false, script: undefined, rest: [], version: false };
  const list = [...args];
  while (list.length) {
    const word = list.shift();
    if (word === "--" || word === "-" || !word.startsWith("-")) {
      const script = word === "--" ? list.shift() : word;
      if (plan.code === undefined && script !== "-") plan.script = script;
      else if (script !== "-") list.unshift(script);
      plan.rest = list;
      break;
    }
    const equals = word.startsWith("--") ? word.indexOf("=") : -1;
    const flag = equals < 0 ? word : word.slice(0, equals);
    const value = equals >= 0 ? word.slice(equals + 1) : WITH_VALUE.has(flag) ? list.shift() : undefined;
    apply(plan, flag, value);
  }
  return plan;
}

function apply(plan, flag, value) {
  if (flag === "-r" || flag === "--require" || flag === "--import") plan.preload.push(value);
  else if (flag === "-e" || flag === "--eval" || flag === "-p" || flag === "-pe" || flag === "--print") {
    plan.code = value;
    plan.print = flag.startsWith("-p") || flag === "--print";
  } else if (flag === "--env-file" || flag === "--env-file-if-exists") plan.envFiles.push({ file: value, optional: flag !== "--env-file" });
  else if (flag === "-v" || flag === "--version") plan.version = true;
}

/** Lines of a dotenv file as name → value. */
export function parseEnvFile(text) {
  const values = {};
  for (const line of text.split(/\r?\n/)) {
    const match = /^\s*(?:export\s+)?([\w.-]+)\s*=\s*(.*?)\s*$/.exec(line);
    if (!match) continue;
    const quoted = /^(['"`])([\s\S]*?)\1/.exec(match[2]);
    values[match[1]] = quoted ? (quoted[1] === '"' ? quoted[2].replace(/\\n/g, "\n") : quoted[2]) : match[2].replace(/\s+#.*$/, "");
  }
  return values;
}

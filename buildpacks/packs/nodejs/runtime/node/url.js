// node:url: the legacy parser of the npm polyfill beside the engine's URL.
import polyfill from "url-polyfill";

const { URL, URLSearchParams } = globalThis;
const invalid = (code, text) => Object.assign(new TypeError(text), { code });

function fileURLToPath(value) {
  const url = typeof value === "string" ? new URL(value) : value;
  if (url.protocol !== "file:") throw invalid("ERR_INVALID_URL_SCHEME", "The URL must be of scheme file");
  if (/%2f/i.test(url.pathname)) throw invalid("ERR_INVALID_FILE_URL_PATH", "File URL path must not include encoded / characters");
  return decodeURIComponent(url.pathname);
}

function pathToFileURL(path) {
  const whole = path.startsWith("/") ? path : `${globalThis.process.cwd()}/${path}`;
  const url = new URL("file:///");
  url.pathname = whole.replace(/%/g, "%25").replace(/\\/g, "%5C").replace(/\n/g, "%0A").replace(/\r/g, "%0D").replace(/\t/g, "%09").replace(/\?/g, "%3F").replace(/#/g, "%23");
  return url;
}

export default {
  ...polyfill, URL, URLSearchParams, fileURLToPath, pathToFileURL,
  format(value, options) {
    if (!(value instanceof URL)) return polyfill.format(value);
    const url = new URL(value.href);
    if (options?.fragment === false) url.hash = "";
    if (options?.search === false) url.search = "";
    if (options?.auth === false) url.username = url.password = "";
    return url.href;
  },
  domainToASCII: (name) => { try { return new URL(`http://${name}`).hostname; } catch { return ""; } },
  domainToUnicode: (name) => name,
  urlToHttpOptions: (url) => ({ protocol: url.protocol, hostname: url.hostname.replace(/^\[|\]$/g, ""), hash: url.hash, search: url.search, pathname: url.pathname, path: url.pathname + url.search, href: url.href, port: url.port === "" ? undefined : Number(url.port), auth: url.username ? `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}` : undefined }),
};

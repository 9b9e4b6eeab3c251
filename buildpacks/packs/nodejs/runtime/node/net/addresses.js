// What an IP address is, and wasi:sockets' errors in Node's words.

const CODES = {
  "connection-refused": "ECONNREFUSED", "connection-reset": "ECONNRESET", "connection-aborted": "ECONNABORTED", "remote-unreachable": "EHOSTUNREACH", timeout: "ETIMEDOUT", "access-denied": "EACCES",
  "name-unresolvable": "ENOTFOUND", "temporary-resolver-failure": "EAI_AGAIN", "permanent-resolver-failure": "ENOTFOUND", "not-supported": "ENOTSUP", "invalid-argument": "EINVAL", "address-in-use": "EADDRINUSE",
  "out-of-memory": "ENOMEM", "new-socket-limit": "EMFILE",
};
const ERRNO = { ECONNREFUSED: -111, ECONNRESET: -104, ECONNABORTED: -103, EHOSTUNREACH: -113, ETIMEDOUT: -110, EACCES: -13, ENOTFOUND: -3008, EAI_AGAIN: -3001, ENOTSUP: -95, EINVAL: -22, EADDRINUSE: -98, EPIPE: -32 };

/** `syscall CODE place`, as libuv says it. An error that is not the host's is passed on. */
export function networkError(error, syscall, place) {
  const payload = error?.payload ?? error;
  if (error instanceof Error && error.payload === undefined) return error;
  const code = typeof payload === "string" ? CODES[payload] ?? "EIO" : "ECONNRESET";
  return Object.assign(new Error(`${syscall} ${code}${place ? ` ${place}` : ""}`), { errno: ERRNO[code] ?? -5, code, syscall });
}
export const wouldBlock = (error) => (error?.payload ?? error) === "would-block";
/** True for the error by which a wasi stream says that it has ended. */
export function streamEnded(error) {
  const payload = error?.payload ?? error;
  return payload === "closed" || payload?.tag === "closed";
}

const octet = "(25[0-5]|2[0-4]\\d|1?\\d?\\d)";
const ipv4 = new RegExp(`^${octet}\\.${octet}\\.${octet}\\.${octet}$`);
export const isIPv4 = (text) => typeof text === "string" && ipv4.test(text);
export function isIPv6(text) {
  if (typeof text !== "string" || !/^[\da-fA-F:.]+(%.+)?$/.test(text)) return false;
  const plain = text.replace(/%.*$/, "");
  const halves = plain.split("::");
  if (halves.length > 2) return false;
  const count = (half) => {
    if (half === "") return 0;
    const groups = half.split(":");
    const last = groups.at(-1);
    const mapped = last.includes(".");
    if (mapped && !isIPv4(last)) return NaN;
    return groups.slice(0, mapped ? -1 : undefined).every((group) => /^[\da-fA-F]{1,4}$/.test(group)) ? groups.length + (mapped ? 1 : 0) : NaN;
  };
  const groups = halves.reduce((sum, half) => sum + count(half), 0);
  return halves.length === 2 ? groups < 8 : groups === 8;
}
export const isIP = (text) => (isIPv4(text) ? 4 : isIPv6(text) ? 6 : 0);

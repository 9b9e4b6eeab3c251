// node:os: what a dyno says about its machine.

const errno = { E2BIG: 7, EACCES: 13, EADDRINUSE: 98, EAGAIN: 11, EBADF: 9, EBUSY: 16, ECONNABORTED: 103, ECONNREFUSED: 111, ECONNRESET: 104, EEXIST: 17, EHOSTUNREACH: 113, EINVAL: 22, EIO: 5, EISDIR: 21, EMFILE: 24, ENOENT: 2, ENOSPC: 28, ENOTDIR: 20, ENOTEMPTY: 39, EPERM: 1, EPIPE: 32, ETIMEDOUT: 110 };
const signals = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGABRT: 6, SIGKILL: 9, SIGUSR1: 10, SIGSEGV: 11, SIGUSR2: 12, SIGPIPE: 13, SIGALRM: 14, SIGTERM: 15 };
const env = () => globalThis.process.env;

export default {
  EOL: "\n", devNull: "/dev/null", constants: { signals, errno, priority: {}, dlopen: {}, UV_UDP_REUSEADDR: 4 },
  hostname: () => env().HOSTNAME ?? env().DYNO ?? "dyno", tmpdir: () => (env().TMPDIR ?? "/tmp").replace(/(.)\/$/, "$1"), homedir: () => env().HOME ?? "/app",
  platform: () => "linux", type: () => "Linux", arch: () => "wasm32", machine: () => "wasm32", release: () => "5.15.0", version: () => "#1 SMP", endianness: () => "LE",
  cpus: () => [{ model: "wasm32", speed: 0, times: { user: 0, nice: 0, sys: 0, idle: 0, irq: 0 } }], availableParallelism: () => 1,
  totalmem: () => 536870912, freemem: () => 268435456, loadavg: () => [0, 0, 0], uptime: () => globalThis.performance.now() / 1e3, networkInterfaces: () => ({}),
  userInfo: () => ({ username: "dyno", uid: 1000, gid: 1000, homedir: "/app", shell: null }), getPriority: () => 0, setPriority() {},
};

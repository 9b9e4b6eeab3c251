// node:dns over wasi:sockets: address look-ups only, which is all the host offers.
import { instanceNetwork } from "wasi:sockets/instance-network@0.2.10";
import { resolveAddresses } from "wasi:sockets/ip-name-lookup@0.2.10";
import { ready, release } from "../event-loop.js";
import { isIP, networkError, wouldBlock } from "./net/addresses.js";

const ADDRESSES_MAX = 64;
const ipv6Text = (words) => words.map((word) => word.toString(16)).join(":");

/** Every address of a name: `{ address, family, words? }`, IPv4 first. */
export async function resolveHost(host) {
  const literal = isIP(host);
  if (literal === 4) return [{ address: host, family: 4 }];
  if (host === "localhost" || host === "") return [{ address: "127.0.0.1", family: 4 }];
  const network = instanceNetwork();
  const found = [];
  let stream, pollable;
  try {
    stream = resolveAddresses(network, host);
    pollable = stream.subscribe();
    while (found.length < ADDRESSES_MAX) {
      let address;
      try {
        address = stream.resolveNextAddress();
      } catch (error) {
        if (!wouldBlock(error)) throw error;
        await ready(pollable);
        continue;
      }
      if (!address) break;
      const words = [...address.val];
      found.push(address.tag === "ipv4" ? { address: words.join("."), family: 4 } : { address: ipv6Text(words), family: 6, words });
    }
  } catch (error) {
    throw Object.assign(networkError(error, "getaddrinfo", host), { hostname: host });
  } finally {
    release(pollable);
    stream?.[Symbol.dispose]();
    network[Symbol.dispose]();
  }
  return found.sort((a, b) => a.family - b.family);
}

async function lookupAll(host, options) {
  const family = { IPv4: 4, IPv6: 6 }[options.family] ?? options.family ?? 0;
  const list = (await resolveHost(String(host ?? ""))).filter((entry) => !family || entry.family === family).map(({ address, family: kind }) => ({ address, family: kind }));
  if (!list.length) throw Object.assign(new Error(`getaddrinfo ENOTFOUND ${host}`), { code: "ENOTFOUND", errno: -3008, syscall: "getaddrinfo", hostname: host });
  return list;
}

async function lookupPromise(host, options = {}) {
  const chosen = typeof options === "number" ? { family: options } : options;
  const list = await lookupAll(host, chosen);
  return chosen.all ? list : list[0];
}

export function lookup(host, options, callback) {
  if (typeof options === "function") [callback, options] = [options, {}];
  const chosen = typeof options === "number" ? { family: options } : options ?? {};
  lookupAll(host, chosen).then((list) => (chosen.all ? callback(null, list) : callback(null, list[0].address, list[0].family)), (error) => callback(error));
}

const addressesOf = async (host, family) => (await lookupAll(host, { family })).map((entry) => entry.address);
const missing = (what) => Object.assign(new Error(`query ENOTIMP: a dyno can look up addresses, not ${what}`), { code: "ENOTIMP", syscall: what });
const recordTypes = { resolveMx: "MX records", resolveTxt: "TXT records", resolveSrv: "SRV records", resolveNs: "NS records", resolveCname: "CNAME records", resolvePtr: "PTR records", resolveNaptr: "NAPTR records", resolveSoa: "SOA records", resolveCaa: "CAA records", resolveAny: "all records", reverse: "names of addresses" };

export const promises = {
  lookup: lookupPromise,
  resolve4: (host) => addressesOf(host, 4),
  resolve6: (host) => addressesOf(host, 6),
  resolve: (host, type = "A") => (type === "A" ? addressesOf(host, 4) : type === "AAAA" ? addressesOf(host, 6) : Promise.reject(missing(`${type} records`))),
  ...Object.fromEntries(Object.entries(recordTypes).map(([name, what]) => [name, async () => { throw missing(what); }])),
  lookupService: async () => { throw missing("services"); },
  setServers() {}, getServers: () => [], setDefaultResultOrder() {}, getDefaultResultOrder: () => "ipv4first",
};
const withCallback = (operation) => (...args) => {
  const callback = args.pop();
  operation(...args.filter((value) => typeof value === "string")).then((value) => callback(null, value), (error) => callback(error));
};
const callbacks = Object.fromEntries(Object.entries(promises).filter(([name]) => /^(resolve|reverse)/.test(name)).map(([name, operation]) => [name, withCallback(operation)]));
class Resolver { cancel() {} setServers() {} getServers() { return []; } }
Object.assign(Resolver.prototype, callbacks);
class PromiseResolver { cancel() {} setServers() {} getServers() { return []; } }
Object.assign(PromiseResolver.prototype, promises);
promises.Resolver = PromiseResolver;

export default {
  lookup, lookupService: withCallback(promises.lookupService), ...callbacks, Resolver, promises, setServers() {}, getServers: () => [], setDefaultResultOrder() {}, getDefaultResultOrder: () => "ipv4first",
  ADDRCONFIG: 32, V4MAPPED: 8, ALL: 16, NODATA: "ENODATA", NOTFOUND: "ENOTFOUND", SERVFAIL: "ESERVFAIL", TIMEOUT: "ETIMEOUT", CONNREFUSED: "ECONNREFUSED", CANCELLED: "ECANCELLED",
};

// Standard JavaScript that this engine was built without (it has no ICU), and randomness that is fresh after a snapshot.

// === Math.random ===
// The engine seeds its generator once per heap, so two instances of one snapshot could draw the same numbers.
const POOL_WORDS = 512;
let pool = new Uint32Array(POOL_WORDS);
let drawn = POOL_WORDS;
/** After a snapshot: numbers drawn before it are not used again. */
export function refreshRandom() { drawn = POOL_WORDS; }
const engineRandom = Math.random;
let running = false;
/** Called at the start of every export: the host's random source may be used. */
export function startRandom() { running = true; }
Math.random = function random() {
  if (!running) return engineRandom();
  if (drawn >= POOL_WORDS) {
    crypto.getRandomValues(pool);
    drawn = 0;
  }
  const high = pool[drawn++] >>> 5;
  const low = pool[drawn++] >>> 6;
  return (high * 67108864 + low) / 9007199254740992;
};

// === strings ===
// Right for text without combining marks, which is what most callers compare.
String.prototype.normalize ??= function normalize() { return String(this); };

// === dates and numbers in words ===
const MONTHS = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"];
const DAYS = ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const two = (n) => String(n).padStart(2, "0");

class Localised {
  constructor(locale, options) { this._options = options ?? {}; }
  resolvedOptions() { return { locale: "en-US", timeZone: "UTC", numberingSystem: "latn", calendar: "gregory", ...this._options }; }
  static supportedLocalesOf() { return ["en-US"]; }
}

class DateTimeFormat extends Localised {
  formatToParts(value) {
    const date = value === undefined ? new Date() : new Date(value);
    const options = this._options;
    const part = (type, text) => ({ type, value: String(text) });
    const literal = (text) => part("literal", text);
    const plain = !["weekday", "year", "month", "day", "hour", "minute", "second", "dateStyle", "timeStyle"].some((key) => options[key]);
    const words = options.month === "long" || options.month === "short" || /^(full|long|medium)$/.test(options.dateStyle ?? "");
    const longNames = options.month === "long" || /^(full|long)$/.test(options.dateStyle ?? "");
    const wants = (key) => options[key] || (plain && /^(year|month|day)$/.test(key)) || (options.dateStyle && /^(year|month|day)$/.test(key));
    const out = [];
    const weekday = options.weekday || options.dateStyle === "full";
    if (weekday) out.push(part("weekday", options.weekday === "short" ? DAYS[date.getUTCDay()].slice(0, 3) : DAYS[date.getUTCDay()]));
    const day = wants("day") && part("day", options.day === "2-digit" ? two(date.getUTCDate()) : date.getUTCDate());
    const year = wants("year") && part("year", options.year === "2-digit" ? two(date.getUTCFullYear() % 100) : date.getUTCFullYear());
    const name = MONTHS[date.getUTCMonth()];
    const number = date.getUTCMonth() + 1;
    const month = wants("month") && part("month", words ? (longNames ? name : name.slice(0, 3)) : options.month === "2-digit" ? two(number) : number);
    const separators = words ? [" ", ", "] : ["/", "/"];
    const fields = [month, day, year].filter(Boolean);
    if (weekday && fields.length) out.push(literal(", "));
    fields.forEach((field, i) => {
      if (i) out.push(literal(field === year && words ? separators[1] : separators[0]));
      out.push(field);
    });
    if (options.hour || options.minute || options.second || options.timeStyle) this._time(date, out, part, literal);
    return out;
  }
  _time(date, out, part, literal) {
    const options = this._options;
    const half = options.hour12 ?? !/^h2/.test(options.hourCycle ?? "");
    const hours = date.getUTCHours();
    const shown = half ? hours % 12 || 12 : hours;
    const fields = [];
    if (options.hour || options.timeStyle) fields.push(part("hour", options.hour === "2-digit" || !half ? two(shown) : shown));
    if (options.minute || options.timeStyle) fields.push(part("minute", two(date.getUTCMinutes())));
    if (options.second || (options.timeStyle && options.timeStyle !== "short")) fields.push(part("second", two(date.getUTCSeconds())));
    if (out.length) out.push(literal(", "));
    fields.forEach((field, i) => out.push(...(i ? [literal(":"), field] : [field])));
    if (half && fields[0]?.type === "hour") out.push(literal(" "), part("dayPeriod", hours < 12 ? "AM" : "PM"));
  }
  format(value) { return this.formatToParts(value).map((part) => part.value).join(""); }
}

class NumberFormat extends Localised {
  format(value) {
    const options = this._options;
    if (typeof value === "bigint") return grouped(String(value));
    const number = Number(value);
    if (!Number.isFinite(number)) return Number.isNaN(number) ? "NaN" : number < 0 ? "-∞" : "∞";
    const percent = options.style === "percent";
    const currency = options.style === "currency";
    const least = options.minimumFractionDigits ?? (currency ? 2 : 0);
    const most = Math.max(least, options.maximumFractionDigits ?? (currency ? 2 : percent ? 0 : 3));
    let text = Math.abs(percent ? number * 100 : number).toFixed(most);
    if (most > least) text = text.replace(new RegExp(`(\\.\\d{${least}}\\d*?)0+$`), "$1").replace(/\.$/, "");
    if (options.useGrouping !== false) text = grouped(text);
    const sign = number < 0 ? "-" : "";
    const symbol = { USD: "$", EUR: "€", GBP: "£", JPY: "¥" }[options.currency] ?? `${options.currency} `;
    return sign + (currency ? symbol : "") + text + (percent ? "%" : "");
  }
  formatToParts(value) { return [{ type: "literal", value: this.format(value) }]; }
}
const grouped = (text) => text.replace(/^-?\d+/, (whole) => whole.replace(/\B(?=(\d{3})+$)/g, ","));

globalThis.Intl ??= {
  DateTimeFormat,
  NumberFormat,
  Collator: class extends Localised {
    get compare() {
      const fold = this._options.sensitivity === "base" || this._options.sensitivity === "accent" ? (text) => String(text).toLowerCase() : String;
      const chunks = (text) => fold(text).match(/\d+|\D+/g) ?? [];
      if (!this._options.numeric) return (a, b) => fold(a).localeCompare(fold(b));
      return (a, b) => {
        const [left, right] = [chunks(a), chunks(b)];
        for (let i = 0; i < Math.min(left.length, right.length); i++) {
          const both = /^\d/.test(left[i]) && /^\d/.test(right[i]);
          const order = both ? Number(left[i]) - Number(right[i]) : left[i].localeCompare(right[i]);
          if (order) return order;
        }
        return left.length - right.length;
      };
    }
  },
  PluralRules: class extends Localised {
    select(n) {
      if (this._options.type !== "ordinal") return Number(n) === 1 ? "one" : "other";
      const [ten, hundred] = [n % 10, n % 100];
      return ten === 1 && hundred !== 11 ? "one" : ten === 2 && hundred !== 12 ? "two" : ten === 3 && hundred !== 13 ? "few" : "other";
    }
  },
  ListFormat: class extends Localised {
    format(list) {
      const items = [...list];
      const word = this._options.type === "disjunction" ? "or" : "and";
      return items.length < 3 ? items.join(` ${word} `) : `${items.slice(0, -1).join(", ")}, ${word} ${items.at(-1)}`;
    }
  },
  RelativeTimeFormat: class extends Localised {
    format(value, unit) {
      const count = Math.abs(value);
      const name = `${count} ${String(unit).replace(/s$/, "")}${count === 1 ? "" : "s"}`;
      return value < 0 || Object.is(value, -0) ? `${name} ago` : `in ${name}`;
    }
  },
  Segmenter: class extends Localised {
    segment(text) {
      const pieces = this._options.granularity === "word" ? text.match(/\w+|\s+|[^\w\s]/g) ?? [] : [...text];
      let index = 0;
      return pieces.map((segment) => {
        const at = index;
        index += segment.length;
        return { segment, index: at, input: text, isWordLike: /^\w/.test(segment) };
      });
    }
  },
  DisplayNames: class extends Localised { of(code) { return code; } },
  Locale: class { constructor(tag) { this.baseName = tag; this.language = tag.split("-")[0]; } toString() { return this.baseName; } },
  getCanonicalLocales: (list) => [].concat(list ?? []),
  supportedValuesOf: () => [],
};

Date.prototype.toLocaleDateString = function (locale, options) { return new DateTimeFormat(locale, options).format(this); };
Date.prototype.toLocaleTimeString = function (locale, options) {
  return new DateTimeFormat(locale, { hour: "numeric", minute: "2-digit", second: "2-digit", ...options }).format(this);
};
Date.prototype.toLocaleString = function (locale, options) {
  const whole = { year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "2-digit", second: "2-digit" };
  return new DateTimeFormat(locale, options && Object.keys(options).some((key) => key !== "timeZone" && key !== "hour12") ? options : { ...whole, ...options }).format(this);
};
Number.prototype.toLocaleString = function (locale, options) { return new NumberFormat(locale, options).format(this.valueOf()); };
BigInt.prototype.toLocaleString = function () { return grouped(String(this)); };

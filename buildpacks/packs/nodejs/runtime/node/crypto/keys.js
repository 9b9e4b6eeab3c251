// crypto.KeyObject: secret keys as bytes, public and private ones as PEM text for the polyfill.
import { Buffer } from "../buffer.js";

const unsupported = () => Object.assign(new Error("error:1E08010C:DECODER routines::unsupported"), { code: "ERR_OSSL_UNSUPPORTED" });

export class KeyObject {
  constructor(type, material) {
    this.type = type;
    this._material = material;
    if (type === "secret") this.symmetricKeySize = material.length;
    else this.asymmetricKeyType = /BEGIN EC /.test(String(material)) ? "ec" : "rsa";
  }
  export(options) {
    if (options?.format === "jwk" && this.type === "secret") return { kty: "oct", k: this._material.toString("base64url") };
    return this._material;
  }
  equals(other) { return this.type === other.type && Buffer.compare(Buffer.from(this._material), Buffer.from(other._material)) === 0; }
}

/** A key argument in the form the polyfill takes. */
export function keyMaterial(key) {
  if (key instanceof KeyObject) return key._material;
  if (key && typeof key === "object" && key.key !== undefined && !ArrayBuffer.isView(key)) return { ...key, key: keyMaterial(key.key) };
  return key;
}

export const createSecretKey = (key, encoding) => new KeyObject("secret", Buffer.from(key, encoding));
function pemKey(type, pattern) {
  return (key) => {
    const text = keyMaterial(key?.key ?? key);
    if (!pattern.test(String(text))) throw unsupported();
    return new KeyObject(type, text);
  };
}
export const createPublicKey = pemKey("public", /BEGIN/);
export const createPrivateKey = pemKey("private", /PRIVATE KEY/);

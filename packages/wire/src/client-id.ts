/** Client ids: SHA-256 of the public key, so that a signature's validity needs no directory. */
import { bytesEqual, type ClientId, type Hasher } from "@narses/core";
import { hexDigest } from "./hex-digest.ts";
import { PUBLIC_KEY_BYTES } from "./limits.ts";

/** SHA-256 of the public key: self-certifying. @throws RangeError unless the key has 32 bytes. */
export function clientIdOf(hasher: Hasher, publicKey: Uint8Array): ClientId {
  if (publicKey.length !== PUBLIC_KEY_BYTES) throw new RangeError(`a public key has ${PUBLIC_KEY_BYTES} bytes, got ${publicKey.length}`);
  return hexDigest(hasher.sha256(publicKey)) as string as ClientId;
}

const PLACES = 1_024;

/** Ids of the keys met last: a key takes the place of another that begins alike. */
export class ClientIdCache {
  readonly #hasher: Hasher;
  readonly #places = new Array<{ readonly key: Uint8Array; readonly id: ClientId } | undefined>(PLACES);

  constructor(hasher: Hasher) {
    this.#hasher = hasher;
  }

  of(publicKey: Uint8Array): ClientId {
    const place = (((publicKey[0] ?? 0) << 8) | (publicKey[1] ?? 0)) % PLACES;
    const held = this.#places[place];
    if (held !== undefined && bytesEqual(held.key, publicKey)) return held.id;
    const id = clientIdOf(this.#hasher, publicKey);
    this.#places[place] = { key: publicKey.slice(), id };
    return id;
  }
}

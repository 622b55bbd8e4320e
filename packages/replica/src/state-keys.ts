/** Where things live in the replicated state. The application cannot reach outside its prefix. */
import type { ClientId } from "@narses/core";

/** The cluster id, written by genesis: its presence tells that genesis has run. */
export const CONFIG_KEY = "c/config";

const APP_PREFIX = "a/";
/** UTF-8 bytes of an application's key: what the state store takes, less the prefix. */
export const APP_KEY_BYTES_MAX: number = 512 - APP_PREFIX.length;

const utf8 = new TextEncoder();

/** @throws TypeError for keys the state cannot hold: deterministic, a function of the key alone. */
export function appKey(key: unknown): string {
  if (typeof key !== "string" || key.length === 0) throw new TypeError(`a state key must be a non-empty string, got ${typeof key}`);
  // A UTF-16 unit takes at most three bytes: short keys need no encoding.
  if (3 * key.length > APP_KEY_BYTES_MAX && utf8.encode(key).length > APP_KEY_BYTES_MAX) {
    throw new TypeError(`a state key must have at most ${APP_KEY_BYTES_MAX} UTF-8 bytes: ${JSON.stringify(key.slice(0, 40))}…`);
  }
  if (LONE_SURROGATE.test(key)) throw new TypeError("a state key must be well-formed Unicode, it has a lone surrogate");
  return APP_PREFIX + key;
}

/** Two such keys would be one key in UTF-8. */
const LONE_SURROGATE = /\p{Surrogate}/u;

export const sessionKey = (client: ClientId): string => `s/${client}`;

export const replyKey = (client: ClientId, ridFirst: number): string => `r/${client}/${ridFirst}`;

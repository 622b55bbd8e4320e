/** Where things live in the replicated state. The application cannot reach outside its prefix. */
import type { ClientId } from "@narses/core";
import { APP_STATE_PREFIX } from "@narses/wire";

/** The cluster id, written by genesis: its presence tells that genesis has run. */
export const CONFIG_KEY = "c/config";

const APP_PREFIX = APP_STATE_PREFIX;
/** UTF-8 bytes of an application's key: what the state store takes, less the prefix. */
export const APP_KEY_BYTES_MAX: number = 512 - APP_PREFIX.length;

const utf8 = new TextEncoder();

/** The last key asked for, and its answer: what is read is mostly written next, and a string made anew is hashed anew by every map it meets. */
let last = { key: "", full: "" };

/** @throws TypeError for keys the state cannot hold: deterministic, a function of the key alone. */
export function appKey(key: unknown): string {
  if (key === last.key && last.full !== "") return last.full;
  if (typeof key !== "string" || key.length === 0) throw new TypeError(`a state key must be a non-empty string, got ${typeof key}`);
  // A UTF-16 unit takes at most three bytes: short keys need no encoding.
  if (3 * key.length > APP_KEY_BYTES_MAX && utf8.encode(key).length > APP_KEY_BYTES_MAX) {
    throw new TypeError(`a state key must have at most ${APP_KEY_BYTES_MAX} UTF-8 bytes: ${JSON.stringify(key.slice(0, 40))}…`);
  }
  if (LONE_SURROGATE.test(key)) throw new TypeError("a state key must be well-formed Unicode, it has a lone surrogate");
  last = { key, full: APP_PREFIX + key };
  return last.full;
}

/** Two such keys would be one key in UTF-8. */
const LONE_SURROGATE = /\p{Surrogate}/u;

/** How many sessions there are, see `session-table.ts`. */
export const SESSION_TABLE_KEY = "s/table";
/** Whose session is at this place of the table. */
export const sessionPlaceKey = (position: number): string => `s/table/${position}`;
/** Which sessions a client has. */
export const clientKey = (client: ClientId): string => `s/${client}`;
export const sessionKey = ({ client, session }: SessionName): string => `s/${client}/${session}`;
/** What the keys of all kept results of a session begin with. */
export const sessionReplies = ({ client, session }: SessionName): string => `r/${client}/${session}/`;
export const replyKey = (name: SessionName, ridFirst: number): string => `${sessionReplies(name)}${ridFirst}`;

/** Sessions of different clients may have the same number. A bundle names its session this way too. */
export interface SessionName {
  readonly client: ClientId;
  readonly session: number;
}

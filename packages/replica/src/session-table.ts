/**
 * The sessions of all clients: which there are, which number may open one, and which is evicted to make place. All of it
 * is in the replicated state and changes in execution only, so every replica evicts the same session in the same slot, and a
 * restart or a state transfer changes nothing.
 *
 * A client opens a session by using its number for the first time. Exactly-once rests on one invariant: a number that
 * was ever open and is not open any more is at or below a floor, and nothing opens at or below a floor.
 * 1. Evicting session x of client c raises the floor of c to x. The record of c keeps it as long as c has a session.
 * 2. When the last session of c goes, its record goes, and the floor of the whole table is raised to that of c.
 * 3. A client without a record starts from the floor of the table.
 * 4. A number opens a session only above its anchor slot, so no floor is ever ahead of the cluster and nobody is locked out.
 *
 * State: `s/table` count and floor; `s/table/<i>` whose session is at place i, for i below count; `s/<client>` floor and numbers of a
 * client; `s/<client>/<number>` the session.
 */
import { bytesEqual, fromHex, NarsesError, sessionAnchor, toHex, type ClientId, type Parameters, type StateReader } from "@narses/core";
import { SESSIONS_PER_CLIENT_MAX } from "./limits.ts";
import type { Overlay } from "./overlay.ts";
import { decodeSession, encodeSession, newSession, type Session } from "./session.ts";
import { clientKey, replyKey, SESSION_TABLE_KEY, sessionKey, sessionPlaceKey, type SessionName } from "./state-keys.ts";
import { pushVarint, varints } from "./varint.ts";

export type SessionAccess =
  /** `isNew`: not in the state yet. */
  | { readonly type: "session"; readonly session: Session; readonly isNew: boolean }
  /** It was evicted, or never opened and can no more be. */
  | { readonly type: "evicted" }
  /** Its anchor is in the future. */
  | { readonly type: "unknown" };

/** The session a bundle executed in slot `seq` belongs to; `held` is what the state holds. */
export function findSession(state: StateReader, name: SessionName, seq: number, window: number, held: Session | undefined = readSession(state, name, window)): SessionAccess {
  if (held !== undefined) return { type: "session", session: held, isNew: false };
  if (sessionAnchor(name.session) >= seq) return { type: "unknown" };
  const floor = readClient(state, name.client)?.floor ?? readTable(state).floor;
  return name.session <= floor ? { type: "evicted" } : { type: "session", session: newSession(window), isNew: true };
}

function readSession(state: StateReader, name: SessionName, window: number): Session | undefined {
  const bytes = state.get(sessionKey(name));
  return bytes === undefined ? undefined : decodeSession(bytes, window);
}

export class SessionTable {
  readonly #state: StateReader;
  readonly #parameters: Pick<Parameters, "sessionWindow" | "sessionsMax">;
  /** Every session, the one unused for longest first. Follows from the state: made when an eviction needs it, and then kept up to date. */
  #byUse: Map<string, SessionName> | undefined;

  constructor(state: StateReader, parameters: Pick<Parameters, "sessionWindow" | "sessionsMax">) {
    this.#state = state;
    this.#parameters = parameters;
  }

  /**
   * Gives a new session its place, that of an evicted one if there is no other; the writes go to `writes`, the session's own
   * record excepted. Returns who was evicted.
   */
  enter(writes: Overlay, name: SessionName, session: Session): SessionName | undefined {
    const table = readTable(this.#state);
    const own = readClient(this.#state, name.client) ?? { floor: table.floor, sessions: [] };
    const victim = this.#victim(name.client, own.sessions, table.count);
    if (victim === undefined) session.position = table.count++;
    else {
      session.position = this.#evict(writes, victim);
      const client = victim.client === name.client ? own : this.#client(victim.client);
      client.floor = Math.max(client.floor, victim.session);
      client.sessions.splice(client.sessions.indexOf(victim.session), 1);
      if (client !== own) putOrDrop(writes, victim.client, client, table);
    }
    own.sessions.push(name.session);
    writes.put(clientKey(name.client), encodeClient(own));
    writes.put(sessionPlaceKey(session.position), encodePlace(name));
    putIfChanged(writes, SESSION_TABLE_KEY, encodeTable(table));
    return victim;
  }

  /** A bundle of this session is in the state: it is the one used last. `evicted` made place for it. */
  used(name: SessionName, evicted: SessionName | undefined): void {
    if (this.#byUse === undefined) return;
    if (evicted !== undefined) this.#byUse.delete(sessionKey(evicted));
    const key = sessionKey(name);
    this.#byUse.delete(key);
    this.#byUse.set(key, { client: name.client, session: name.session });
  }

  /** The state was replaced. */
  reset(): void {
    this.#byUse = undefined;
  }

  #victim(client: ClientId, own: readonly number[], count: number): SessionName | undefined {
    const { sessionsMax } = this.#parameters;
    if (own.length >= Math.min(SESSIONS_PER_CLIENT_MAX, sessionsMax)) return this.#unusedForLongest(own.map((session) => ({ client, session })))[0];
    if (count < sessionsMax) return undefined;
    this.#byUse ??= new Map(this.#unusedForLongest(this.#all(count)).map((name) => [sessionKey(name), name]));
    for (const name of this.#byUse.values()) return name;
    throw corrupt(SESSION_TABLE_KEY);
  }

  #all(count: number): readonly SessionName[] {
    return Array.from({ length: count }, (_, position) => {
      const key = sessionPlaceKey(position);
      return decodePlace(this.#state.get(key), key);
    });
  }

  #unusedForLongest(names: readonly SessionName[]): readonly SessionName[] {
    const found = names.map((name) => ({ name, active: this.#session(name).active }));
    return found.sort((a, b) => a.active.seq - b.active.seq || a.active.place - b.active.place).map(({ name }) => name);
  }

  /** Removes the session and its replies; returns its place. */
  #evict(writes: Overlay, name: SessionName): number {
    const { kept, position } = this.#session(name);
    writes.delete(sessionKey(name));
    for (const { ridFirst } of kept) writes.delete(replyKey(name, ridFirst));
    return position;
  }

  #session(name: SessionName): Session {
    const session = readSession(this.#state, name, this.#parameters.sessionWindow);
    if (session === undefined) throw corrupt(sessionKey(name));
    return session;
  }

  #client(client: ClientId): ClientRecord {
    const record = readClient(this.#state, client);
    if (record === undefined) throw corrupt(clientKey(client));
    return record;
  }
}

/** Writes the session's record; it was changed by bundle `place` of slot `seq`. */
export function putSession(writes: Overlay, name: SessionName, session: Session, active: Session["active"]): void {
  session.active = active;
  writes.put(sessionKey(name), encodeSession(session));
}

/** A client without a session leaves its floor to the table. */
function putOrDrop(writes: Overlay, client: ClientId, record: ClientRecord, table: TableRecord): void {
  if (record.sessions.length > 0) return writes.put(clientKey(client), encodeClient(record));
  table.floor = Math.max(table.floor, record.floor);
  writes.delete(clientKey(client));
}

function putIfChanged(writes: Overlay, key: string, value: Uint8Array): void {
  const before = writes.get(key);
  if (before === undefined || !bytesEqual(before, value)) writes.put(key, value);
}

// ── bytes in the state ───────────────────────────────────────────────────────────────────────────────────────────

/** No session number is at or below it. */
const NO_FLOOR = -1;

interface TableRecord {
  count: number;
  floor: number;
}

interface ClientRecord {
  floor: number;
  /** In order of opening. */
  readonly sessions: number[];
}

/** Sessions in the state, and the table's floor. */
export function readTable(state: StateReader): TableRecord {
  const bytes = state.get(SESSION_TABLE_KEY);
  if (bytes === undefined) return { count: 0, floor: NO_FLOOR };
  const { next } = varints(bytes, 0, () => corrupt(SESSION_TABLE_KEY));
  return { count: next(), floor: next() - 1 };
}

function encodeTable({ count, floor }: TableRecord): Uint8Array {
  return encodeVarints([count, floor + 1]);
}

function readClient(state: StateReader, client: ClientId): ClientRecord | undefined {
  const key = clientKey(client);
  const bytes = state.get(key);
  if (bytes === undefined) return undefined;
  const { next } = varints(bytes, 0, () => corrupt(key));
  const floor = next() - 1;
  return { floor, sessions: Array.from({ length: next() }, next) };
}

const encodeClient = ({ floor, sessions }: ClientRecord): Uint8Array => encodeVarints([floor + 1, sessions.length, ...sessions]);

function encodePlace({ client, session }: SessionName): Uint8Array {
  return Uint8Array.from([...fromHex(client), ...encodeVarints([session])]);
}

function decodePlace(bytes: Uint8Array | undefined, key: string): SessionName {
  if (bytes === undefined || bytes.length < CLIENT_BYTES) throw corrupt(key);
  return { client: toHex(bytes.subarray(0, CLIENT_BYTES)) as string as ClientId, session: varints(bytes, CLIENT_BYTES, () => corrupt(key)).next() };
}

const CLIENT_BYTES = 32;

function encodeVarints(values: readonly number[]): Uint8Array {
  const out: number[] = [];
  for (const value of values) pushVarint(out, value);
  return Uint8Array.from(out);
}

const corrupt = (key: string): NarsesError =>
  new NarsesError("DATA_CORRUPT", `the replicated state does not hold what it should under ${key}; restore the data directory from another replica`, { key });

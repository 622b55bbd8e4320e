/**
 * Sessions decoded lately. One is good as long as the state holds the very bytes it was decoded from, or encoded to: every write puts
 * other bytes there, so nothing has to be told when a session changes, is evicted, or the whole state is replaced.
 */
import type { StateReader } from "@narses/core";
import { SESSIONS_DECODED_MAX } from "./limits.ts";
import { decodeSession, type Session } from "./session.ts";
import { sessionKey, type SessionName } from "./state-keys.ts";

interface Decoded {
  readonly bytes: Uint8Array;
  readonly session: Session;
}

export class DecodedSessions {
  readonly #held = new Map<string, Decoded>();

  /** To look at, not to change; undefined when the state has no such session. @throws NarsesError DATA_CORRUPT. */
  read(state: StateReader, name: SessionName, window: number): Session | undefined {
    const key = sessionKey(name);
    const bytes = state.get(key);
    if (bytes === undefined) return undefined;
    const held = this.#held.get(key);
    if (held?.bytes === bytes) return held.session;
    const session = decodeSession(bytes, window);
    this.#hold(key, { bytes, session });
    return session;
  }

  /** As {@link read}, to change: nobody else sees it until it is given to {@link keep}. */
  take(state: StateReader, name: SessionName, window: number): Session | undefined {
    const session = this.read(state, name, window);
    if (session !== undefined) this.#held.delete(sessionKey(name));
    return session;
  }

  /** The state holds this session now; it is not changed any more. */
  keep(state: StateReader, name: SessionName, session: Session): void {
    const key = sessionKey(name);
    const bytes = state.get(key);
    if (bytes !== undefined) this.#hold(key, { bytes, session });
  }

  #hold(key: string, decoded: Decoded): void {
    this.#held.set(key, decoded);
    if (this.#held.size <= SESSIONS_DECODED_MAX) return;
    for (const oldest of this.#held.keys()) {
      this.#held.delete(oldest);
      return;
    }
  }
}

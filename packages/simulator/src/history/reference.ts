/**
 * What the agreed log gives when an application is run over it alone, one operation after the other, on a plain map: nothing of the
 * replicas' execution, sessions or storage is in here.
 */
import type { Batch, BlockHeader, Bundle, StateMachine } from "@narses/core";
import { requestId, seqNum } from "@narses/core";
import { hasher } from "@narses/crypto";
import { randomNumbers, REJECTION_CODE_LENGTH_MAX, slotSeed } from "@narses/replica/core";
import { decodePayload, encodePayload, encodeResult } from "@narses/wire";
import { resultText } from "../executed-block.ts";
import type { Replayed } from "./log-check.ts";

export interface AgreedSlot {
  /** Request ids that replicas say had no effect here, by bundle: repeated, beyond their session's window, or of a session that is closed. */
  readonly idle: readonly ReadonlySet<number>[];
  readonly batch: Batch | undefined;
  readonly header: Pick<BlockHeader, "timestampMs" | "batchDigest" | "parent">;
}

export const operationId = ({ client, session }: Bundle, rid: number): string => `c${client.slice(0, 12)}${session === 0 ? "" : `.${session}`}:${rid}`;
export const requestIds = (bundle: Bundle): readonly number[] => Array.from({ length: bundle.operationCount }, (_, i) => bundle.ridFirst + i);

/** Values by key, as msgpack: what was put cannot change afterwards. */
class PlainStore {
  private readonly committed = new Map<string, Uint8Array>();
  private writes = new Map<string, Uint8Array | undefined>();

  get(key: string): unknown {
    const bytes = this.writes.has(key) ? this.writes.get(key) : this.committed.get(key);
    if (bytes === undefined) return undefined;
    const decoded = decodePayload(bytes);
    return decoded.ok ? decoded.value : undefined;
  }

  put(key: string, value: unknown): void {
    this.writes.set(key, encodePayload(value));
  }

  delete(key: string): void {
    this.writes.set(key, undefined);
  }

  keep(): void {
    for (const [key, bytes] of this.writes) {
      if (bytes === undefined) this.committed.delete(key);
      else this.committed.set(key, bytes);
    }
    this.writes = new Map();
  }

  undo(): void {
    this.writes = new Map();
  }
}

/** "3:duplicate 4:17": of a bundle's results, those that are none. */
export function idleOf(line: string): ReadonlySet<number> {
  return new Set(line.split(" ").flatMap((word) => (word.endsWith(":duplicate") ? [Number.parseInt(word, 10)] : [])));
}

/** An error of the application that is not a refusal: replicas undo the operation and answer INTERNAL, which nobody wants. */
export interface Mistake {
  readonly id: string;
  readonly error: unknown;
}

export interface ReplayedLog {
  readonly replayed: ReadonlyMap<string, Replayed<string>>;
  /** The first one. */
  readonly mistake: Mistake | undefined;
}

/**
 * The log from slot 1 on without a gap; a request id takes effect once, where it is ordered first and replicas say that it did. What they
 * leave out wrongly nobody can have an answer to: the history tells.
 */
export function replayApplication(log: ReadonlyMap<number, AgreedSlot>, app: StateMachine, genesis: unknown): ReplayedLog {
  const replayed = new Map<string, Replayed<string>>();
  let mistake: Mistake | undefined;
  const store = new PlainStore();
  app.genesis?.(genesis, store);
  store.keep();
  for (let seq = 1; log.has(seq); seq++) {
    const { batch, header, idle } = log.get(seq) as AgreedSlot;
    const seed = slotSeed(hasher, { batch: header.batchDigest, seq: seqNum(seq), parent: header.parent });
    for (const [place, bundle] of (batch?.bundles ?? []).entries()) {
      const { operations } = bundle;
      requestIds(bundle).forEach((rid, i) => {
        const id = operationId(bundle, rid);
        const operation = operations[i];
        if (replayed.has(id) || operation === undefined || idle[place]?.has(rid) === true) return;
        const decoded = decodePayload(operation.payload);
        const context = {
          store, time: header.timestampMs, seq: seqNum(seq), client: bundle.client, publicKey: bundle.publicKey, rid: requestId(rid),
          random: randomNumbers(hasher, seed, place, i),
        };
        const onMistake = (error: unknown): void => void (mistake ??= { id, error });
        replayed.set(id, { position: replayed.size, output: decoded.ok ? applied(() => app.apply(decoded.value, context), store, onMistake) : "!BAD_OPERATION" });
      });
    }
  }
  return { replayed, mistake };
}

function applied(apply: () => unknown, store: PlainStore, onMistake: (error: unknown) => void): string {
  try {
    const value = apply();
    if (typeof (value as { then?: unknown } | null | undefined)?.then === "function") throw new TypeError("apply returned a promise: it must be synchronous");
    const text = resultText(encodeResult({ status: "ok", value }));
    store.keep();
    return text;
  } catch (error) {
    store.undo();
    const code = refusalCode(error);
    if (code === undefined) onMistake(error);
    return `!${code ?? "INTERNAL"}`;
  }
}

/** By name: an application may have a copy of core of its own. */
function refusalCode(error: unknown): string | undefined {
  const { name, code } = (error ?? {}) as { readonly name?: unknown; readonly code?: unknown };
  const isCode = typeof code === "string" && code.length > 0 && code.length <= REJECTION_CODE_LENGTH_MAX;
  return name === "AppRejection" && isCode ? code : undefined;
}

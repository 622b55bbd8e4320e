/** The ledger on a plain in-memory store, with the shell's rule that a refused operation leaves nothing behind. */
import { createHash } from "node:crypto";
import { AppRejection, clientId, requestId, seqNum, type AppStore, type Hasher, type StateMachine } from "@narses/core";
import { guardDeterminism } from "@narses/replica";
import { createLedger, type Ledger } from "../src/state-machine/machine.ts";
import type { LedgerOperation, LedgerQuestion } from "../src/state-machine/operations.ts";

export const hasher: Hasher = {
  sha256: (...parts) => {
    const hash = createHash("sha256");
    for (const part of parts) hash.update(part);
    return hash.digest();
  },
};

const keyOf = (name: string): Uint8Array => hasher.sha256(Buffer.from(name));
export const publicKeyOf = (name: string): string => Buffer.from(keyOf(name)).toString("hex");

export type Outcome =
  { ok: true; value: Record<string, unknown> } | { ok: false; code: string; message: string; data: Readonly<Record<string, unknown>> };

export class LedgerOnABench {
  /** Under the guard: whatever these tests do, the ledger does deterministically. */
  readonly machine = guardDeterminism(createLedger(hasher), { fresh: () => createLedger(hasher) as StateMachine }) as Ledger;
  state = new Map<string, unknown>();
  seq = 0;

  constructor(genesis: unknown) {
    this.machine.genesis(genesis, this.store());
  }

  store(): AppStore {
    return {
      get: (key) => structuredClone(this.state.get(key)),
      put: (key, value) => void this.state.set(key, structuredClone(value)),
      delete: (key) => void this.state.delete(key),
    };
  }

  apply(who: string, op: unknown): Outcome {
    const before = new Map(this.state);
    this.seq++;
    const publicKey = keyOf(who);
    const client = clientId(Buffer.from(hasher.sha256(publicKey)).toString("hex"));
    try {
      const value = this.machine.apply(op as LedgerOperation, {
        store: this.store(),
        time: 1_700_000_000_000 + this.seq,
        seq: seqNum(this.seq),
        client,
        publicKey,
        rid: requestId(this.seq),
        random: () => 0.5,
      });
      return { ok: true, value: value as unknown as Record<string, unknown> };
    } catch (error) {
      this.state = before;
      if (!(error instanceof AppRejection)) throw error;
      return { ok: false, code: error.code, message: error.message, data: error.data };
    }
  }

  ask(question: LedgerQuestion): unknown {
    return this.machine.query(question, { store: this.store(), time: 0, seq: seqNum(this.seq) });
  }

  balance(id: string, asset: string): string {
    const answer = this.ask({ type: "account", id }) as { holdings: { asset: string; balance: string }[] };
    return answer.holdings.find((holding) => holding.asset === asset)?.balance ?? "none";
  }

  /** Sum over all accounts, issuance accounts included. */
  sum(asset: string): string {
    let total = 0n;
    for (let offset = 0; ;) {
      const part = this.ask({ type: "sum", asset, offset, limit: 100 }) as { minor: string; counted: number; total: number };
      total += BigInt(part.minor);
      offset += part.counted;
      if (offset >= part.total) return total.toString();
    }
  }
}

/** The bank is admin and issues both assets; alice and bob are members. */
export const GENESIS = {
  ledger: 1,
  members: [
    { publicKey: publicKeyOf("alice"), name: "Alice", roles: ["member"] },
    { publicKey: publicKeyOf("bank"), name: "Bank", roles: ["admin", "member"] },
    { publicKey: publicKeyOf("bob"), roles: ["member"] },
  ],
  assets: [
    { code: "EUR", decimals: 2, issuer: publicKeyOf("bank"), name: "Euro" },
    { code: "YEN", decimals: 0, issuer: publicKeyOf("bank") },
  ],
  accounts: [
    { id: "a", owner: publicKeyOf("alice"), opening: [{ asset: "EUR", amount: "100.00" }] },
    { id: "b", owner: publicKeyOf("bob") },
  ],
};

export const openBench = (): LedgerOnABench => new LedgerOnABench(GENESIS);

export function refused(outcome: Outcome): { code: string; message: string; data: Readonly<Record<string, unknown>> } {
  if (outcome.ok) throw new TypeError(`expected a refusal, got ${JSON.stringify(outcome.value)}`);
  return outcome;
}

export function applied(outcome: Outcome): Record<string, unknown> {
  if (!outcome.ok) throw new TypeError(`expected success, got ${outcome.code}: ${outcome.message}`);
  return outcome.value;
}

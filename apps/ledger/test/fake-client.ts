/** A client whose cluster is the bench ledger: answers at once, certified by nobody. */
import type { Client, Submitted } from "@narses/client";
import { NarsesError, type ClientId, type Digest, type Receipt, type SeqNum } from "@narses/core";
import { LedgerClient } from "../src/client/ledger-client.ts";
import type { LedgerQuestion } from "../src/state-machine/operations.ts";
import type { LedgerOnABench } from "./bench-ledger.ts";

export interface FakeOptions {
  /** Called before each operation is applied; may throw what a client would. */
  readonly onSubmit?: (operation: Record<string, unknown>) => void;
}

export function fakeLedgerClient(bench: LedgerOnABench, who: string, options: FakeOptions = {}): LedgerClient {
  const answered = (result: unknown): Submitted => ({
    result,
    seq: bench.seq as SeqNum,
    block: "" as Digest,
    receipt: { bundle: new Uint8Array(0), operation: 0 } as unknown as Receipt,
  });
  const client: Client = {
    id: who as ClientId,
    submit: async (operation) => {
      await Promise.resolve();
      options.onSubmit?.(operation as Record<string, unknown>);
      const outcome = bench.apply(who, operation);
      if (outcome.ok) return answered(outcome.value);
      throw new NarsesError("APP_REJECTED", outcome.message, {
        code: outcome.code,
        message: outcome.message,
        data: outcome.data,
        seq: bench.seq,
      });
    },
    query: async (question) => Promise.resolve({ ...answered(bench.ask(question as LedgerQuestion)), consistency: "ordered" as const }),
    read: () => Promise.reject(new TypeError("not used")),
    submitMany: () => Promise.reject(new TypeError("not used")),
    call: () => Promise.reject(new TypeError("not used")),
    status: () => {
      throw new TypeError("not used");
    },
    close: () => Promise.resolve(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
  return new LedgerClient(client);
}

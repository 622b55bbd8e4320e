/** The same application, not replicated: what the framework's price is measured against. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { clientId, requestId, seqNum, type ApplyContext } from "@narses/core";
import { openVoteLog } from "@narses/storage";
import { decodePayload, encodePayload } from "@narses/wire";
import { benchApp } from "../app.ts";
import type { BaselineReport, BaselineRequest } from "./load-spec.ts";
import { sampleProcess } from "./sample.ts";

/** Operations and values pass through the codec like a replica's; the state is a map in memory. */
function context(): ApplyContext {
  const state = new Map<string, Uint8Array>();
  return {
    store: {
      get: (key) => {
        const bytes = state.get(key);
        const decoded = bytes === undefined ? undefined : decodePayload(bytes);
        return decoded?.ok === true ? decoded.value : undefined;
      },
      put: (key, value) => void state.set(key, encodePayload(value)),
      delete: (key) => void state.delete(key),
    },
    time: 0, seq: seqNum(1), client: clientId("0".repeat(64)), publicKey: new Uint8Array(32), rid: requestId(1), random: () => 0.5,
  };
}

export async function baseline({ payloadBytes, unit, durationMs, durable }: BaselineRequest): Promise<BaselineReport> {
  const directory = mkdtempSync(join(tmpdir(), "narses-bench-"));
  const log = await openVoteLog({ directory });
  try {
    const operations = context();
    const payload = encodePayload(new Uint8Array(payloadBytes));
    const before = sampleProcess().cpuUs;
    const startMs = performance.now();
    let done = 0;
    while (performance.now() - startMs < durationMs) {
      if (durable) {
        for (let i = 0; i < unit; i++) log.append(payload, seqNum(1));
        log.sync();
      }
      for (let i = 0; i < unit; i++) {
        const decoded = decodePayload(payload);
        if (decoded.ok) encodePayload(benchApp.apply(decoded.value as Uint8Array, operations));
      }
      done += unit;
    }
    return { operations: done, seconds: (performance.now() - startMs) / 1_000, cpuUs: sampleProcess().cpuUs - before };
  } finally {
    await log.close();
    rmSync(directory, { recursive: true, force: true });
  }
}

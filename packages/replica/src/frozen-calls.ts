/**
 * While the disk is full nothing is read; but whoever asks why must get an answer. `status` and `why` touch neither engine nor disk, so they
 * are answered past the loop, a bounded number in a tick. Everything else waits in the inbox.
 */
import type { ClientConnection } from "@narses/core";
import type { Codec } from "@narses/wire";
import type { Control } from "./control.ts";
import { FROZEN_CALLS_PER_TICK, FROZEN_CALL_BYTES_MAX } from "./limits.ts";

export interface FrozenCalls {
  /** True when the frame was such a call, and was answered. */
  answer(connection: ClientConnection, frame: Uint8Array): boolean;
  tick(): void;
}

const METHODS: ReadonlySet<string> = new Set(["status", "why"]);

export function createFrozenCalls({ codec, control }: { readonly codec: Pick<Codec, "decodeClient">; readonly control: Control }): FrozenCalls {
  let left = FROZEN_CALLS_PER_TICK;
  return {
    answer(connection, frame) {
      if (left <= 0 || frame.length > FROZEN_CALL_BYTES_MAX) return false;
      left--;
      const decoded = codec.decodeClient(frame);
      if (!decoded.ok || decoded.value.type !== "call" || !METHODS.has(decoded.value.method)) return false;
      control.call(connection, decoded.value);
      return true;
    },
    tick() {
      left = FROZEN_CALLS_PER_TICK;
    },
  };
}

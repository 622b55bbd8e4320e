/** Watches one replica from inside, for simulators: told in the order in which things happen; changes nothing, must not throw. */
import type { Block, Digest, Effect } from "@narses/core";

export interface Probe {
  /** Of one turn. Their records are durable; nothing else of them has happened yet. */
  effects(effects: readonly Effect[]): void;
  /** A slot was executed, also one that was executed before a restart. Nobody was told yet. */
  executed(block: Block, hash: Digest): void;
}

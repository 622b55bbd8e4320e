/** The engine that ships, seen from outside: everything that goes into it. */
import type { Digest, Input, OrderingEngine, SeqNum } from "@narses/core";
import { createEngine } from "@narses/pbft";
import type { EngineFactory } from "@narses/replica/core";

export interface EngineWatch {
  /** It was made, and has taken nothing yet. */
  made(engine: OrderingEngine, genesisRoot: Digest, executedSeq: SeqNum): void;
  /** Keep this from it: a Byzantine replica need not listen. */
  hides(input: Input): boolean;
  takes(input: Input): void;
}

export function watchedEngine(watch: EngineWatch): EngineFactory {
  return (config, tools, recovered) => {
    const engine = createEngine(config, tools, recovered);
    watch.made(engine, config.genesisRoot, recovered?.executedSeq ?? engine.status().executedSeq);
    return {
      name: engine.name,
      screen: (message) => engine.screen(message),
      status: () => engine.status(),
      step: (input) => {
        if (watch.hides(input)) return [];
        watch.takes(input);
        return engine.step(input);
      },
    };
  };
}

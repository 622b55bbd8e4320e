/** A primary that floods empty batches between those of its clients: what waits is served, slowly, and the log fills with nothing. */
import { type Batch, type PrePrepare, seqNum, type View } from "@narses/core";
import type { Outgoing, PolicyFactory, Powers } from "./policy.ts";
import { toAll } from "./policy.ts";

/** Empty batches in one tick, at most. */
const BURST_MAX = 3;

interface Reign {
  readonly view: View;
  /** Of what was proposed last, by it or by its engine. */
  seq: number;
  timestampMs: number;
  /** What its engine's proposals became, by their sequence number. */
  readonly told: Map<number, Outgoing["message"]>;
}

function proposal({ signer, config, self }: Powers, reign: Reign, batch: Batch): Outgoing["message"] {
  const body: PrePrepare = { type: "pre-prepare", epoch: config.epoch, sender: self, view: reign.view, seq: seqNum(++reign.seq), digest: batch.digest };
  reign.timestampMs = batch.timestampMs;
  return { type: "pre-prepare", signed: signer.sign(body), batch };
}

/** Its engine counts other slots than it proposes, so its own votes fit nothing: the others do without them. */
export const emptyBatches: PolicyFactory = (powers) => {
  const { toolkit, config } = powers;
  let reign: Reign | undefined;
  const ours = new WeakSet<Outgoing["message"]>();
  /** The engine goes on from where the flood has got to, and its timestamps follow. */
  const retold = (at: Reign, seq: number, { timestampMs, bundles }: Batch): Outgoing["message"] => {
    let told = at.told.get(seq);
    if (told === undefined) {
      told = proposal(powers, at, toolkit.tools.makeBatch(config.epoch, Math.max(timestampMs, at.timestampMs + 1), bundles));
      at.told.set(seq, told);
    }
    return told;
  };
  return {
    name: "empty-batches",
    outgoing: (out) => {
      const { message, to } = out;
      // Of content that it does not carry no other proposal can be made.
      if (message.type === "compact-pre-prepare" && message.signed.body.sender === powers.self) return [];
      if (message.type !== "pre-prepare" || message.signed.body.sender !== powers.self) return [out];
      const { view, seq } = message.signed.body;
      // What the policy itself made passes as it is.
      if (reign?.view === view && ours.has(message)) return [out];
      reign = reign?.view === view ? reign : { view, seq: seq - 1, timestampMs: message.batch.timestampMs, told: new Map() };
      return [{ to, message: retold(reign, seq, message.batch) }];
    },
    tick: () => {
      const now = powers.status();
      if (reign === undefined || now?.view !== reign.view || now.primary !== powers.self) return [];
      // As far as the others can follow: beyond it the flood would be no proposal at all.
      const limit = Math.max(...powers.observe().map(({ status }) => status.executedSeq)) + config.parameters.pipelineDepth;
      const made: Outgoing[] = [];
      for (let i = powers.random.int(1, BURST_MAX); i > 0 && reign.seq < limit; i--) {
        const message = proposal(powers, reign, toolkit.tools.makeBatch(config.epoch, reign.timestampMs + 1, []));
        ours.add(message);
        made.push(...toAll(powers, message));
      }
      return made;
    },
  };
};

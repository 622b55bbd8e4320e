/**
 * Liars as donors of state. What they send is checked against a hash that a certified checkpoint leads to, so none of it can be
 * installed; it can cost time. Whole replicas only: engines know no pages.
 */
import { seqNum, type BlockHeader, type StableCheckpoint, type StateMessage, type StatePage } from "@narses/core";
import { hashText } from "../hash.ts";
import type { Outgoing, Policy, PolicyFactory } from "./policy.ts";
import { toAll } from "./policy.ts";

/** Pages of earlier checkpoints that are remembered, at most. */
const PAGES_MAX = 256;
/** What a boastful donor claims to have executed. */
const FAR = 1_000_000_000_000;

/** A byte that is not what it was. */
function spoilt(bytes: Uint8Array, at: number): Uint8Array {
  const copy = bytes.slice();
  if (copy.length > 0) copy[at % copy.length] = (copy[at % copy.length] ?? 0) ^ 1;
  return copy;
}

/** Wrong pages, wrong nodes, a wrong header; or what was right for an earlier checkpoint. */
export const wrongDonor: PolicyFactory = (powers) => {
  const { random } = powers;
  const earlier = new Map<number, StatePage>();
  const relabel = (page: StatePage): StatePage => {
    const old = earlier.get(page.bucket);
    if (earlier.size < PAGES_MAX || old !== undefined) earlier.set(page.bucket, page);
    return old !== undefined && old.bytes.length === old.size ? old : { ...page, bytes: spoilt(page.bytes, random.word()) };
  };
  const header = (genuine: BlockHeader): BlockHeader => random.pick([
    { ...genuine, stateRoot: hashText(`wrong|${genuine.stateRoot}`) }, { ...genuine, seq: seqNum(Math.max(1, genuine.seq - 1)) },
  ]);
  return {
    name: "wrong-donor",
    state: (_to, message): readonly StateMessage[] => {
      if (random.chance(0.3)) return [message];
      switch (message.type) {
        case "state-header":
          return [random.chance(0.5) ? { ...message, header: header(message.header) } : { ...message, top: spoilt(message.top, random.word()) }];
        case "state-nodes":
          return [{ ...message, nodes: message.nodes.map((node) => ({ ...node, children: spoilt(node.children, random.word()) })) }];
        case "state-pages":
          return [{ ...message, pages: message.pages.map(relabel) }];
        default:
          return [message];
      }
    },
  };
};

/** Gives something, then nothing, or one byte at a time, or says that it has none of it any more. */
export const stallingDonor: PolicyFactory = (powers) => {
  const { random } = powers;
  const style = random.pick(["silent", "trickle", "gone"] as const);
  let left = random.pick([0, 1, 3, 10]);
  return {
    name: "stalling-donor",
    state: (_to, message): readonly StateMessage[] => {
      if (message.type === "fetch-state" || message.type === "state-gone") return [message];
      if (left-- > 0) return [message];
      if (style === "silent") return [];
      if (style === "gone") return [{ type: "state-gone", seq: "seq" in message ? message.seq : message.header.seq, oldest: seqNum(0) }];
      const [page] = message.type === "state-pages" ? message.pages : [];
      if (page === undefined || message.type !== "state-pages") return [message];
      return [{ ...message, pages: [{ ...page, bytes: page.bytes.subarray(0, Math.min(1, page.bytes.length)) }] }];
    },
  };
};

/** Sizes and counts that are not so: pages as large as the format can say, pages nobody asked for, a tree of another depth. */
export const bombDonor: PolicyFactory = (powers) => {
  const { random } = powers;
  return {
    name: "bomb-donor",
    state: (_to, message): readonly StateMessage[] => {
      switch (message.type) {
        case "state-header":
          return [random.chance(0.3) ? { ...message, bits: random.pick([0, 1, 20]) } : message];
        case "state-pages": {
          const [first] = message.pages;
          if (first === undefined || random.chance(0.3)) return [message];
          if (random.chance(0.5)) return [{ ...message, pages: [{ ...first, size: random.pick([first.size + 1, 1 << 24, 0xffff_ffff]), bytes: first.bytes.subarray(0, 1) }] }];
          return [{ ...message, pages: message.pages.map((page) => ({ ...page, bucket: page.bucket + 1 })) }, message, message];
        }
        case "state-nodes":
          return random.chance(0.3) ? [{ ...message, nodes: message.nodes.slice(0, 1).map((node) => ({ ...node, children: new Uint8Array(512) })) }] : [message];
        default:
          return [message];
      }
    },
  };
};

/** A checkpoint far ahead on its own word, counted as often as a quorum; later it has never heard of it. */
export const boastfulDonor: PolicyFactory = (powers): Policy => {
  const { random, config } = powers;
  const claim = (): StableCheckpoint => {
    const k = config.parameters.checkpointInterval;
    const seq = seqNum(k * random.pick([Math.floor(FAR / k), Math.floor((powers.status()?.executedSeq ?? 0) / k) + random.int(1, 5)]));
    const root = hashText(`boast|${seq}`);
    const signed = powers.signer.sign({ type: "checkpoint", epoch: config.epoch, sender: powers.self, seq, root });
    return { seq, root, proof: Array.from({ length: random.pick([0, 1, config.quorums.strong]) }, () => signed) };
  };
  return {
    name: "boastful-donor",
    tick: (): readonly Outgoing[] => (random.chance(0.05) ? toAll(powers, { type: "stable", stable: claim() }) : []),
    outgoing: (out) => {
      if (out.message.type !== "status" || random.chance(0.5)) return [out];
      return [{ to: out.to, message: { type: "status", status: { ...out.message.status, executedSeq: seqNum(FAR), stableSeq: seqNum(FAR) } } }];
    },
    state: (_to, message) => [message.type === "state-header" && random.chance(0.3) ? { type: "state-gone", seq: message.header.seq, oldest: seqNum(FAR) } : message],
  };
};


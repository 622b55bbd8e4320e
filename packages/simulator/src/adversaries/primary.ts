/** A primary that abuses its office: gaps, double and stale assignments, forged or missing content, wrong clocks, wrong sizes. */
import type { Batch, Bundle, Digest } from "@narses/core";
import { seqNum, toHex } from "@narses/core";
import { hasher } from "@narses/crypto";
import { hashText } from "../hash.ts";
import type { Outgoing, PolicyFactory } from "./policy.ts";
import { othersOf, toAll } from "./policy.ts";
import { retell } from "./retold.ts";

/** How far ahead of their clocks backups accept a timestamp (`pbft`, pre-prepare), milliseconds. */
const TIMESTAMP_AHEAD_MS_MAX = 60_000;

/** Proposes to just W of the others, so that the rest depends on what it is told later; silent to those left out. */
export const inTheDark: PolicyFactory = (powers) => {
  const lit = new Set(powers.random.shuffle(othersOf(powers)).slice(0, powers.config.quorums.weak));
  return { name: "in-the-dark", outgoing: (out) => (lit.has(out.to) ? [out] : []) };
};

/** Leaves one slot out, now and then, and proposes those above it; or leaves out half a window, once and for all. */
export const sequenceGap: PolicyFactory = (powers) => {
  const leap = powers.random.chance(0.5) ? Math.ceil(powers.config.parameters.logWindow / 2) : 0;
  let gap = 0;
  return {
    name: "sequence-gap",
    outgoing: ({ to, message }) => {
      if (message.type !== "pre-prepare" || message.signed.body.sender !== powers.self) return [{ to, message }];
      const { seq } = message.signed.body;
      if (leap > 0) {
        gap = gap === 0 ? seq + powers.random.int(0, 3) : gap;
        if (seq < gap) return [{ to, message }];
        return [{ to, message: { ...message, signed: powers.signer.sign({ ...message.signed.body, seq: seqNum(seq + leap) }) } }];
      }
      if (seq > gap + 3 && powers.random.chance(0.3)) gap = seq;
      return seq === gap ? [] : [{ to, message }];
    },
  };
};

/** The same requests under two sequence numbers. */
export const doubleAssignment: PolicyFactory = (powers) => {
  let last: Batch | undefined;
  return retell(powers, "double-assignment", (_body, batch) => {
    const again = last;
    last = batch;
    return again !== undefined && powers.random.chance(0.5) ? { batch: again } : undefined;
  });
};

/** Requests executed long ago, proposed again. */
export const staleRequests: PolicyFactory = (powers) => retell(powers, "stale-requests", ({ epoch }, batch) => {
  if (powers.bundles.length === 0 || powers.random.chance(0.5)) return undefined;
  const stale = Array.from({ length: powers.random.int(1, 2) }, () => powers.random.pick(powers.bundles));
  return { batch: powers.toolkit.tools.makeBatch(epoch, batch.timestampMs, [...new Set([...stale, ...batch.bundles])].slice(0, Math.max(1, batch.bundles.length))) };
});

/** The client's bundle with one bit of its signature turned: everything else adds up, the digest too. */
function forge(bundle: Bundle): Bundle {
  const bytes = bundle.bytes.slice();
  bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
  return { ...bundle, bytes, digest: toHex(hasher.sha256(bytes)) as Digest };
}

/** Requests no client signed. */
export const forgedRequests: PolicyFactory = (powers) => retell(powers, "forged-requests", ({ epoch }, batch) => {
  const [first, ...rest] = batch.bundles;
  if (first === undefined || powers.random.chance(0.5)) return undefined;
  return { batch: powers.toolkit.tools.makeBatch(epoch, batch.timestampMs, [forge(first), ...rest]) };
});

/** A digest that is not that of the content; or content that differs from listener to listener under one digest. */
export const payloadMismatch: PolicyFactory = (powers) => ({
  name: "payload-mismatch",
  outgoing: (out) => {
    const { message, to } = out;
    if (message.type === "batch" || (message.type === "decision" && message.batch !== undefined)) {
      const { batch } = message;
      if (batch === undefined || powers.random.chance(0.5)) return [out];
      return [{ to, message: { ...message, batch: { ...batch, timestampMs: batch.timestampMs + 1 } } }];
    }
    if (message.type !== "pre-prepare" || message.signed.body.sender !== powers.self || powers.random.chance(0.7)) return [out];
    const { batch, signed } = message;
    const other = { ...batch, timestampMs: batch.timestampMs + 1 + to };
    if (powers.random.chance(0.5)) return [{ to, message: { ...message, batch: other } }];
    return [{ to, message: { ...message, signed: powers.signer.sign({ ...signed.body, digest: hashText(`nobody holds ${signed.body.digest}`) }) } }];
  },
});

/** Timestamps from elsewhere: far past, equal, far future, and just at the edge of what backups accept. */
export const wrongClock: PolicyFactory = (powers) => retell(powers, "wrong-clock", ({ epoch }, batch) => {
  if (powers.random.chance(0.3)) return undefined;
  const shift = powers.random.pick([-1e12, -60_000, 0, TIMESTAMP_AHEAD_MS_MAX - 2, TIMESTAMP_AHEAD_MS_MAX, TIMESTAMP_AHEAD_MS_MAX + 50, 1e11]);
  return { batch: powers.toolkit.tools.makeBatch(epoch, Math.max(0, batch.timestampMs + shift), batch.bundles) };
});

/** One operation more than a batch may have; or nothing at all, while clients wait. */
export const wrongSize: PolicyFactory = (powers) => {
  const empty = powers.random.chance(0.3);
  return retell(powers, "wrong-size", ({ epoch }, batch) => {
    if (powers.random.chance(0.5)) return undefined;
    if (empty) return { batch: powers.toolkit.tools.makeBatch(epoch, batch.timestampMs + powers.random.int(1, 1_000), []) };
    const stuffed: Bundle[] = [];
    let operations = 0;
    for (let i = 0; operations <= powers.config.parameters.batchOperationsMax && i < powers.bundles.length; i++) {
      const bundle = powers.bundles[i] as Bundle;
      stuffed.push(bundle);
      operations += bundle.operationCount;
    }
    return { batch: powers.toolkit.tools.makeBatch(epoch, batch.timestampMs, stuffed) };
  });
};

/** A backup that proposes as if it were the primary. */
export const usurper: PolicyFactory = (powers) => {
  let timestampMs = 1;
  return {
    name: "usurper",
    incoming: (_from, message) => {
      if (message.type === "pre-prepare") timestampMs = message.batch.timestampMs;
      return true;
    },
    tick: (): readonly Outgoing[] => {
      const now = powers.status();
      if (now === undefined || now.primary === powers.self || powers.bundles.length === 0 || !powers.random.chance(0.1)) return [];
      const { epoch } = powers.config;
      // Nothing but the sender is wrong with it.
      const batch = powers.toolkit.tools.makeBatch(epoch, timestampMs + 1, [powers.bundles.at(-1) as Bundle]);
      const seq = seqNum(now.executedSeq + powers.random.int(1, 3));
      const signed = powers.signer.sign({ type: "pre-prepare", epoch, sender: powers.self, view: now.view, seq, digest: batch.digest });
      return toAll(powers, { type: "pre-prepare", signed, batch });
    },
  };
};

/** Names large bundles that nobody has, in half of its proposals. */
export const phantom: PolicyFactory = (powers) => {
  const invented = new Map<number, Batch | undefined>();
  return {
    name: "phantom",
    outgoing: (out) => {
      const { message, to } = out;
      const [known] = powers.bundles;
      if (message.type !== "compact-pre-prepare" || known === undefined) return [out];
      const { signed: { body }, timestampMs } = message;
      if (!invented.has(body.seq)) {
        const batch = powers.toolkit.tools.makeBatch(body.epoch, timestampMs, [forge(known)]);
        invented.set(body.seq, powers.random.chance(0.5) ? batch : undefined);
      }
      const batch = invented.get(body.seq);
      if (batch === undefined) return [out];
      const signed = powers.signer.sign({ ...body, digest: batch.digest });
      return [{ to, message: { ...message, signed, bundles: batch.bundles.map(({ digest }) => digest) } }];
    },
  };
};

/** Tells nobody what was decided, and hands out no payload: whoever misses something must ask another. */
export const withholder: PolicyFactory = () => ({
  name: "withholder",
  outgoing: (out) => (["batch", "forward", "decision", "stable"].includes(out.message.type) ? [] : [out]),
});


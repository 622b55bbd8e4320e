/**
 * Evidence: what proves that a replica broke the protocol is kept as a file that anyone can verify against the cluster file. One for
 * each offence, a bounded number of them, the first ones: they tell most.
 */
import type { Evidence, Hasher, Logger, SignedBody } from "@narses/core";
import type { Codec } from "@narses/wire";
import { BoundedSet } from "./bounded-set.ts";
import type { Counters } from "./counters.ts";
import { EVIDENCE_BYTES_EACH_MAX, EVIDENCE_PENDING_MAX, EVIDENCE_REMEMBERED_MAX } from "./limits.ts";
import { describeError } from "./log.ts";

/** Where evidence is kept. */
export interface EvidenceStore {
  /** Durable under this name when it resolves: with where it is, or undefined when there is no room. Once for each name. */
  put(name: string, bytes: Uint8Array): Promise<string | undefined>;
}

export interface EvidenceKeeper {
  /** Keeps it, unless it is known. `detail` says what was done. */
  keep(evidence: Evidence, detail: string): void;
  /** Resolves when nothing is being written. */
  idle(): Promise<void>;
}

export interface EvidenceKeeperOptions {
  readonly codec: Pick<Codec, "encodeEvidence">;
  readonly hasher: Hasher;
  /** Without one, what is found is only told. */
  readonly store: EvidenceStore | undefined;
  readonly counters: Counters;
  readonly logger: Logger;
}

export function createEvidenceKeeper({ codec, hasher, store, counters, logger }: EvidenceKeeperOptions): EvidenceKeeper {
  const known = new BoundedSet(EVIDENCE_REMEMBERED_MAX);
  let pending = 0;
  let writing: Promise<void> = Promise.resolve();

  async function write(offence: Offence, bytes: Uint8Array, detail: string): Promise<void> {
    const hash = Buffer.from(hasher.sha256(bytes)).toString("hex", 0, 8);
    const path = await store?.put(`${offence.name}-${hash}.evidence`, bytes);
    const { accused } = offence;
    if (path !== undefined) {
      counters.evidence++;
      const advice = `The proof is in ${path}, for "verify evidence"; replace that replica, or its key`;
      logger.error({ replica: accused, file: path }, `replica ${accused} is proven to be faulty: ${detail}. ${advice}`);
      return;
    }
    counters.evidenceDropped++;
    logger.error({ replica: accused }, `replica ${accused} is proven to be faulty: ${detail}. The proof is not kept: there is no room for more evidence`);
  }

  return {
    keep(evidence, detail) {
      const offence = offenceOf(evidence);
      if (known.touch(offence.name)) return;
      known.add(offence.name);
      const bytes = codec.encodeEvidence(evidence).slice();
      if (pending >= EVIDENCE_PENDING_MAX || bytes.length > EVIDENCE_BYTES_EACH_MAX) {
        counters.evidenceDropped++;
        return;
      }
      pending++;
      writing = writing
        .then(() => write(offence, bytes, detail))
        .catch((error: unknown) => logger.error({ replica: offence.accused, error: describeError(error) }, "evidence could not be written"))
        .finally(() => pending--);
    },
    idle: () => writing,
  };
}

interface Offence {
  readonly accused: number;
  /** The same for every proof of one offence; part of a file name. */
  readonly name: string;
}

function offenceOf(evidence: Evidence): Offence {
  const { body } = evidence.type === "pair" ? evidence.second : evidence.signed;
  return { accused: body.sender, name: `replica-${body.sender}-${evidence.type}-${body.type}-${placeOf(body)}` };
}

function placeOf(body: SignedBody): string {
  switch (body.type) {
    case "pre-prepare":
      return `view-${body.view}-slot-${body.seq}`;
    case "votes":
      return `view-${body.votes[0]?.view ?? 0}-slot-${body.votes[0]?.seq ?? 0}`;
    case "checkpoint":
    case "outcome":
      return `slot-${body.seq}`;
    case "view-change":
    case "new-view":
      return `view-${body.view}`;
  }
}

/** What the disks of the nodes say between two rounds: decisions, for agreement across a partition; and requests. */
import type { Digest } from "@narses/core";
import type { Disk } from "../disk.ts";
import type { Node } from "./nodes.ts";

export interface Verdict {
  readonly kind: string;
  readonly oracle: string;
  readonly detail: string;
}

/** What a disk says was decided and executed. */
interface Decided {
  readonly batches: ReadonlyMap<number, Digest>;
  readonly roots: ReadonlyMap<number, Digest>;
}

function decided(disk: Disk): Decided {
  const batches = new Map<number, Digest>();
  const roots = new Map<number, Digest>([[disk.snapshot.seq, disk.snapshot.head]]);
  disk.blocks.forEach(({ header, hash }) => {
    batches.set(header.seq, header.batchDigest);
    roots.set(header.seq, hash);
  });
  for (const record of disk.records) if (record.type === "committed") batches.set(record.certificate.seq, record.certificate.digest);
  return { batches, roots };
}

interface Conflict {
  readonly seq: number;
  readonly what: "decided" | "executed";
  readonly digests: readonly [Digest, Digest];
}

function conflictOf(left: Decided, right: Decided): Conflict | undefined {
  for (const [what, of] of [["decided", "batches"], ["executed", "roots"]] as const) {
    for (const [seq, digest] of left[of]) {
      const other = right[of].get(seq);
      if (other !== undefined && other !== digest) return { seq, what, digests: [digest, other] };
    }
  }
  return undefined;
}

/** A number for what a disk says was decided. */
export type DecisionsId = number;

/** Two of n numbers as one. */
const PAIR = 2 ** 26;

export class Decisions {
  private readonly ids = new Map<string, DecisionsId>();
  private readonly all: Decided[] = [];
  private readonly conflicts = new Map<number, Conflict | undefined>();

  intern(disk: Disk): DecisionsId {
    const one = decided(disk);
    const text = [one.batches, one.roots].map((of) => [...of].map(([seq, digest]) => `${seq}${digest}`).join(" ")).join("|");
    let id = this.ids.get(text);
    if (id === undefined) {
      this.ids.set(text, (id = this.all.length));
      this.all.push(one);
    }
    return id;
  }

  /** Two of these nodes that contradict each other, from their disks alone. @param decisions by node. */
  conflict(nodes: readonly Node[], decisions: readonly DecisionsId[]): Verdict | undefined {
    for (const a of nodes) {
      for (const b of nodes) {
        if (b.index <= a.index) continue;
        const found = this.compare(decisions[a.index] as DecisionsId, decisions[b.index] as DecisionsId);
        if (found === undefined) continue;
        const { seq, what, digests: [left, right] } = found;
        const detail = `n${seq}: ${a.name} ${what} ${left.slice(0, 6)}, ${b.name} ${what} ${right.slice(0, 6)}`;
        return { kind: "safety", oracle: what === "decided" ? "agreement" : "state", detail };
      }
    }
    return undefined;
  }

  private compare(a: DecisionsId, b: DecisionsId): Conflict | undefined {
    if (a === b) return undefined;
    const pair = a * PAIR + b;
    if (!this.conflicts.has(pair)) this.conflicts.set(pair, conflictOf(this.all[a] as Decided, this.all[b] as Decided));
    return this.conflicts.get(pair);
  }
}

/** The ids of all requests that the disk knows of. */
export function requestsOn(disk: Disk): ReadonlySet<number> {
  const known = new Set<number>();
  for (const { low, above } of disk.snapshot.sessions.values()) {
    for (let rid = 1; rid <= low; rid++) known.add(rid);
    for (const rid of above) known.add(rid);
  }
  for (const record of disk.records) {
    if (record.type !== "pre-prepared" && record.type !== "committed") continue;
    for (const bundle of record.batch?.bundles ?? []) known.add(bundle.ridFirst);
  }
  return known;
}

/** What the disks of the nodes say between two rounds: decisions, for agreement across a partition; and requests. */
import type { Digest } from "@narses/core";
import type { Disk } from "../disk.ts";

export interface Verdict {
  readonly kind: string;
  readonly oracle: string;
  readonly detail: string;
}

/** What a disk says was decided and executed. */
function decided(disk: Disk): { readonly batches: ReadonlyMap<number, Digest>; readonly roots: ReadonlyMap<number, Digest> } {
  const batches = new Map<number, Digest>();
  const roots = new Map<number, Digest>([[disk.snapshot.seq, disk.snapshot.head]]);
  disk.blocks.forEach(({ header, hash }) => {
    batches.set(header.seq, header.batchDigest);
    roots.set(header.seq, hash);
  });
  for (const record of disk.records) if (record.type === "committed") batches.set(record.certificate.seq, record.certificate.digest);
  return { batches, roots };
}

/** Two correct replicas that contradict each other, from their disks alone. */
export function conflictOf(nameA: string, a: Disk, nameB: string, b: Disk): Verdict | undefined {
  const [left, right] = [decided(a), decided(b)];
  for (const [what, of] of [["decided", "batches"], ["executed", "roots"]] as const) {
    for (const [seq, digest] of left[of]) {
      const other = right[of].get(seq);
      if (other === undefined || other === digest) continue;
      const detail = `n${seq}: ${nameA} ${what} ${digest.slice(0, 6)}, ${nameB} ${what} ${other.slice(0, 6)}`;
      return { kind: "safety", oracle: what === "decided" ? "agreement" : "state", detail };
    }
  }
  return undefined;
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

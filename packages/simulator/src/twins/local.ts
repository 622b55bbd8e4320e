/** One disk of one node, written down once: what `symmetry.ts` compares, and what it asks of it again and again. */
import { type Batch, type Digest, NULL_DIGEST, type PreparedCertificate, type StableCheckpoint } from "@narses/core";
import { isObsolete, type State } from "../app.ts";
import type { Disk } from "../disk.ts";
import { type Essence, essenceOf, type SlotRecords } from "./compact.ts";

type Mark = "view" | "slot" | "digest";
/** A word of a description: as it is, or to be told relative to a state. */
export type Part = string | { readonly mark: Mark; readonly value: number | Digest };

export const view = (value: number): Part => ({ mark: "view", value });
export const slot = (value: number): Part => ({ mark: "slot", value });
export const digest = (value: Digest): Part => (value === NULL_DIGEST ? "null" : { mark: "digest", value });

/** A prepared certificate, of the node's own log or in a VIEW-CHANGE that it holds. */
export interface Certificate {
  readonly where: string;
  readonly seq: number;
  readonly view: number;
  readonly digest: Digest;
}

/** A digest that was voted for before the view the node is in. */
export interface Voted {
  readonly seq: number;
  readonly digest: Digest;
  /** Which of its bundles the state on disk has not executed, as text; and whether the payload is there. */
  readonly open: string;
  readonly bundles: readonly Digest[];
}

export interface LocalState {
  readonly disk: Disk;
  /** Everything name by name: equal for disks that are read alike. */
  readonly text: string;
  /** Without what follows. */
  readonly parts: readonly Part[];
  readonly certificates: readonly Certificate[];
  readonly voted: readonly Voted[];
  /** Of the NEW-VIEW of the view that it is in: the last slot that it settled, what it proposes, and of that what the own log lacks. */
  readonly settled: number;
  readonly carried: readonly { readonly seq: number; readonly digest: Digest; readonly lacks: boolean }[];
  /** The view it comes back in. */
  readonly view: number;
  /** Whether that view has begun for it. */
  readonly active: boolean;
  /** View 0, without any NEW-VIEW. */
  readonly fresh: boolean;
  /** Its certified checkpoint. */
  readonly stableSeq: number;
  /** Every block from this one to the state on disk is there. */
  readonly blocksFrom: number;
}

const stableParts = ({ seq, root }: StableCheckpoint): Part[] => ["stable", slot(seq), ...(seq === 0 ? [] : [digest(root)])];

const certificateOf = (where: string) => ({ prePrepare: { body } }: PreparedCertificate): Certificate => ({ where, seq: body.seq, view: body.view, digest: body.digest });

/** A payload, or none: which of its bundles the state on disk has executed, and their names. */
function batchWords(batch: Batch | undefined, state: State): { readonly open: string; readonly bundles: readonly Digest[] } {
  if (batch === undefined) return { open: "-", bundles: [] };
  return { open: `(${batch.bundles.map((bundle) => (isObsolete(state, bundle) ? "done" : "open")).join(" ")})`, bundles: batch.bundles.map((bundle) => bundle.digest) };
}

function batchParts(batch: Batch | undefined, state: State): Part[] {
  const { open, bundles } = batchWords(batch, state);
  return [open, ...bundles.map(digest)];
}

/** Signed, V has done its work: what it called for is O, and the checkpoint that O begins at. Unsigned, O is still to be made of V. */
function viewParts({ left, entered }: Essence): { readonly parts: Part[]; readonly certificates: Certificate[] } {
  if (left !== undefined) return { parts: ["left", view(left.view), ...stableParts(left.stable)], certificates: left.prepared.map(certificateOf("left")) };
  if (entered === undefined) return { parts: ["fresh"], certificates: [] };
  if (entered.signed !== undefined) return { parts: ["entered", view(entered.view)], certificates: [] };
  return {
    parts: ["unsigned", view(entered.view), ...entered.viewChanges.flatMap(({ body }) => [String(body.sender), ...stableParts(body.stable)])],
    certificates: entered.viewChanges.flatMap(({ body }) => body.prepared.map(certificateOf(String(body.sender)))),
  };
}

function slotParts({ seq, proposals, committed, vouched }: SlotRecords, state: State, now: number): Part[] {
  const parts: Part[] = [];
  for (const record of proposals) {
    if (record.view === now) parts.push("proposal", digest(record.digest), record.signed === undefined ? "own" : "", ...batchParts(record.batch, state));
  }
  if (committed !== undefined) parts.push("committed", digest(committed.certificate.digest), ...batchParts(committed.batch, state));
  for (const { root } of vouched) parts.push("vouched", digest(root));
  return parts.length === 0 ? [] : [";", slot(seq), ...parts];
}

const carriedBy = ({ entered, slots }: Essence): LocalState["carried"] => (entered?.signed?.body.prePrepares ?? []).map(({ body }) => {
  const own = slots.find(({ seq }) => seq === body.seq)?.proposals[0];
  return { seq: body.seq, digest: body.digest, lacks: own?.view !== entered?.view };
});

const settledBy = ({ entered }: Essence): number => (entered?.signed === undefined ? 0
  : Math.max(...entered.viewChanges.map(({ body }) => body.stable.seq), ...entered.signed.body.prePrepares.map(({ body }) => body.seq)));

/** @param disk compacted. */
export function describe(disk: Disk): LocalState {
  const essence = essenceOf(disk.records);
  const { snapshot, blocks } = disk;
  const { left, entered, stable, slots } = essence;
  const now = left?.view ?? entered?.view ?? 0;
  const of = viewParts(essence);
  const parts: Part[] = ["state", slot(snapshot.seq)];
  if (snapshot.seq > 0) parts.push(digest(snapshot.head));
  if (stable !== undefined) parts.push(...stableParts(stable.stable));
  parts.push(...of.parts, ...slots.flatMap((records) => slotParts(records, snapshot, now)));
  const certificates = [...of.certificates, ...slots.flatMap(({ prepared }) => (prepared === undefined ? [] : [certificateOf("own")(prepared.certificate)]))];
  const voted = slots.flatMap(({ seq, voted: before, proposals }) => [...before, ...proposals.filter((record) => record.view < now)]
    .filter((record) => record.digest !== NULL_DIGEST)
    .map((record): Voted => ({ seq, digest: record.digest, ...batchWords(record.batch, snapshot) })));
  let blocksFrom = snapshot.seq + 1;
  while (blocksFrom > 1 && blocks[blocksFrom - 1] !== undefined) blocksFrom--;
  const local = {
    disk, parts, certificates, voted: voted.sort((a, b) => a.seq - b.seq || (a.digest < b.digest ? -1 : 1)), settled: settledBy(essence), carried: carriedBy(essence),
    view: now, active: left === undefined && (entered === undefined || entered.signed !== undefined), fresh: entered === undefined, stableSeq: stable?.stable.seq ?? 0, blocksFrom,
  };
  return { ...local, text: textOf(local) };
}

const plain = (part: Part): string => (typeof part === "string" ? part : `${part.mark}${part.value}`);

function textOf({ parts, certificates, voted, settled, carried, blocksFrom }: Omit<LocalState, "text">): string {
  const more = [
    ...certificates.map((one) => `${one.where} ${one.seq} ${one.view} ${one.digest}`),
    ...voted.map((one) => `voted ${one.seq} ${one.digest} ${one.open} ${one.bundles.join(" ")}`),
    ...carried.map((one) => `carried ${one.seq} ${one.digest} ${one.lacks}`),
  ];
  return `${blocksFrom}|${settled}|${parts.map(plain).join(" ")}|${more.join("|")}`;
}

/** What stands in for the wire layouts: every signed body as one canonical line of text, to be hashed and signed. */
import type { BlockHeader, Digest, PreparedCertificate, Signed, SignedBody, StableCheckpoint, VoteRef } from "@narses/core";
import { toHex } from "@narses/core";
import { hashText } from "./hash.ts";

const names = new WeakMap<Uint8Array, string>();

/** The envelope as text: equal exactly when the bytes are. */
export function envelopeName(bytes: Uint8Array): string {
  let name = names.get(bytes);
  if (name === undefined) names.set(bytes, (name = toHex(bytes)));
  return name;
}

const nested = (signed: Signed<unknown>): string => envelopeName(signed.bytes);
const voteRef = (ref: VoteRef): string => `${nested(ref.frame)}@${ref.index}`;
const stableText = (s: StableCheckpoint): string => `${s.seq}:${s.root}(${s.proof.map(nested).join(",")})`;
const preparedText = (p: PreparedCertificate): string => `${nested(p.prePrepare)}(${p.prepares.map(voteRef).join(",")})`;

/** Canonical: two bodies have the same text exactly when they say the same. */
export function bodyText(body: SignedBody): string {
  const head = `${body.type}|${body.epoch}|${body.sender}|`;
  switch (body.type) {
    case "pre-prepare":
      return `${head}${body.view}|${body.seq}|${body.digest}`;
    case "votes":
      return head + body.votes.map((v) => `${v.phase}.${v.view}.${v.seq}.${v.digest}`).join(",");
    case "checkpoint":
      return `${head}${body.seq}|${body.root}`;
    case "view-change":
      return `${head}${body.view}|${stableText(body.stable)}|${body.prepared.map(preparedText).join(",")}`;
    case "new-view":
      return `${head}${body.view}|${body.viewChanges.map(nested).join(",")}|${body.prePrepares.map(nested).join(",")}`;
    case "outcome":
      return `${head}${body.seq}|${body.block}`;
  }
}

/** Hash of a block header: the checkpoint root. */
export const headerHash = (h: BlockHeader): Digest =>
  hashText(`block|${h.seq}|${h.parent}|${h.timestampMs}|${h.batchDigest}|${h.bundleRoot}|${h.resultRoot}|${h.stateRoot}`);

/** Covers epoch, time and the ordered bundles, neither view nor sequence number: a batch keeps its digest across views. */
export const batchDigest = (epoch: number, timestampMs: number, bundles: readonly { readonly digest: Digest }[]): Digest =>
  hashText(`batch|${epoch}|${timestampMs}|${bundles.map((b) => b.digest).join(",")}`);

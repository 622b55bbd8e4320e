/**
 * Builds a value's bytes again from its fields alone: no `bytes` of the decoded value is reused except signatures. What
 * a decoder accepted must come out as it went in, or two byte strings have one meaning.
 */
import type { Batch, Bundle, ClientMessage, CommitCertificate, NewView, PeerMessage, PreparedCertificate, Signed, SignedBody, StableCheckpoint, StateMessage, ViewChange, VoteRef } from "@narses/core";
import { codec } from "./cluster.ts";

const signatureOf = (bytes: Uint8Array): Uint8Array => bytes.subarray(bytes.length - 64);

export function rebuildSigned<B extends SignedBody>(signed: Signed<B>): Signed<B> {
  const body = rebuildBody(signed.body);
  return codec.seal(body, codec.unsigned(body), signatureOf(signed.bytes)) as Signed<B>;
}

function rebuildBody(body: SignedBody): SignedBody {
  if (body.type === "view-change") return { ...body, stable: rebuildStable(body.stable), prepared: body.prepared.map(rebuildPrepared) } satisfies ViewChange;
  if (body.type === "new-view") {
    return { ...body, viewChanges: body.viewChanges.map(rebuildSigned), prePrepares: body.prePrepares.map(rebuildSigned) } satisfies NewView;
  }
  return body;
}

const rebuildRef = ({ frame, index }: VoteRef): VoteRef => ({ frame: rebuildSigned(frame), index });

export const rebuildPrepared = (p: PreparedCertificate): PreparedCertificate => ({ prePrepare: rebuildSigned(p.prePrepare), prepares: p.prepares.map(rebuildRef) });
export const rebuildCommit = (c: CommitCertificate): CommitCertificate => ({ ...c, commits: c.commits.map(rebuildRef) });
export const rebuildStable = (s: StableCheckpoint): StableCheckpoint => ({ ...s, proof: s.proof.map(rebuildSigned) });

export function rebuildBundle(bundle: Bundle): Bundle {
  const { publicKey, session, ridFirst, ackLow, operations, bytes } = bundle;
  return codec.makeBundle({ key: { publicKey, sign: () => signatureOf(bytes) }, session, ridFirst, ackLow, operations });
}

export const rebuildBatch = (batch: Batch): Batch => codec.makeBatch(batch.epoch, batch.timestampMs, batch.bundles.map(rebuildBundle));

export function rebuildPeer(m: PeerMessage | StateMessage): PeerMessage | StateMessage {
  switch (m.type) {
    case "pre-prepare":
      return { ...m, signed: rebuildSigned(m.signed), batch: rebuildBatch(m.batch) };
    case "compact-pre-prepare":
      return { ...m, signed: rebuildSigned(m.signed), bundles: m.bundles.map((bundle) => (typeof bundle === "string" ? bundle : rebuildBundle(bundle))) };
    case "votes":
      return { ...m, signed: rebuildSigned(m.signed) };
    case "checkpoint":
      return { ...m, signed: rebuildSigned(m.signed) };
    case "view-change":
      return { ...m, signed: rebuildSigned(m.signed) };
    case "new-view":
      return { ...m, signed: rebuildSigned(m.signed) };
    case "forward":
      return { ...m, bundle: rebuildBundle(m.bundle) };
    case "batch":
      return { ...m, batch: rebuildBatch(m.batch) };
    case "decision":
      return { ...m, certificate: rebuildCommit(m.certificate), batch: m.batch && rebuildBatch(m.batch) };
    case "stable":
      return { ...m, stable: rebuildStable(m.stable) };
    case "recalled": {
      const { votes, prePrepares, viewChange, stable } = m.recalled;
      const rebuilt = { votes: votes.map(rebuildSigned), prePrepares: prePrepares.map(rebuildSigned), viewChange: viewChange && rebuildSigned(viewChange), stable: rebuildStable(stable) };
      return { ...m, recalled: { ...m.recalled, ...rebuilt } };
    }
    case "recall":
    case "status":
    case "fetch-batch":
    case "fetch-bundles":
    case "fetch-state":
    case "state-header":
    case "state-nodes":
    case "state-pages":
    case "state-gone":
    case "fetch-block":
    case "block-part":
      return m;
  }
}

export const rebuildClient = (m: ClientMessage): ClientMessage => (m.type === "request" ? { ...m, bundle: rebuildBundle(m.bundle) } : m);

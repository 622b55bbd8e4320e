/** The signed envelopes inside a message: what a verifier that sees each distinct envelope once has to check. */
import type { PeerMessage, PreparedCertificate, Signed, SignedBody, StableCheckpoint, ViewChange, VoteRef } from "@narses/core";
import { hasher } from "@narses/crypto";

const names = new WeakMap<Uint8Array, string>();
const lists = new WeakMap<object, readonly string[]>();

/** Equal exactly when the bytes are. */
export function nameOf({ bytes }: Signed<SignedBody>): string {
  let name = names.get(bytes);
  if (name === undefined) names.set(bytes, (name = Buffer.from(hasher.sha256(bytes)).toString("latin1")));
  return name;
}

/** Names of every envelope a message carries, each once, the outermost first. */
export function envelopesOf(message: PeerMessage): readonly string[] {
  const known = lists.get(message);
  if (known !== undefined) return known;
  const found = new Set<string>();
  collect(message, (signed) => found.add(nameOf(signed)));
  const list = [...found];
  lists.set(message, list);
  return list;
}

type Visit = (signed: Signed<SignedBody>) => void;

function collect(message: PeerMessage, visit: Visit): void {
  switch (message.type) {
    case "pre-prepare":
    case "compact-pre-prepare":
    case "votes":
    case "checkpoint":
      return visit(message.signed);
    case "view-change":
      return viewChange(message.signed, visit);
    case "new-view":
      visit(message.signed);
      for (const signed of message.signed.body.viewChanges) viewChange(signed, visit);
      for (const signed of message.signed.body.prePrepares) visit(signed);
      return;
    case "decision":
      return frames(message.certificate.commits, visit);
    case "stable":
      return stable(message.stable, visit);
    case "status":
    case "forward":
    case "fetch-batch":
    case "fetch-bundles":
    case "batch":
    case "recall":
      return;
    case "recalled":
      for (const signed of message.recalled.votes) visit(signed);
      for (const signed of message.recalled.prePrepares) visit(signed);
      if (message.recalled.viewChange !== undefined) visit(message.recalled.viewChange);
      return;
  }
}

function viewChange(signed: Signed<ViewChange>, visit: Visit): void {
  visit(signed);
  stable(signed.body.stable, visit);
  for (const certificate of signed.body.prepared) prepared(certificate, visit);
}

function prepared({ prePrepare, prepares }: PreparedCertificate, visit: Visit): void {
  visit(prePrepare);
  frames(prepares, visit);
}

const frames = (refs: readonly VoteRef[], visit: Visit): void => refs.forEach(({ frame }) => visit(frame));
const stable = ({ proof }: StableCheckpoint, visit: Visit): void => proof.forEach(visit);

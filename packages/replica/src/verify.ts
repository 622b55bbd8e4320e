/**
 * The only mint of `Verified`: every signature a message carries, nested ones too, is checked here, under the key of the
 * signer it names, whoever relays it. Structure and digests were checked by the codec; whether the signed statements add up
 * is the engine's business (except for the number of signatures, which bounds the work: the codec bounds that).
 *
 * Each envelope is verified once: certificates repeat the same frames, and a client's bundle is seen at admission, when
 * relayed, and in a proposal.
 */
import {
  assertNever, mintVerified, primaryOf, rejection, verdict,
  type Batch, type Bundle, type ClientId, type CommitCertificate, type Evidence, type Hasher, type NewView, type PeerMessage, type PrePrepare, type PreparedCertificate,
  type Rejection, type ReplicaId, type Signed, type SignedBody, type StableCheckpoint, type Verified, type VerifyingKey, type ViewChange, type VoteRef,
} from "@narses/core";
import type { Codec } from "@narses/wire";
import { BoundedSet } from "./bounded-set.ts";
import type { Counters } from "./counters.ts";
import { CLIENT_KEYS_CACHED_MAX, VERIFIED_BUNDLES_MAX, VERIFIED_ENVELOPES_MAX } from "./limits.ts";

export type Judgement =
  | { readonly ok: true; readonly message: Verified<PeerMessage> }
  /** `guilty`: replicas proven to have sent what no correct replica sends, to this replica; `evidence` proves it to anyone. */
  | { readonly ok: false; readonly rejection: Rejection; readonly guilty: readonly ReplicaId[]; readonly evidence?: Evidence };

export interface Verifier {
  /** Judges a decoded message from the authenticated channel of `from`. */
  message(from: ReplicaId, message: PeerMessage): Judgement;
  /** The bundle if the client's key and signature are good, else why not. */
  bundle(bundle: Bundle): { readonly ok: true; readonly bundle: Verified<Bundle> } | { readonly ok: false; readonly rejection: Rejection };
  /** What is wrong with the signatures of a certificate. */
  certificate(certificate: CommitCertificate): Rejection | undefined;
  /** Whether this bundle was verified not long ago. */
  knows(bundle: Bundle): boolean;
  /** An envelope this replica signed itself comes back inside certificates: no need to verify it. */
  remember(own: Signed<SignedBody>): void;
}

export interface VerifierOptions {
  readonly codec: Pick<Codec, "signedParts">;
  readonly hasher: Hasher;
  /** By replica id. */
  readonly replicaKeys: readonly VerifyingKey[];
  /** @throws when the bytes are no acceptable key. Bounded cache inside. */
  readonly verifyingKey: (publicKey: Uint8Array) => VerifyingKey;
  /** Public keys that may submit, in hex; undefined: any. */
  readonly clientKeys: ReadonlySet<string> | undefined;
  /** The engine's opinion of a message before any signature is checked: undefined when it is worth verifying. */
  readonly screen: (message: PeerMessage) => Rejection | undefined;
  readonly counters: Counters;
}

type Problem = Rejection | undefined;

/** Why a message is not accepted, and who besides the channel's owner is to blame for it. */
interface Finding {
  readonly rejection: Rejection;
  readonly signer?: ReplicaId;
}

/** What the checks below share. */
interface Tools {
  readonly envelopes: EnvelopeVerifier;
  readonly bundles: BundleVerifier;
  readonly options: VerifierOptions;
}

export function createVerifier(options: VerifierOptions): Verifier {
  const tools: Tools = { envelopes: new EnvelopeVerifier(options), bundles: new BundleVerifier(options), options };
  return {
    message(from, message) {
      // Not held against anyone: nothing of it is proven to be the sender's.
      const unwanted = options.screen(message);
      if (unwanted !== undefined) return { ok: false, rejection: unwanted, guilty: [] };
      const finding = examine(tools, message);
      if (finding === undefined) return { ok: true, message: mintVerified(message) };
      // A correct replica relays only what it has verified itself: whoever brings a forgery is guilty of it.
      const guilty = verdict(finding.rejection) === "ignore" ? [] : [...new Set([from, ...(finding.signer === undefined ? [] : [finding.signer])])];
      const evidence = guilty.length === 0 ? undefined : evidenceIn(tools, message, finding);
      return { ok: false, rejection: finding.rejection, guilty, ...(evidence && { evidence }) };
    },
    bundle(bundle) {
      const problem = tools.bundles.check(bundle);
      return problem === undefined ? { ok: true, bundle: mintVerified(bundle) } : { ok: false, rejection: problem };
    },
    certificate: ({ commits }) => frames(tools.envelopes, commits),
    knows: (bundle) => tools.bundles.knows(bundle),
    remember: (own) => tools.envelopes.remember(own),
  };
}

function examine(tools: Tools, message: PeerMessage): Finding | undefined {
  const { envelopes, bundles } = tools;
  const found = (problem: Problem): Finding | undefined => (problem === undefined ? undefined : { rejection: problem });
  switch (message.type) {
    case "pre-prepare":
      return proposal(tools, message);
    case "compact-pre-prepare":
      return proposer(tools, message.signed);
    case "votes":
    case "checkpoint":
      return found(envelopes.check(message.signed));
    case "view-change":
      return found(viewChange(envelopes, message.signed));
    case "new-view":
      return found(newView(envelopes, message.signed));
    case "forward":
      return found(bundles.check(message.bundle));
    case "decision":
      return found(decision(envelopes, message.certificate, message.batch));
    case "stable":
      return found(stable(envelopes, message.stable));
    case "recalled": {
      // What is said there counts, not what it was said on: of the view change only the outer signature matters.
      const { votes, prePrepares, viewChange: left, stable: proven } = message.recalled;
      return found(first([...votes, ...prePrepares], (signed) => envelopes.check(signed)) ?? (left === undefined ? undefined : envelopes.check(left)) ?? stable(envelopes, proven));
    }
    // Nothing signed: the channel names the sender of a STATUS, and payloads are taken by their digest only.
    case "recall":
    case "status":
    case "fetch-batch":
    case "fetch-bundles":
    case "batch":
      return undefined;
    default:
      return assertNever(message);
  }
}

/** What the signer of the message itself can be shown to have signed: certificates or requests that are forged. */
function evidenceIn({ envelopes }: Tools, message: PeerMessage, { signer }: Finding): Evidence | undefined {
  if (message.type === "view-change" || message.type === "new-view") {
    return envelopes.check(message.signed) === undefined ? { type: "forged", signed: message.signed } : undefined;
  }
  // In later views a primary may have to propose what others certified: only here the proposal alone tells who judged its requests.
  if (message.type !== "pre-prepare" || signer === undefined || message.signed.body.view !== 0) return undefined;
  return { type: "batch", signed: message.signed, batch: message.batch };
}

/** Of a compact one this is all: its bundles are judged when it is complete. */
function proposer({ envelopes, options }: Tools, signed: Signed<PrePrepare>): Finding | undefined {
  const { body } = signed;
  // Before the signatures of a whole batch: only a primary may make this replica verify them.
  const primary = primaryOf(body.view, options.replicaKeys.length);
  if (body.sender !== primary) return { rejection: rejection("NOT_PRIMARY", `replica ${body.sender} is not the primary of view ${body.view}`) };
  const forged = envelopes.check(signed);
  return forged === undefined ? undefined : { rejection: forged };
}

function proposal(tools: Tools, { signed, batch }: PeerMessage & { type: "pre-prepare" }): Finding | undefined {
  const { body } = signed;
  const finding = proposer(tools, signed);
  if (finding !== undefined) return finding;
  if (batch.digest !== body.digest) {
    return { rejection: rejection("DIGEST_MISMATCH", `the batch is ${batch.digest}, the proposal for seq ${body.seq} names ${body.digest}`) };
  }
  // From here on the batch is the one the primary signed for.
  const invalid = batchProblem(tools.bundles, batch);
  return invalid === undefined ? undefined : { rejection: invalid, signer: body.sender };
}

function batchProblem(bundles: BundleVerifier, batch: Batch): Problem {
  for (const [i, bundle] of batch.bundles.entries()) {
    const problem = bundles.check(bundle);
    if (problem !== undefined) return rejection("BATCH_INVALID", `bundle ${i} of client ${bundle.client}: ${problem.detail}`);
  }
  return undefined;
}

/** Client signatures of a decided batch are not judged again: Q replicas did. */
function decision(envelopes: EnvelopeVerifier, certificate: CommitCertificate, batch: Batch | undefined): Problem {
  if (batch !== undefined && batch.digest !== certificate.digest) {
    return rejection("DIGEST_MISMATCH", `the batch is ${batch.digest}, the certificate for seq ${certificate.seq} names ${certificate.digest}`);
  }
  return frames(envelopes, certificate.commits);
}

function viewChange(envelopes: EnvelopeVerifier, signed: Signed<ViewChange>): Problem {
  const { body } = signed;
  return envelopes.check(signed) ?? stable(envelopes, body.stable) ?? first(body.prepared, (certificate) => prepared(envelopes, certificate));
}

function newView(envelopes: EnvelopeVerifier, signed: Signed<NewView>): Problem {
  const { viewChanges, prePrepares } = signed.body;
  return envelopes.check(signed) ?? first(viewChanges, (vc) => viewChange(envelopes, vc)) ?? first(prePrepares, (pp) => envelopes.check(pp));
}

const prepared = (envelopes: EnvelopeVerifier, certificate: PreparedCertificate): Problem =>
  envelopes.check(certificate.prePrepare) ?? frames(envelopes, certificate.prepares);

const frames = (envelopes: EnvelopeVerifier, refs: readonly VoteRef[]): Problem => first(refs, ({ frame }) => envelopes.check(frame));

const stable = (envelopes: EnvelopeVerifier, checkpoint: StableCheckpoint): Problem => first(checkpoint.proof, (signed) => envelopes.check(signed));

function first<T>(items: readonly T[], check: (item: T) => Problem): Problem {
  for (const item of items) {
    const problem = check(item);
    if (problem !== undefined) return problem;
  }
  return undefined;
}

/** Envelopes of replicas, each verified once as long as it is remembered by the hash of all of its bytes. */
class EnvelopeVerifier {
  readonly #options: VerifierOptions;
  readonly #verified = new BoundedSet(VERIFIED_ENVELOPES_MAX);

  constructor(options: VerifierOptions) {
    this.#options = options;
  }

  check({ body, bytes }: Signed<SignedBody>): Problem {
    const { codec, replicaKeys, counters } = this.#options;
    const key = replicaKeys[body.sender];
    if (key === undefined) return rejection("SENDER_UNKNOWN", `${body.type} names replica ${body.sender} of ${replicaKeys.length}`);
    const hash = this.#hash(bytes);
    if (this.#verified.touch(hash)) {
      counters.signaturesCached++;
      return undefined;
    }
    const { message, signature } = codec.signedParts(bytes);
    counters.signaturesVerified++;
    if (!key.verify(message, signature)) return rejection("SIGNATURE_INVALID", `${body.type} is not signed by replica ${body.sender}`);
    this.#verified.add(hash);
    return undefined;
  }

  remember(own: Signed<SignedBody>): void {
    this.#verified.add(this.#hash(own.bytes));
  }

  #hash(bytes: Uint8Array): string {
    const hash = this.#options.hasher.sha256(bytes);
    return Buffer.from(hash.buffer, hash.byteOffset, hash.length).toString("latin1");
  }
}

/** Client bundles; a bundle's digest covers its signature, so it names the whole verification. */
class BundleVerifier {
  readonly #options: VerifierOptions;
  readonly #verified = new BoundedSet(VERIFIED_BUNDLES_MAX);
  /** Keys that passed every check there is on a key; a client's id is the hash of its key. */
  readonly #keys = new Map<ClientId, VerifyingKey>();

  constructor(options: VerifierOptions) {
    this.#options = options;
  }

  knows(bundle: Bundle): boolean {
    return this.#verified.touch(bundle.digest);
  }

  check(bundle: Bundle): Problem {
    const { codec, counters } = this.#options;
    if (this.knows(bundle)) {
      counters.signaturesCached++;
      return undefined;
    }
    const key = this.#keys.get(bundle.client) ?? this.#acceptKey(bundle);
    if ("code" in key) return key;
    const { message, signature } = codec.signedParts(bundle.bytes);
    counters.signaturesVerified++;
    if (!key.verify(message, signature)) return rejection("SIGNATURE_INVALID", `bundle ${bundle.digest} is not signed by client ${bundle.client}`);
    this.#verified.add(bundle.digest);
    return undefined;
  }

  #acceptKey(bundle: Bundle): VerifyingKey | Rejection {
    const { clientKeys, counters, verifyingKey } = this.#options;
    if (clientKeys !== undefined && !clientKeys.has(Buffer.from(bundle.publicKey).toString("hex"))) {
      return rejection("REQUEST_INVALID", `client ${bundle.client} is not among the cluster's client keys`);
    }
    let key: VerifyingKey;
    try {
      key = verifyingKey(bundle.publicKey);
    } catch {
      counters.signaturesVerified++; // it cost as much
      return rejection("REQUEST_INVALID", `the public key of client ${bundle.client} is not acceptable`);
    }
    this.#keys.set(bundle.client, key);
    if (this.#keys.size > CLIENT_KEYS_CACHED_MAX) {
      for (const oldest of this.#keys.keys()) {
        this.#keys.delete(oldest);
        break;
      }
    }
    return key;
  }
}

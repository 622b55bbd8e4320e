/**
 * Fake cryptography with the one property that matters: nobody signs for a key it was not given. A signature is a keyed
 * hash of the body's text; secrets live in this closure, and a ledger of everything ever signed catches a leak of them.
 */
import type {
  Batch, Bundle, ClientId, Digest, EngineTools, Epoch, Operation, PeerMessage, PreparedCertificate, Rejection, ReplicaId, RequestId, Signed,
  SignedBody, Signer, StableCheckpoint, VoteRef,
} from "@narses/core";
import { assert, bytesEqual, NULL_DIGEST, rejection, toHex, VOTES_PER_FRAME_MAX } from "@narses/core";
import { batchDigest, bodyText, envelopeName } from "./content.ts";
import { hashBytes, hashText } from "./hash.ts";

export interface BundleContent {
  readonly ridFirst: RequestId;
  readonly ackLow: number;
  readonly operations: readonly Operation[];
  /** 0 unless given. */
  readonly session?: number;
}

/** Signs bundles of one client. */
export interface ClientKey {
  readonly id: ClientId;
  makeBundle(content: BundleContent): Bundle;
}

/** Public powers: anyone may verify and assemble. */
export interface Toolkit {
  readonly tools: EngineTools;
  /** Every signature (nested ones too) and digest of a peer's message: undefined when all hold. */
  verifyPeer(message: PeerMessage): Rejection | undefined;
  verifyBundle(bundle: Bundle): boolean;
  verifySigned(signed: Signed<SignedBody>): boolean;
}

export interface Keyring {
  readonly toolkit: Toolkit;
  /** The signing power of a replica: handed to its owner only. */
  signer(id: ReplicaId): Signer;
  client(index: number): ClientKey;
}

const seal32 = (content: Uint8Array, secret: string): Uint8Array => {
  const bytes = new Uint8Array(32);
  bytes.set(content);
  bytes.set(hashBytes(`${secret}|${toHex(content)}`), 16);
  return bytes;
};

/** `cluster` separates runs, as the cluster id does in production. */
export function createKeyring(cluster: string, replicas: number): Keyring {
  const secrets = Array.from({ length: replicas }, (_, id) => toHex(hashBytes(`${cluster}|secret|${id}`)));
  const clientSecret = (id: ClientId): string => toHex(hashBytes(`${cluster}|client-secret|${id}`));
  const issued = new Set<string>();
  const genuine = new WeakSet<Signed<SignedBody>>();
  const genuineBundles = new WeakSet<Bundle>();
  const contentOf = (body: SignedBody): Uint8Array => hashBytes(`${cluster}|${bodyText(body)}`);

  const verifySigned = (signed: Signed<SignedBody>): boolean => {
    if (genuine.has(signed)) return true;
    const secret = secrets[signed.body.sender];
    if (secret === undefined || !bytesEqual(signed.bytes, seal32(contentOf(signed.body), secret))) return false;
    assert(issued.has(envelopeName(signed.bytes)), `a signature of replica ${signed.body.sender} verifies, but was never made: the simulator leaked a key`);
    genuine.add(signed);
    return true;
  };

  const sign = <B extends SignedBody>(body: B): Signed<B> => {
    const bytes = seal32(contentOf(body), secrets[body.sender] as string);
    issued.add(envelopeName(bytes));
    const signed: Signed<B> = Object.freeze({ body: Object.freeze(body), bytes });
    genuine.add(signed);
    return signed;
  };

  const bundleContent = (client: ClientId, c: BundleContent): Uint8Array =>
    hashBytes(`${cluster}|bundle|${client}|${c.ridFirst}|${c.ackLow}|${c.operations.map((o) => o.kind + toHex(o.payload)).join(",")}`);

  const verifyBundle = (bundle: Bundle): boolean => {
    if (genuineBundles.has(bundle)) return true;
    const valid = bytesEqual(bundle.bytes, seal32(bundleContent(bundle.client, bundle), clientSecret(bundle.client)))
      && bundle.digest === hashText(toHex(bundle.bytes));
    if (valid) genuineBundles.add(bundle);
    return valid;
  };

  return {
    toolkit: { tools: { makeBatch }, verifyBundle, verifySigned, verifyPeer: createVerifier({ verifySigned, verifyBundle, batchIntact, replicas }) },
    signer: (id) => ({
      sign: (body) => {
        assert(body.sender === id, `the key of replica ${id} cannot sign for replica ${body.sender}`);
        return sign(body);
      },
    }),
    client: (index) => {
      const id = hashText(`${cluster}|client|${index}`) as unknown as ClientId;
      return {
        id,
        makeBundle: (content) => {
          const bytes = seal32(bundleContent(id, content), clientSecret(id));
          const bundle: Bundle = {
            ...content, operationCount: content.operations.length, digest: hashText(toHex(bytes)), client: id,
            publicKey: new Uint8Array(0), session: content.session ?? 0, fifo: false, bytes,
          };
          genuineBundles.add(bundle);
          return bundle;
        },
      };
    },
  };
}

const NO_BYTES = new Uint8Array(32);

export function makeBatch(epoch: Epoch, timestampMs: number, bundles: readonly Bundle[]): Batch {
  return { digest: batchDigest(epoch, timestampMs, bundles), epoch, timestampMs, bundles, bytes: NO_BYTES };
}

const batchIntact = (batch: Batch): boolean => batch.digest === batchDigest(batch.epoch, batch.timestampMs, batch.bundles);

export interface VerifierParts extends Pick<Toolkit, "verifySigned" | "verifyBundle"> {
  readonly batchIntact: (batch: Batch) => boolean;
  readonly replicas: number;
}

/** The checks of production's verifier, on values instead of bytes. */
export function createVerifier({ verifySigned, verifyBundle, batchIntact, replicas }: VerifierParts): Toolkit["verifyPeer"] {
  const bad = (detail: string): Rejection => rejection("SIGNATURE_INVALID", detail);
  const refsGenuine = (refs: readonly VoteRef[]): boolean => refs.every((ref) => ref.frame.body.type === "votes" && verifySigned(ref.frame));
  const stableGenuine = (s: StableCheckpoint): boolean => s.proof.every((cp) => cp.body.type === "checkpoint" && verifySigned(cp));
  const preparedGenuine = (p: PreparedCertificate): boolean =>
    p.prePrepare.body.type === "pre-prepare" && verifySigned(p.prePrepare) && refsGenuine(p.prepares);
  const deep = new WeakSet<object>();
  const viewChangeGenuine = (signed: Extract<PeerMessage, { type: "view-change" }>["signed"]): boolean => {
    if (deep.has(signed)) return true;
    const { body } = signed;
    const ok = body.type === "view-change" && verifySigned(signed) && stableGenuine(body.stable) && body.prepared.every(preparedGenuine);
    if (ok) deep.add(signed);
    return ok;
  };
  const mismatch = (digest: Digest, batch: Batch | undefined): boolean =>
    batch === undefined ? digest !== NULL_DIGEST : digest !== batch.digest || !batchIntact(batch);

  return (message) => {
    switch (message.type) {
      case "pre-prepare":
        if (!verifySigned(message.signed)) return bad("pre-prepare");
        if (mismatch(message.signed.body.digest, message.batch)) return rejection("DIGEST_MISMATCH", "the payload is not the one the pre-prepare names");
        return message.batch.bundles.every(verifyBundle) ? undefined : rejection("REQUEST_INVALID", "a request in the batch is not signed by its client");
      case "votes": {
        const count = message.signed.body.votes.length;
        if (count < 1 || count > VOTES_PER_FRAME_MAX) return rejection("FRAME_MALFORMED", `${count} votes in a frame`);
        return verifySigned(message.signed) ? undefined : bad("votes");
      }
      case "checkpoint":
        return verifySigned(message.signed) ? undefined : bad("checkpoint");
      case "view-change":
        return viewChangeGenuine(message.signed) ? undefined : bad("view-change or a signature in it");
      case "new-view": {
        const { body } = message.signed;
        const ok = verifySigned(message.signed) && body.viewChanges.every(viewChangeGenuine) && body.prePrepares.every(verifySigned);
        return ok ? undefined : bad("new-view or a signature in it");
      }
      case "status":
        return message.status.viewChanges.length <= Math.ceil(replicas / 8) ? undefined : rejection("FRAME_MALFORMED", "view-change bitmap is too long");
      case "forward":
        return verifyBundle(message.bundle) ? undefined : rejection("REQUEST_INVALID", "the forwarded request is not signed by its client");
      case "compact-pre-prepare":
        return verifySigned(message.signed) ? undefined : bad("compact pre-prepare");
      case "fetch-batch":
      case "fetch-bundles":
        return undefined;
      case "batch":
        return batchIntact(message.batch) ? undefined : rejection("DIGEST_MISMATCH", "the payload does not hash to its digest");
      case "decision":
        if (mismatch(message.certificate.digest, message.batch)) return rejection("DIGEST_MISMATCH", "the payload is not the one the certificate names");
        return refsGenuine(message.certificate.commits) ? undefined : bad("a commit of the certificate");
      case "recall":
        return undefined;
      case "recalled": {
        const { votes, prePrepares, viewChange, stable } = message.recalled;
        return stableGenuine(stable) && [...votes, ...prePrepares, ...(viewChange === undefined ? [] : [viewChange])].every(verifySigned) ? undefined : bad("recalled");
      }
      case "stable":
        return stableGenuine(message.stable) ? undefined : bad("a checkpoint of the proof");
    }
  };
}

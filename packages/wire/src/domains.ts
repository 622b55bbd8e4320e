/**
 * Domain tags: the first bytes of everything that is hashed or signed, so that no byte string has two meanings. Each ends
 * with NUL, which no tag contains, so none is a prefix of another. (Client ids and bundle digests are plain SHA-256: of a
 * 32-byte key, and of a whole signed envelope.)
 */
import { utf8 } from "./host.ts";

const domain = (name: string): Uint8Array => utf8(`narses/${name}\0`);

export const DOMAIN: {
  readonly cluster: Uint8Array;
  readonly replicaMessage: Uint8Array;
  readonly clientBundle: Uint8Array;
  readonly batch: Uint8Array;
  readonly block: Uint8Array;
} = {
  /** ‖ canonical JSON of the cluster configuration: the cluster id. */
  cluster: domain("cluster"),
  /** ‖ cluster id ‖ envelope without signature: what a replica signs. The envelope holds version, type, epoch and sender. */
  replicaMessage: domain("replica-message"),
  /** ‖ cluster id ‖ envelope without signature: what a client signs. */
  clientBundle: domain("client-bundle"),
  /** ‖ cluster id ‖ epoch ‖ timestamp ‖ count ‖ bundle digests: a batch digest. */
  batch: domain("batch"),
  /** ‖ block header: a block hash. */
  block: domain("block"),
};

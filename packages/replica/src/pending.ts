/**
 * Bundles given to the engine and not executed yet. The engine holds them too (its timers run on them) and forgets them
 * when told to: every bundle that leaves this table was executed, or is reported as obsolete.
 */
import type { Bundle, ClientConnection, ClientId, Digest, Parameters, ReplicaId } from "@narses/core";
import type { Evictions } from "./executor.ts";
import { PENDING_BUNDLES_PER_CLIENT_MAX, PENDING_BYTES_MAX, PENDING_BYTES_PER_CLIENT_MAX } from "./limits.ts";

/** Who brought a bundle: a client's connection, or the replica that relayed it. */
export type BundleSource = ClientConnection | ReplicaId;

interface Held {
  bundles: number;
  bytes: number;
}

const NOTHING: Readonly<Held> = { bundles: 0, bytes: 0 };

export class PendingBundles {
  readonly #bundlesMax: number;
  readonly #nowMs: () => number;
  readonly #byDigest = new Map<Digest, Bundle>();
  readonly #byClient = new Map<ClientId, Map<Digest, Bundle>>();
  /** When each came, in order of arrival. */
  readonly #sinceMs = new Map<Digest, number>();
  readonly #bySource = new Map<BundleSource, Held>();
  readonly #sources = new Map<Digest, BundleSource>();
  #bytes = 0;
  /** Of the session table, as of the last eviction seen; never above the one in the state. */
  #floor = -Infinity;

  constructor(parameters: Pick<Parameters, "pendingBundlesMax">, nowMs: () => number) {
    this.#bundlesMax = parameters.pendingBundlesMax;
    this.#nowMs = nowMs;
  }

  get size(): number {
    return this.#byDigest.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  /** How long the oldest bundle waits; undefined when none does. */
  get oldestMs(): number | undefined {
    for (const sinceMs of this.#sinceMs.values()) return this.#nowMs() - sinceMs;
    return undefined;
  }

  /** Who waits for how many bundles, and for how long: the client that waits longest first. */
  clients(max: number): readonly { readonly client: ClientId; readonly bundles: number; readonly oldestMs: number }[] {
    const now = this.#nowMs();
    const found: { client: ClientId; bundles: number; oldestMs: number }[] = [];
    for (const [client, bundles] of this.#byClient) {
      for (const digest of bundles.keys()) {
        found.push({ client, bundles: bundles.size, oldestMs: Math.round(now - (this.#sinceMs.get(digest) ?? now)) });
        break;
      }
    }
    return found.sort((a, b) => b.oldestMs - a.oldestMs).slice(0, max);
  }

  has(digest: Digest): boolean {
    return this.#byDigest.has(digest);
  }

  get(digest: Digest): Bundle | undefined {
    return this.#byDigest.get(digest);
  }

  /** Bundles of one client, oldest first. */
  of(client: ClientId): Iterable<Bundle> {
    return this.#byClient.get(client)?.values() ?? [];
  }

  /**
   * Why there is no room for one more of this size from this source, if there is none. A source may hold as much as it leaves
   * free: k that flood the table hold 1/(k+1) of it each, and the rest is there for everybody else, however many keys they use.
   * What a replica relays may go twice as far beyond what its client has here: a client that fills its share at the primary, and shows
   * other bundles to the backups, must not make them think that the primary starves it.
   */
  full(bundle: Bundle, source: BundleSource): string | undefined {
    const size = bundle.bytes.length;
    const shares = typeof source === "number" ? 2 : 1;
    const own = this.#byClient.get(bundle.client)?.size ?? 0;
    if (own >= shares * PENDING_BUNDLES_PER_CLIENT_MAX) return `${own} bundles of this client wait already, at most ${shares * PENDING_BUNDLES_PER_CLIENT_MAX}`;
    let ownBytes = 0;
    for (const { bytes } of this.of(bundle.client)) ownBytes += bytes.length;
    if (own > 0 && ownBytes + size > shares * PENDING_BYTES_PER_CLIENT_MAX) {
      return `bundles of ${ownBytes} bytes of this client wait already, at most ${shares * PENDING_BYTES_PER_CLIENT_MAX}`;
    }
    if (this.size >= this.#bundlesMax) return `${this.size} bundles wait already, at most ${this.#bundlesMax}`;
    if (this.#bytes + size > PENDING_BYTES_MAX) return `bundles of ${this.#bytes} bytes wait already, at most ${PENDING_BYTES_MAX}`;
    const held = this.#bySource.get(source) ?? NOTHING;
    if (held.bundles >= this.#bundlesMax - this.size) return `${held.bundles} bundles that came this way wait already, as many as there is room left`;
    if (held.bytes + size > PENDING_BYTES_MAX - this.#bytes) return `bundles of ${held.bytes} bytes that came this way wait already, as much as there is room left`;
    return undefined;
  }

  add(bundle: Bundle, source: BundleSource): void {
    if (this.has(bundle.digest)) return;
    this.#byDigest.set(bundle.digest, bundle);
    this.#sinceMs.set(bundle.digest, this.#nowMs());
    let own = this.#byClient.get(bundle.client);
    if (own === undefined) this.#byClient.set(bundle.client, (own = new Map()));
    own.set(bundle.digest, bundle);
    this.#bytes += bundle.bytes.length;
    let held = this.#bySource.get(source);
    if (held === undefined) this.#bySource.set(source, (held = { bundles: 0, bytes: 0 }));
    held.bundles++;
    held.bytes += bundle.bytes.length;
    this.#sources.set(bundle.digest, source);
  }

  delete(digest: Digest): void {
    const bundle = this.#byDigest.get(digest);
    if (bundle === undefined) return;
    this.#byDigest.delete(digest);
    this.#sinceMs.delete(digest);
    const own = this.#byClient.get(bundle.client);
    own?.delete(digest);
    if (own?.size === 0) this.#byClient.delete(bundle.client);
    this.#bytes -= bundle.bytes.length;
    this.#release(digest, bundle.bytes.length);
  }

  #release(digest: Digest, bytes: number): void {
    const source = this.#sources.get(digest);
    const held = source === undefined ? undefined : this.#bySource.get(source);
    this.#sources.delete(digest);
    if (source === undefined || held === undefined) return;
    held.bundles--;
    held.bytes -= bytes;
    if (held.bundles === 0) this.#bySource.delete(source);
  }

  /**
   * A slot with these bundles was executed. Returns the digests of other waiting bundles that have nothing left to execute, as
   * `isDone` tells: of the same clients, of those whose sessions were evicted, and of those whose session the floor of the table has
   * passed. One that stayed would be ordered by no primary (its admission refuses it), and the engine's timer for it would blame them all.
   */
  executed(bundles: readonly Bundle[], isDone: (bundle: Bundle) => boolean, evictions?: Evictions): readonly Digest[] {
    const clients = new Set<ClientId>(evictions?.clients);
    // What waits at or below an earlier floor was open when it came, or when the floor passed it: its own client's eviction tells.
    if (evictions !== undefined && evictions.floor > this.#floor) {
      for (const { client, session } of this.#byDigest.values()) if (session > this.#floor && session <= evictions.floor) clients.add(client);
      this.#floor = evictions.floor;
    }
    for (const bundle of bundles) {
      this.delete(bundle.digest);
      clients.add(bundle.client);
    }
    const obsolete: Digest[] = [];
    for (const client of clients) {
      for (const bundle of [...this.of(client)]) {
        if (!isDone(bundle)) continue;
        this.delete(bundle.digest);
        obsolete.push(bundle.digest);
      }
    }
    return obsolete;
  }

  /** The state was replaced: takes out every bundle that has nothing left to execute, and returns their digests. */
  obsolete(isDone: (bundle: Bundle) => boolean): readonly Digest[] {
    this.#floor = -Infinity;
    const done = [...this.#byDigest.values()].filter(isDone).map(({ digest }) => digest);
    for (const digest of done) this.delete(digest);
    return done;
  }
}

import { replicaId, seqNum, sessionNumber, type Bundle, type ClientId, type CommitCertificate, type Input, type StateMachine } from "@narses/core";
import { hasher, verifyingKey } from "@narses/crypto";
import { blockHash } from "@narses/wire";
import { describe, expect, test } from "vitest";
import { createAdmission, type AdmissionControl } from "../src/admission.ts";
import { ClientConnections } from "../src/client-connections.ts";
import { newCounters, type Counters } from "../src/counters.ts";
import type { Halt } from "../src/execution.ts";
import { createExecutor, type ExecutedSlot, type Executor } from "../src/executor.ts";
import { genesisHeader } from "../src/genesis.ts";
import { CLIENT_OFFENCES_MAX, CLIENTS_PER_CONNECTION_MAX, CONNECTIONS_PER_CLIENT_MAX, PENDING_BUNDLES_PER_CLIENT_MAX, PENDING_BYTES_PER_CLIENT_MAX } from "../src/limits.ts";
import { createLogLimiter } from "../src/log.ts";
import { Incidents } from "../src/operations/incidents.ts";
import { PendingBundles } from "../src/pending.ts";
import { createReader, type Read } from "../src/reader.ts";
import { createVerifier } from "../src/verify.ts";
import { apply, clientKey, testCluster, type TestCluster } from "./support/cluster.ts";
import { FakeConnection, FakeState, noAssembly, recordingLogger } from "./support/fakes.ts";

const tools = testCluster(4, { parameters: { sessionWindow: 256, pendingBundlesMax: 100 } });
const app: StateMachine = { apply: (op) => op };

interface Rig {
  readonly admission: AdmissionControl;
  readonly pending: PendingBundles;
  readonly connections: ClientConnections;
  readonly counters: Counters;
  readonly executor: Executor;
  readonly state: FakeState;
  readonly read: Read;
  readonly resent: unknown[];
  readonly refused: string[];
  readonly logger: ReturnType<typeof recordingLogger>;
  execute(...bundles: readonly Bundle[]): ExecutedSlot;
  halted: Halt | undefined;
}

function setUp(own: TestCluster = tools): Rig {
  const { cluster, codec, replicaKeys } = own;
  const state = new FakeState();
  const logger = recordingLogger();
  const counters = newCounters();
  const header = genesisHeader(state.root());
  const executor = createExecutor({ state, app, hasher, logger, parameters: cluster.parameters, head: { header, hash: blockHash(hasher, header) } });
  const pending = new PendingBundles(cluster.parameters, () => 0);
  const connections = new ClientConnections();
  const verifier = createVerifier({ codec, hasher, counters, replicaKeys, verifyingKey, clientKeys: undefined, screen: () => undefined });
  const admission = createAdmission({ state, parameters: cluster.parameters, verifier, pending, connections, counters, executedSeq: () => executor.head.header.seq, halted: () => rig.halted });
  const resent: unknown[] = [];
  const refused: string[] = [];
  const read = createReader({
    codec, verifier, admission, assembly: noAssembly, connections, counters, incidents: new Incidents(() => 0), logger, limiter: createLogLimiter(() => 0), penalise: () => undefined, evidence: { keep: () => undefined }, control: { call: () => undefined },
    state: { message: () => undefined },
    replies: { resend: (connection, bundle, record) => void resent.push([connection, bundle.digest, record.seq]), refuse: (_connection, _digest, code) => void refused.push(code) },
  });
  const execute = (...bundles: readonly Bundle[]): ExecutedSlot => executor.execute(seqNum(executor.head.header.seq + 1), own.batch(bundles), {} as CommitCertificate);
  const rig: Rig = { admission, pending, connections, counters, executor, state, read, resent, refused, logger, execute, halted: undefined };
  return rig;
}

const connection = new FakeConnection();
const bundle = (ridFirst: number, options: { readonly ackLow?: number; readonly name?: string; readonly value?: unknown } = {}): Bundle =>
  tools.bundle([apply(options.value ?? ridFirst)], { ridFirst, ackLow: options.ackLow ?? 0, key: clientKey(options.name) });
const code = (admission: ReturnType<AdmissionControl["request"]>): string => (admission.type === "refused" ? admission.code : admission.type);

describe("admission", () => {
  test("a new bundle is ordered once; its repetition waits; once executed it is answered, and never ordered again", () => {
    const { admission, pending, counters, execute } = setUp();
    const first = bundle(1);
    expect(code(admission.request(connection, first))).toBe("order");
    expect(code(admission.request(connection, first))).toBe("waiting");
    expect(counters).toMatchObject({ signaturesVerified: 1, bundlesAdmitted: 1 });
    const { bundles } = execute(first);
    expect(pending.executed(bundles.map((b) => b.bundle), admission.doneNow())).toEqual([]);
    expect(pending.size).toBe(0);
    expect(admission.request(connection, first)).toMatchObject({ type: "reply", record: { seq: 1, leafIndex: 0 } });
    expect(counters.signaturesVerified).toBe(1);
  });

  test("another bundle with used ids is refused, one beyond the window too, a session of the far future too: all without a verification", () => {
    const { admission, counters, execute } = setUp();
    execute(bundle(1));
    expect(code(admission.request(connection, bundle(1, { value: "other" })))).toBe("ALREADY_EXECUTED");
    expect(code(admission.request(connection, bundle(258)))).toBe("OUT_OF_WINDOW");
    expect(code(admission.request(connection, tools.bundle([apply(1)], { session: sessionNumber(seqNum(1_000), 0) })))).toBe("SESSION_UNKNOWN");
    expect(counters).toMatchObject({ signaturesVerified: 0, refused: { ALREADY_EXECUTED: 1, OUT_OF_WINDOW: 1, SESSION_UNKNOWN: 1 } });
  });

  test("the window is measured from what the client acknowledged, as execution will: a lagging replica refuses nobody in step", () => {
    const { admission } = setUp();
    expect(code(admission.request(connection, bundle(258, { ackLow: 100 })))).toBe("order");
  });

  test("quotas: per client, then per connection as much as it leaves free, then in all", () => {
    const { admission, pending } = setUp();
    for (let i = 1; i <= PENDING_BUNDLES_PER_CLIENT_MAX; i++) {
      expect(code(admission.request(new FakeConnection(), bundle(i, { name: "greedy" })))).toBe("order");
    }
    expect(code(admission.request(connection, bundle(99, { name: "greedy" })))).toBe("OVERLOADED");
    const free = 100 - pending.size;
    let taken = 0;
    while (code(admission.request(connection, bundle(1, { name: `client ${taken}` }))) === "order") taken++;
    expect(taken).toBe(free / 2);
    expect(code(admission.request(new FakeConnection("modest"), bundle(1, { name: "modest" })))).toBe("order");
    for (let i = 0; pending.size < 100; i++) admission.request(new FakeConnection(), bundle(1, { name: `other ${i}` }));
    expect(code(admission.request(new FakeConnection(), bundle(1, { name: "late" })))).toBe("OVERLOADED");
    expect(admission.relayed(replicaId(2), bundle(2, { name: "late" }))).toMatchObject({ code: "QUEUE_FULL" });
  });

  test("a client that fills its share here and shows other bundles to the backups: theirs are taken when relayed, a second share of them", () => {
    const pending = new PendingBundles({ pendingBundlesMax: 1_000 }, () => 0);
    const next = (): Bundle => bundle(pending.size + 1, { name: "two-faced" });
    while (pending.full(next(), connection) === undefined) pending.add(next(), connection);
    expect(pending.size).toBe(PENDING_BUNDLES_PER_CLIENT_MAX);
    while (pending.full(next(), replicaId(2)) === undefined) pending.add(next(), replicaId(2));
    expect(pending.size).toBe(2 * PENDING_BUNDLES_PER_CLIENT_MAX);
  });

  test("bytes of one client that wait are bounded, one bundle always fits", () => {
    const pending = new PendingBundles({ pendingBundlesMax: 100 }, () => 0);
    const sized = (ridFirst: number, bytes: number): Bundle => ({ ...bundle(ridFirst), bytes: { length: bytes } as Uint8Array });
    expect(pending.full(sized(1, PENDING_BYTES_PER_CLIENT_MAX + 1), connection)).toBeUndefined();
    pending.add(sized(1, PENDING_BYTES_PER_CLIENT_MAX - 10), connection);
    expect(pending.full(sized(2, 10), connection)).toBeUndefined();
    expect(pending.full(sized(2, 11), connection)).toContain("of this client wait already");
  });

  test("a forged bundle is refused and costs its connection an offence; after too many the connection is not read any more", () => {
    const { read, connections, counters } = setUp();
    const own = new FakeConnection();
    for (let i = 0; i < CLIENT_OFFENCES_MAX; i++) {
      expect(connections.isMuted(own)).toBe(false);
      const bytes = bundle(i + 1).bytes.slice();
      bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1;
      expect(read({ type: "client", connection: own, frame: bytes })).toEqual([]);
    }
    expect(counters.refused).toEqual({ SIGNATURE_INVALID: CLIENT_OFFENCES_MAX });
    expect(read({ type: "client", connection: own, frame: bundle(1).bytes })).toEqual([]);
    expect(counters).toMatchObject({ signaturesVerified: CLIENT_OFFENCES_MAX, rejected: { RATE_LIMITED: 1 } });
    connections.forget(own);
    expect(connections.size).toBe(0);
  });

  test("bundles made obsolete by another one of the same client are told, and leave the table", () => {
    const { admission, pending, execute } = setUp();
    const [single, pair, later] = [bundle(2), tools.bundle([apply("a"), apply("b")], { ridFirst: 1 }), bundle(3)];
    for (const b of [single, pair, later]) admission.request(connection, b);
    const slot = execute(pair);
    expect(pending.executed(slot.bundles.map((b) => b.bundle), admission.doneNow())).toEqual([single.digest]);
    expect([pending.has(single.digest), pending.has(pair.digest), pending.has(later.digest), pending.size, pending.bytes]).toEqual([false, false, true, 1, later.bytes.length]);
  });

  test("what waits at a backup only is obsolete in the slot that evicts its session, also one that may open none any more", () => {
    const own = testCluster(4, { parameters: { sessionsMax: 2 } });
    const { admission, pending, executor, execute } = setUp(own);
    const of = (name: string, ridFirst = 1, session = 0): Bundle => own.bundle([apply(ridFirst)], { key: clientKey(name), ridFirst, session });
    for (const name of ["a", "b"]) execute(of(name));
    const later = sessionNumber(executor.head.header.seq, 0);
    // Of the evicted session; of a new client whose number the floor will pass; and two that stay: of the other session, of a number above the floor.
    const [evicted, passed, open, above] = [of("a", 2), of("unheard of", 1, 0), of("b", 2), of("d", 1, later)];
    for (const waiting of [evicted, passed, open, above]) expect(code(admission.request(connection, waiting))).toBe("order");
    const slot = execute(of("c", 1, later));
    const obsolete = pending.executed(slot.bundles.map((b) => b.bundle), admission.doneNow(), slot.evictions);
    expect([...obsolete].sort()).toEqual([evicted.digest, passed.digest].sort());
    expect([pending.size, pending.has(open.digest), pending.has(above.digest)]).toEqual([2, true, true]);
    // The primary would refuse it for ever.
    expect(admission.relayed(replicaId(2), evicted)).toMatchObject({ code: "DUPLICATE" });
  });

  test("a repeated bundle proves nothing: bytes out of a block, sent over many connections, do not take the client's place", () => {
    const { admission, connections, counters, pending, execute } = setUp();
    const [victim, first] = [new FakeConnection("victim"), bundle(1)];
    const rush = (): void => {
      for (let i = 0; i < CONNECTIONS_PER_CLIENT_MAX; i++) admission.request(new FakeConnection(`replay ${i}`), first);
      expect(connections.of(first.client)).toContain(victim);
    };
    expect(code(admission.request(victim, first))).toBe("order");
    rush();
    const slot = execute(first);
    pending.executed(slot.bundles.map((b) => b.bundle), admission.doneNow(), slot.evictions);
    expect(code(admission.request(new FakeConnection("replay"), first))).toBe("reply");
    rush();
    expect(counters.signaturesVerified).toBe(1);
    // A new bundle is proof: wherever it comes from gets the replies.
    const moved = new FakeConnection("moved");
    expect(code(admission.request(moved, bundle(2)))).toBe("order");
    expect(connections.of(first.client)).toEqual(expect.arrayContaining([victim, moved]));
  });

  test("an evicted session is refused before any verification, and its waiting bundles are done; one of the near future is not refused", () => {
    const own = testCluster(4, { parameters: { sessionsMax: 1, sessionWindow: 256 } });
    const { admission, counters, executor, execute } = setUp(own);
    const mine = own.bundle([apply(1)], { key: clientKey("a") });
    const waiting = own.bundle([apply(2)], { key: clientKey("a"), ridFirst: 2 });
    execute(mine);
    expect([code(admission.request(connection, waiting)), admission.doneNow()(waiting), admission.isOpen(mine)]).toEqual(["order", false, true]);
    execute(own.bundle([apply(1)], { key: clientKey("b"), session: sessionNumber(executor.head.header.seq, 0) }));
    expect([code(admission.request(connection, mine)), admission.doneNow()(waiting), admission.isOpen(mine)]).toEqual(["EVICTED", true, false]);
    const ahead = (slots: number): Bundle => own.bundle([apply(1)], { key: clientKey("c"), session: sessionNumber(seqNum(executor.head.header.seq + slots), 0) });
    expect(code(admission.request(connection, ahead(256)))).toBe("order");
    expect(code(admission.request(connection, ahead(257)))).toBe("SESSION_UNKNOWN");
    expect(counters.signaturesVerified).toBe(2);
  });

  test("a replica that halted refuses everything", () => {
    const rig = setUp();
    rig.halted = { code: "DIVERGED", reason: "the state differs" };
    expect(rig.admission.request(connection, bundle(1))).toEqual({ type: "refused", code: "DIVERGED", detail: "the state differs" });
  });
});

describe("reader", () => {
  test("requests, repetitions and executed bundles of clients", () => {
    const { read, resent, refused, execute } = setUp();
    const first = bundle(1);
    const item = { type: "client", connection, frame: first.bytes } as const;
    expect(read(item)).toMatchObject([{ type: "request", bundle: { digest: first.digest } }]);
    expect(read(item)).toEqual([]);
    const own = setUp();
    own.execute(first);
    expect(own.read(item)).toEqual([]);
    expect(own.resent).toEqual([[connection, first.digest, 1]]);
    execute(bundle(7));
    read({ type: "client", connection, frame: bundle(7, { value: "x" }).bytes });
    expect([resent, refused]).toEqual([[], ["ALREADY_EXECUTED"]]);
  });

  test("a relayed bundle goes to the engine once, and its connection-less entry keeps later copies out", () => {
    const { read, pending, counters } = setUp();
    const first = bundle(1);
    const frame = tools.codec.encodePeer({ type: "forward", bundle: first });
    expect(read({ type: "peer", from: replicaId(1), frame })).toMatchObject([{ type: "message", from: 1, message: { type: "forward" } }]);
    expect(pending.has(first.digest)).toBe(true);
    expect(read({ type: "peer", from: replicaId(2), frame })).toEqual([]);
    expect(counters).toMatchObject({ signaturesVerified: 1, rejected: { DUPLICATE: 1 } });
  });

  test("a relayed forgery does not enter the table, and is held against the relayer", () => {
    const { read, pending } = setUp();
    const frame = bundle(1).bytes.slice();
    frame[frame.length - 1] = (frame[frame.length - 1] ?? 0) ^ 1;
    expect(read({ type: "peer", from: replicaId(1), frame })).toMatchObject([{ type: "misbehaviour", replica: 1, rejection: { code: "SIGNATURE_INVALID" } }]);
    expect(pending.size).toBe(0);
  });

  test("garbage from a peer is misbehaviour of the peer; another epoch is not", () => {
    const { read, counters, logger } = setUp();
    expect(read({ type: "peer", from: replicaId(3), frame: Uint8Array.of(1, 2, 3) })).toMatchObject([{ type: "misbehaviour", replica: 3, rejection: { code: "FRAME_MALFORMED" } }]);
    const foreign = tools.codec.encodePeer({ type: "fetch-batch", digest: bundle(1).digest }).slice();
    foreign[5] = 9;
    expect(read({ type: "peer", from: replicaId(3), frame: foreign })).toEqual([]);
    expect(counters.rejected).toEqual({ FRAME_MALFORMED: 1, EPOCH_FOREIGN: 1 });
    expect(logger.lines.filter(({ level }) => level === "warn")).toHaveLength(1);
  });

  test("a primary's signed proposal with a forged request becomes misbehaviour of the primary, whoever relays it", () => {
    const { read } = setUp();
    const bytes = bundle(1).bytes.slice();
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1;
    const forged = tools.codec.decodeBundle(bytes);
    if (!forged.ok) throw new TypeError(forged.rejection.detail);
    const batch = tools.batch([forged.value]);
    const frame = tools.codec.encodePeer({ type: "pre-prepare", signed: tools.prePrepare(1, batch.digest), batch });
    const inputs = read({ type: "peer", from: replicaId(2), frame });
    expect(inputs.map((input: Input) => (input.type === "misbehaviour" ? input.replica : input.type))).toEqual([2, 0]);
  });

  test("a decoder that fails is a rejection, not the end", () => {
    const rig = setUp();
    const read = createReader({
      codec: { decodePeer: () => { throw new RangeError("bug"); }, decodeClient: () => { throw new RangeError("bug"); } },
      verifier: { message: () => { throw new TypeError("unreachable"); }, bundle: () => { throw new TypeError("unreachable"); }, certificate: () => undefined, knows: () => false, remember: () => undefined },
      admission: rig.admission, assembly: noAssembly, connections: rig.connections, counters: rig.counters, incidents: new Incidents(() => 0), logger: rig.logger, limiter: createLogLimiter(() => 0), penalise: () => undefined, evidence: { keep: () => undefined },
      control: { call: () => undefined }, state: { message: () => undefined }, replies: { resend: () => undefined, refuse: () => undefined },
    });
    expect(read({ type: "peer", from: replicaId(1), frame: Uint8Array.of(1) })).toMatchObject([{ type: "misbehaviour", replica: 1 }]);
    expect(read({ type: "client", connection, frame: Uint8Array.of(1) })).toEqual([]);
    expect(rig.logger.lines.filter(({ level }) => level === "error")).toHaveLength(2);
  });
});

describe("connections of a client", () => {
  const client = "ab".repeat(32) as ClientId;

  test("naming a client displaces nobody: neither who proved to be it nor who only named it before", () => {
    const connections = new ClientConnections();
    const victim = new FakeConnection("victim");
    connections.attach(victim, client, false);
    for (let i = 0; i < 2 * CONNECTIONS_PER_CLIENT_MAX; i++) connections.attach(new FakeConnection(String(i)), client, false);
    expect(connections.of(client)).toHaveLength(CONNECTIONS_PER_CLIENT_MAX);
    expect(connections.of(client)[0]).toBe(victim);
  });

  test("of proven ones, the one whose last new bundle is oldest gives way", () => {
    const connections = new ClientConnections();
    const all = Array.from({ length: CONNECTIONS_PER_CLIENT_MAX }, (_, i) => new FakeConnection(String(i)));
    for (const one of all) connections.attach(one, client, true);
    connections.attach(all[0] as FakeConnection, client, true);
    connections.attach(all[1] as FakeConnection, client, false);
    connections.attach(new FakeConnection("next"), client, true);
    expect(connections.of(client).map(({ label }) => label)).toEqual(["2", "3", "4", "5", "6", "7", "0", "next"]);
  });

  test("are bounded: unproven ones give way first, and never displace proven ones", () => {
    const connections = new ClientConnections();
    const all = Array.from({ length: CONNECTIONS_PER_CLIENT_MAX }, (_, i) => new FakeConnection(String(i)));
    all.forEach((c, i) => connections.attach(c, client, i !== 3));
    const proven = new FakeConnection("proven");
    connections.attach(proven, client, true);
    expect(connections.of(client).map(({ label }) => label)).toEqual(["0", "1", "2", "4", "5", "6", "7", "proven"]);
    connections.attach(new FakeConnection("unproven"), client, false);
    expect(connections.of(client)).toHaveLength(CONNECTIONS_PER_CLIENT_MAX);
    expect(connections.of(client).map(({ label }) => label)).not.toContain("unproven");
    connections.attach(new FakeConnection("another"), client, true);
    expect(connections.of(client).map(({ label }) => label)).toEqual(["1", "2", "4", "5", "6", "7", "proven", "another"]);
  });

  test("a gateway serves many clients, the oldest is forgotten beyond the bound", () => {
    const connections = new ClientConnections();
    const gateway = new FakeConnection();
    const ids = Array.from({ length: CLIENTS_PER_CONNECTION_MAX + 1 }, (_, i) => i.toString(16).padStart(64, "0") as ClientId);
    for (const id of ids) connections.attach(gateway, id, true);
    expect(connections.of(ids[0] as ClientId)).toEqual([]);
    expect(connections.of(ids[1] as ClientId)).toEqual([gateway]);
    connections.forget(gateway);
    for (const id of ids) expect(connections.of(id)).toEqual([]);
  });
});

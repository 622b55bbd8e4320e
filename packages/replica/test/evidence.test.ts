/** From a liar's messages to a file: what a replica keeps of what it was sent, once, and a bounded amount. */
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { digest, quorums, replicaId, seqNum, view, type Effect, type Evidence, type Input, type PeerMessage, type Signed, type ViewChange } from "@narses/core";
import { hasher, verifyingKey } from "@narses/crypto";
import { createEngine } from "@narses/pbft";
import { afterEach, describe, expect, test } from "vitest";
import { newCounters } from "../src/counters.ts";
import { createEvidenceKeeper, type EvidenceKeeper, type EvidenceStore } from "../src/evidence.ts";
import { evidenceDirectory } from "../src/evidence-directory.ts";
import { EVIDENCE_BYTES_MAX, EVIDENCE_FILES_MAX, EVIDENCE_PENDING_MAX } from "../src/limits.ts";
import { createVerifier } from "../src/verify.ts";
import { apply, testCluster } from "./support/cluster.ts";
import { recordingLogger } from "./support/fakes.ts";

const tools = testCluster(4, { parameters: { checkpointInterval: 4, logWindow: 8, pipelineDepth: 2 } });
const [A, B] = [digest("aa".repeat(32)), digest("bb".repeat(32))];
const genesisRoot = digest("cc".repeat(32));

/** A backup: verifier and engine, as the shell puts them together. Returns the evidence that comes out of one message. */
function backup(): (from: number, message: PeerMessage) => readonly Evidence[] {
  const { cluster, codec, replicaKeys } = tools;
  const config = { self: replicaId(3), epoch: cluster.epoch, quorums: quorums(4), parameters: cluster.parameters, genesisRoot };
  const engine = createEngine(config, { makeBatch: codec.makeBatch }, { records: [], executedSeq: seqNum(0) });
  const verifier = createVerifier({ codec, hasher, counters: newCounters(), replicaKeys, verifyingKey, clientKeys: undefined, screen: (message) => engine.screen(message) });
  const step = (input: Input): readonly Effect[] => engine.step(input);
  step({ type: "start", wallMs: 1_000 });
  return (from, message) => {
    const judged = verifier.message(replicaId(from), message);
    if (!judged.ok) return judged.evidence === undefined ? [] : [judged.evidence];
    return step({ type: "message", from: replicaId(from), message: judged.message }).flatMap((effect) => (effect.type === "rejected" && effect.evidence !== undefined ? [effect.evidence] : []));
  };
}

const propose = (value: string): PeerMessage => {
  const batch = tools.batch([tools.bundle([apply(value)])]);
  return { type: "pre-prepare", signed: tools.prePrepare(1, batch.digest), batch };
};
const prepares = (sender: number, of: typeof A): PeerMessage => ({ type: "votes", signed: tools.votes(sender, [{ phase: "prepare", view: view(0), seq: seqNum(2), digest: of }]) });
const genesis = { seq: seqNum(0), root: genesisRoot, proof: [] };
const viewChange = (signed: Signed<ViewChange>): PeerMessage => ({ type: "view-change", signed });

describe("equivocation comes with both signed messages", () => {
  const cases: Readonly<Record<string, readonly [number, PeerMessage, PeerMessage]>> = {
    "two proposals": [0, propose("x"), propose("y")],
    "two PREPAREs": [1, prepares(1, A), prepares(1, B)],
    "two checkpoints": [2, { type: "checkpoint", signed: tools.checkpoint(2, 4, A) }, { type: "checkpoint", signed: tools.checkpoint(2, 4, B) }],
    "two view-changes": [
      1, viewChange(tools.viewChange(1, 1, { stable: genesis, prepared: [] })), viewChange(tools.viewChange(1, 1, { stable: genesis, prepared: [tools.prepared(1, A)] })),
    ],
  };
  test.each(Object.keys(cases))("%s", (name) => {
    const [sender, first, second] = cases[name] as (typeof cases)[string];
    const tell = backup();
    expect(tell(sender, first)).toEqual([]);
    expect(tell(sender, first)).toEqual([]); // a repetition is none
    const found = tell(sender, second);
    expect(found).toMatchObject([{ type: "pair", first: { body: { sender } }, second: { body: { sender } } }]);
    const [evidence] = found;
    const decoded = evidence === undefined ? undefined : tools.codec.decodeEvidence(tools.codec.encodeEvidence(evidence));
    expect(decoded?.ok).toBe(true);
  });

  test("a certificate that does not hold accuses who signed it, not who brought it; a proposal with a forged request its primary", () => {
    const bad = tools.prepared(1, A);
    const bytes = bad.prepares[0]?.frame.bytes.slice() ?? new Uint8Array(0);
    bytes[bytes.length - 1] = (bytes[bytes.length - 1] ?? 0) ^ 1;
    const [first, ...rest] = bad.prepares;
    if (first === undefined) throw new TypeError("a certificate has votes");
    const signed = tools.viewChange(1, 1, { stable: genesis, prepared: [{ ...bad, prepares: [{ ...first, frame: { ...first.frame, bytes } }, ...rest] }] });
    expect(backup()(2, viewChange(signed))).toMatchObject([{ type: "forged", signed: { body: { sender: 1 } } }]);
    const unsigned = { ...signed, bytes: signed.bytes.map((byte, i) => (i === signed.bytes.length - 1 ? byte ^ 1 : byte)) };
    expect(backup()(2, viewChange(unsigned))).toEqual([]); // proves nothing about replica 1
    const forged = tools.bundle([apply("x")]).bytes.slice();
    forged[forged.length - 1] = (forged[forged.length - 1] ?? 0) ^ 1;
    const bundle = tools.codec.decodeBundle(forged);
    if (!bundle.ok) throw new TypeError(bundle.rejection.detail);
    const batch = tools.batch([bundle.value]);
    expect(backup()(2, { type: "pre-prepare", signed: tools.prePrepare(1, batch.digest), batch })).toMatchObject([{ type: "batch", signed: { body: { sender: 0 } } }]);
  });

  test("slowness is no offence: a primary that says nothing is left, and accused of nothing", () => {
    const { cluster, codec } = tools;
    const config = { self: replicaId(3), epoch: cluster.epoch, quorums: quorums(4), parameters: cluster.parameters, genesisRoot };
    const engine = createEngine(config, { makeBatch: codec.makeBatch }, { records: [], executedSeq: seqNum(0) });
    engine.step({ type: "start", wallMs: 1_000 });
    const bundle = tools.bundle([apply("x")]);
    const judged = createVerifier({ codec, hasher, counters: newCounters(), replicaKeys: tools.replicaKeys, verifyingKey, clientKeys: undefined, screen: () => undefined }).bundle(bundle);
    if (!judged.ok) throw new TypeError(judged.rejection.detail);
    const effects = [...engine.step({ type: "request", bundle: judged.bundle })];
    for (let tick = 1; tick <= 5_000; tick++) effects.push(...engine.step({ type: "tick", wallMs: 1_000 + 10 * tick }));
    expect(effects.some(({ type }) => type === "view-left")).toBe(true);
    expect(effects.filter(({ type }) => type === "rejected")).toEqual([]);
  });
});

const pairOf = (sender: number, seq: number): Evidence => ({ type: "pair", first: tools.checkpoint(sender, seq, A), second: tools.checkpoint(sender, seq, B) });

describe("keeping", () => {
  const made: string[] = [];
  afterEach(() => made.splice(0).forEach((directory) => rmSync(directory, { recursive: true, force: true })));
  const directory = (): string => {
    const path = mkdtempSync(join(tmpdir(), "narses-evidence-"));
    made.push(path);
    return path;
  };
  function keeper(store: EvidenceStore | undefined): { keeper: EvidenceKeeper; counters: ReturnType<typeof newCounters>; logger: ReturnType<typeof recordingLogger> } {
    const counters = newCounters();
    const logger = recordingLogger();
    return { counters, logger, keeper: createEvidenceKeeper({ codec: tools.codec, hasher, store, counters, logger }) };
  }

  test("one file for an offence, that decodes; the log names it once; a restart adds none", async () => {
    const path = join(directory(), "data", "evidence");
    const one = keeper(evidenceDirectory(path));
    for (let i = 0; i < 3; i++) one.keeper.keep(pairOf(2, 4), "replica 2 signed two roots for seq 4");
    await one.keeper.idle();
    const [file, ...more] = readdirSync(path);
    expect([file, more]).toEqual([expect.stringMatching(/^replica-2-pair-checkpoint-slot-4-[0-9a-f]{16}\.evidence$/), []]);
    const decoded = tools.codec.decodeEvidence(readFileSync(join(path, String(file))));
    expect(decoded.ok && decoded.value.type).toBe("pair");
    expect(one.logger.lines).toHaveLength(1);
    expect(one.logger.lines[0]).toMatchObject({ level: "error", fields: { replica: 2, file: join(path, String(file)) } });
    expect(one.counters).toMatchObject({ evidence: 1, evidenceDropped: 0 });
    const two = keeper(evidenceDirectory(path));
    two.keeper.keep(pairOf(2, 4), "again");
    await two.keeper.idle();
    expect(readdirSync(path)).toHaveLength(1);
  });

  test("files, bytes and what waits are bounded; what does not fit is told and counted, never lost silently", async () => {
    const path = directory();
    const store = evidenceDirectory(path);
    const { keeper: own, counters, logger } = keeper(store);
    for (let i = 1; i <= EVIDENCE_FILES_MAX + 2; i++) {
      own.keep(pairOf(1, 4 * i), "two roots");
      await own.idle();
    }
    expect(readdirSync(path)).toHaveLength(EVIDENCE_FILES_MAX);
    expect(counters).toMatchObject({ evidence: EVIDENCE_FILES_MAX, evidenceDropped: 2 });
    expect(logger.lines.at(-1)?.message).toContain("no room for more evidence");
    const other = evidenceDirectory(directory());
    const half = new Uint8Array(EVIDENCE_BYTES_MAX / 2 + 1);
    expect([await other.put("a.evidence", half), await other.put("b.evidence", half)]).toEqual([expect.stringContaining("a.evidence"), undefined]);
    const slow = keeper({ put: () => new Promise(() => undefined) });
    for (let i = 1; i <= EVIDENCE_PENDING_MAX + 3; i++) slow.keeper.keep(pairOf(1, 4 * i), "two roots");
    expect(slow.counters.evidenceDropped).toBe(3);
  });

  test("a disk that fails is told, and stops nothing", async () => {
    const { keeper: own, logger } = keeper({ put: () => Promise.reject(new Error("EIO")) });
    own.keep(pairOf(1, 4), "two roots");
    await own.idle();
    expect(logger.lines).toMatchObject([{ level: "error", message: "evidence could not be written" }]);
  });
});

import { describe, expect, test } from "vitest";
import {
  checkCluster, checkParameters, type ClusterConfig, DEFAULT_PARAMETERS, defaultParameters, epoch, logWindowMax, NarsesError, quorums, replicaId, SIGNATURE_SUITE,
} from "../src/index.ts";

const key = (i: number): string => i.toString(16).padStart(64, "0");

function cluster(n: number, change: Partial<ClusterConfig> = {}): ClusterConfig {
  return {
    version: 1, name: "test", epoch: epoch(0), f: Math.floor((n - 1) / 3), signatureSuite: SIGNATURE_SUITE,
    replicas: Array.from({ length: n }, (_, i) => ({ id: replicaId(i), publicKey: key(2 * i + 1), networkKey: key(2 * i + 2), addresses: [`/ip4/127.0.0.1/tcp/${7100 + i}`] })),
    clients: "open", clientKeys: [], parameters: DEFAULT_PARAMETERS, genesis: {}, ...change,
  };
}

function problem(run: () => unknown): NarsesError {
  try {
    run();
  } catch (error) {
    if (error instanceof NarsesError) return error;
  }
  throw new TypeError("expected a NarsesError");
}

describe("cluster file", () => {
  test("a good cluster of each size gives its quorums", () => {
    for (const n of [1, 2, 3, 4, 5, 6, 7, 10]) expect(checkCluster(cluster(n)).n).toBe(n);
  });

  test("the log window is bounded by what a NEW-VIEW can carry, and the defaults respect it at every size", () => {
    for (const n of [...Array.from({ length: 64 }, (_, i) => i + 1), 100, 127, 128, 129, 130, 200, 205, 255, 256]) {
      const q = quorums(n);
      const parameters = defaultParameters(q);
      expect(parameters.logWindow).toBeLessThanOrEqual(logWindowMax(q));
      expect(checkCluster(cluster(n, { parameters }))).toEqual(q);
    }
    expect(defaultParameters(quorums(16))).toEqual(DEFAULT_PARAMETERS);
    const error = problem(() => checkCluster(cluster(31)));
    expect(error.data).toEqual({ field: "parameters.logWindow" });
    expect(error.message).toContain(`at most ${logWindowMax(quorums(31))}`);
  });

  test("n < 3f+1 names f, the need and the way out", () => {
    const error = problem(() => checkCluster(cluster(3, { f: 1 })));
    expect(error.code).toBe("CONFIG_INVALID");
    expect(error.data).toEqual({ field: "f" });
    expect(error.message).toContain("3f+1 = 4");
    expect(error.message).toContain("lower f to 0");
  });

  test("the same key twice names both places, also across the two kinds of key", () => {
    const c = cluster(4);
    const twice = c.replicas.map((r, i) => (i === 2 ? { ...r, networkKey: key(1) } : r));
    const error = problem(() => checkCluster({ ...c, replicas: twice }));
    expect(error.data).toEqual({ field: "replicas[2].networkKey" });
    expect(error.message).toContain("replicas[0].publicKey");
  });

  test.each([
    ["replicas[1].id", (c: ClusterConfig) => ({ ...c, replicas: c.replicas.map((r, i) => (i === 1 ? { ...r, id: replicaId(3) } : r)) })],
    ["replicas[0].addresses", (c: ClusterConfig) => ({ ...c, replicas: c.replicas.map((r, i) => (i === 0 ? { ...r, addresses: [] } : r)) })],
    ["replicas[0].publicKey", (c: ClusterConfig) => ({ ...c, replicas: c.replicas.map((r, i) => (i === 0 ? { ...r, publicKey: "AB" } : r)) })],
    ["signatureSuite", (c: ClusterConfig) => ({ ...c, signatureSuite: "rsa" as typeof SIGNATURE_SUITE })],
    ["replicas (count)", (c: ClusterConfig) => ({ ...c, replicas: [] })],
    ["clientKeys[1]", (c: ClusterConfig) => ({ ...c, clientKeys: [key(90), key(90)] })],
  ])("a wrong %s is named", (field, spoil) => {
    expect(problem(() => checkCluster(spoil(cluster(4)))).data).toEqual({ field });
  });

  test.each([
    ["checkpointInterval", 0], ["logWindow", 129], ["logWindow", 128], ["pipelineDepth", 129], ["batchBytesMax", 1], ["bundleOperationsMax", 0], ["batchOperationsMax", 1],
    ["requestTimeoutTicks", 0], ["disconnectTimeoutTicks", 101], ["viewChangeTimeoutTicks", 1], ["backoffExponentMax", 21], ["statusIntervalTicks", 0], ["sessionWindow", 1], ["pendingBundlesMax", Number.NaN],
    ["proposalDelayTicksMax", -1], ["overtakenBundlesMax", 0], ["heartbeatTicks", 0.5], ["rotationCheckpoints", -1], ["timestampPrecisionMs", 0], ["timestampDelayMs", -1],
  ] as const)("parameters.%s = %d is refused by name", (field, value) => {
    expect(problem(() => checkParameters({ ...DEFAULT_PARAMETERS, [field]: value })).data).toEqual({ field: `parameters.${field}` });
  });
});

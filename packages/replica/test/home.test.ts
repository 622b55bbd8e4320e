import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DEFAULT_PARAMETERS, toHex } from "@narses/core";
import { createKeyFile, hasher, sha256 } from "@narses/crypto";
import { clusterId } from "@narses/wire";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadCluster, parseCluster } from "../src/cluster-file.ts";
import { loadHome } from "../src/home.ts";
import { clientKey, testCluster } from "./support/cluster.ts";

const tools = testCluster(4);
const seed = (id: number): Uint8Array => sha256(new TextEncoder().encode(`test replica ${id}`));
/** As JSON gives it. */
const json = (): Record<string, unknown> => JSON.parse(JSON.stringify(tools.cluster)) as Record<string, unknown>;
type Path = readonly (string | number)[];

function change(path: Path, value: unknown): unknown {
  const root = json();
  let at = root as Record<string | number, unknown>;
  for (const step of path.slice(0, -1)) at = at[step] as Record<string | number, unknown>;
  at[path.at(-1) as string] = value;
  return root;
}

describe("cluster file", () => {
  test("is read as written; omitted fields have their defaults, and the same cluster id as when written out", () => {
    expect(parseCluster(json())).toEqual(tools.cluster);
    const { version, name, f, replicas } = tools.cluster;
    const short = parseCluster({ version, name, f, replicas });
    expect(short).toMatchObject({ epoch: 0, clients: "open", clientKeys: [], genesis: null, parameters: DEFAULT_PARAMETERS });
    expect(clusterId(hasher, short)).toBe(tools.clusterId);
    expect(parseCluster({ version, name, f, replicas, parameters: { pipelineDepth: 4 } }).parameters).toEqual({ ...DEFAULT_PARAMETERS, pipelineDepth: 4 });
  });

  test.each([
    ["version", ["version"], 2],
    ["name", ["name"], ""],
    ["f", ["f"], 2],
    ["f", ["f"], -1],
    ["signatureSuite", ["signatureSuite"], "ed25519"],
    ["replicas", ["replicas"], []],
    ["replicas[1].id", ["replicas", 1, "id"], 2],
    ["replicas[2].publicKey", ["replicas", 2, "publicKey"], "00".repeat(32)],
    ["replicas[2].publicKey", ["replicas", 2, "publicKey"], "AB"],
    ["replicas[3].publicKey", ["replicas", 3, "publicKey"], tools.cluster.replicas[0]?.publicKey],
    ["replicas[0].addresses", ["replicas", 0, "addresses"], []],
    ["replicas[0].port", ["replicas", 0, "port"], 7000],
    ["clients", ["clients"], "anyone"],
    ["clientKeys[0]", ["clientKeys"], ["01" + "00".repeat(31)]],
    ["parameters.checkpointInterval", ["parameters", "checkpointInterval"], 0],
    ["parameters.logWindow", ["parameters", "logWindow"], 300],
    ["parameters.pipelineDepht", ["parameters", "pipelineDepht"], 8],
    ["genesys", ["genesys"], {}],
  ] as const)("names %s", (field, path, value) => {
    expect(() => parseCluster(change(path, value), "/etc/cluster.json")).toThrow(
      expect.objectContaining({ name: "NarsesError", code: "CONFIG_INVALID", message: expect.stringMatching(/^\/etc\/cluster\.json: /) as string }),
    );
    try {
      parseCluster(change(path, value), "/etc/cluster.json");
    } catch (error) {
      expect((error as Error).message).toContain(field);
    }
  });

  test("anything else than a cluster is told, not crashed on", () => {
    for (const nonsense of [null, 1, [], "x"]) expect(() => parseCluster(nonsense)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  });
});

describe("home directory", () => {
  let home: string;
  beforeEach(async () => {
    home = await mkdtemp(join(tmpdir(), "narses-home-"));
    await writeFile(join(home, "cluster.json"), JSON.stringify(tools.cluster));
    await writeFile(join(home, "replica.json"), JSON.stringify({ replica: 2 }));
  });
  afterEach(() => rm(home, { recursive: true, force: true }));

  test("with everything in its place", async () => {
    createKeyFile(join(home, "replica.key"), { kind: "replica", seed: seed(2) });
    const loaded = await loadHome(home);
    expect(loaded).toMatchObject({ self: 2, cluster: tools.cluster, dataDirectory: join(home, "data"), listen: ["/ip4/127.0.0.1/tcp/7102"], localQueries: true });
    expect(toHex(loaded.signingKey.publicKey)).toBe(tools.cluster.replicas[2]?.publicKey);
    expect(loaded.networkSeed).toEqual(tools.networkSeeds[2]);
  });

  test("with own paths, addresses and a passphrase", async () => {
    await writeFile(join(home, "replica.json"), JSON.stringify({ replica: 2, key: "keys.json", data: "/var/elsewhere", listen: ["/ip4/0.0.0.0/tcp/1"], localQueries: false }));
    createKeyFile(join(home, "keys.json"), { kind: "replica", seed: seed(2), passphrase: "pass" });
    expect(await loadHome(home, "pass")).toMatchObject({ dataDirectory: "/var/elsewhere", listen: ["/ip4/0.0.0.0/tcp/1"], localQueries: false });
    await expect(loadHome(home)).rejects.toMatchObject({ code: "KEY_PASSPHRASE" });
    await expect(loadHome(home, "wrong")).rejects.toMatchObject({ code: "KEY_PASSPHRASE" });
  });

  test("another replica's key: names the replica, whose key it is, and both public keys", async () => {
    createKeyFile(join(home, "replica.key"), { kind: "replica", seed: seed(3) });
    await expect(loadHome(home)).rejects.toMatchObject({ code: "KEY_INVALID", data: { replica: 2, found: tools.cluster.replicas[3]?.publicKey, expected: tools.cluster.replicas[2]?.publicKey } });
    await expect(loadHome(home)).rejects.toThrow(/which is replica 3's; replica 2 has public key/);
  });

  test("a stranger's key, and a client's key", async () => {
    createKeyFile(join(home, "replica.key"), { kind: "replica" });
    await expect(loadHome(home)).rejects.toThrow(/which is not in the cluster file/);
    await rm(join(home, "replica.key"));
    createKeyFile(join(home, "replica.key"), { kind: "client", seed: clientKey().publicKey });
    await expect(loadHome(home)).rejects.toThrow(/holds a client's key, a replica's is needed/);
  });

  test.each([
    [{ replica: 4 }, "replica"],
    [{ replica: "2" }, "replica"],
    [{}, "replica"],
    [{ replica: 2, listen: [] }, "listen"],
    [{ replica: 2, lisen: ["/ip4/0.0.0.0/tcp/1"] }, "lisen"],
    [{ replica: 2, cluster: "missing.json" }, "no such file"],
  ])("replica.json %j is told by name", async (file, text) => {
    await writeFile(join(home, "replica.json"), JSON.stringify(file));
    await expect(loadHome(home)).rejects.toMatchObject({ code: "CONFIG_INVALID", message: expect.stringContaining(text) as string });
  });

  test("missing and broken files are named", async () => {
    await writeFile(join(home, "replica.json"), "{ replica: 2 }");
    await expect(loadHome(home)).rejects.toThrow(/replica\.json: is not JSON/);
    await expect(loadHome(join(home, "nowhere"))).rejects.toThrow(/replica\.json: there is no such file/);
    await writeFile(join(home, "cluster.json"), "[");
    await expect(loadCluster(join(home, "cluster.json"))).rejects.toThrow(/cluster\.json: is not JSON/);
  });
});

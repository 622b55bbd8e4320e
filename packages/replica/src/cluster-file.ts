/** The cluster file: JSON that every replica and client must hold alike. Strict: an unknown field is a mistake, not an extension. */
import { readFile } from "node:fs/promises";
import {
  checkCluster, DEFAULT_PARAMETERS, defaultParameters, epoch, fromHex, NarsesError, quorums, replicaId, SIGNATURE_SUITE,
  type ClusterConfig, type Parameters, type VerifyingKey,
} from "@narses/core";
import { verifyingKey } from "@narses/crypto";
import * as z from "zod";

/** A cluster file is read up to this size. */
export const CLUSTER_FILE_BYTES_MAX: number = 16 << 20;

const parameterNames = Object.keys(DEFAULT_PARAMETERS) as (keyof Parameters)[];
const parameters = z.strictObject(
  Object.fromEntries(parameterNames.map((name) => [name, (typeof DEFAULT_PARAMETERS[name] === "boolean" ? z.boolean() : z.number()).optional()])),
);

const schema = z.strictObject({
  version: z.literal(1),
  name: z.string().min(1).max(200),
  epoch: z.int().min(0).max(0xffff_ffff).default(0),
  f: z.int().min(0),
  signatureSuite: z.literal(SIGNATURE_SUITE).default(SIGNATURE_SUITE),
  replicas: z
    .array(
      z.strictObject({
        id: z.int().min(0).max(255),
        publicKey: z.string(),
        networkKey: z.string(),
        addresses: z.array(z.string().min(1)),
      }),
    )
    .min(1),
  clients: z.enum(["open", "listed"]).default("open"),
  clientKeys: z.array(z.string()).default([]),
  parameters: parameters.default({}),
  genesis: z.json().default(null),
});

const invalid = (source: string, problem: string, field?: string, cause?: unknown): NarsesError =>
  new NarsesError(
    "CONFIG_INVALID",
    `${source}: ${problem}`,
    { source, ...(field !== undefined && { field }) },
    cause === undefined ? undefined : { cause },
  );

/** Where a zod issue points, as one would write it: replicas[1].publicKey */
function fieldOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((text, step) => (typeof step === "number" ? `${text}[${step}]` : text === "" ? String(step) : `${text}.${String(step)}`), "");
}

/** The first problem of a file's shape as an error that names the field. */
export function shapeError(source: string, error: z.ZodError): NarsesError {
  const issue = error.issues[0];
  const extra = issue?.code === "unrecognized_keys" ? issue.keys[0] : undefined;
  const field = fieldOf([...(issue?.path ?? []), ...(extra === undefined ? [] : [extra])]);
  const problem = extra === undefined ? (issue?.message ?? "is invalid") : "is not a field of this file";
  return invalid(source, field === "" ? problem : `${field}: ${problem}`, field);
}

/**
 * A cluster from parsed JSON, with the defaults of omitted fields filled in. The result is what the cluster id is made of.
 * @throws NarsesError CONFIG_INVALID naming the file and the field: shape, relations (`checkCluster`), or a key that the signature suite refuses.
 */
export function parseCluster(json: unknown, source = "cluster file"): ClusterConfig {
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw shapeError(source, parsed.error);
  const { data } = parsed;
  const given = Object.fromEntries(Object.entries(data.parameters).filter(([, value]) => value !== undefined)) as Partial<Parameters>;
  const cluster: ClusterConfig = {
    ...data,
    epoch: epoch(data.epoch),
    replicas: data.replicas.map((replica) => ({ ...replica, id: replicaId(replica.id) })),
    parameters: { ...defaultsFor(data.replicas.length, data.f), ...given },
  };
  try {
    checkCluster(cluster);
  } catch (error) {
    if (!(error instanceof NarsesError)) throw error;
    throw invalid(source, error.message.replace(/^cluster file: /, ""), error.data["field"] as string | undefined, error);
  }
  checkKeys(cluster, source);
  return cluster;
}

/** For a file whose n and f do not fit, any: `checkCluster` says so right after. */
const defaultsFor = (n: number, f: number): Parameters =>
  n >= 1 && f >= 0 && n >= 3 * f + 1 && Number.isSafeInteger(f) ? defaultParameters(quorums(n, f)) : DEFAULT_PARAMETERS;

function checkKeys(cluster: ClusterConfig, source: string): void {
  const check = (field: string, hex: string): void => {
    try {
      verifyingKey(fromHex(hex));
    } catch (error) {
      throw invalid(source, `${field}: ${error instanceof Error ? error.message : "is no acceptable public key"}`, field, error);
    }
  };
  cluster.replicas.forEach(({ publicKey, networkKey }, i) => {
    check(`replicas[${i}].publicKey`, publicKey);
    check(`replicas[${i}].networkKey`, networkKey);
  });
  cluster.clientKeys.forEach((key, i) => check(`clientKeys[${i}]`, key));
}

/** The keys that verify the replicas' messages, by id. */
export const replicaKeysOf = (cluster: ClusterConfig): readonly VerifyingKey[] =>
  cluster.replicas.map(({ publicKey }) => verifyingKey(fromHex(publicKey)));

/** @throws NarsesError CONFIG_INVALID when there is no such file, or it is not JSON, or too large. */
export async function readJson(path: string, bytesMax: number): Promise<unknown> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    const reason = error instanceof Error ? error.message : String(error);
    throw invalid(path, missing ? "there is no such file; create it, or correct the path" : `cannot be read: ${reason}`, undefined, error);
  }
  if (text.length > bytesMax) throw invalid(path, `has ${text.length} characters, at most ${bytesMax}`);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw invalid(path, `is not JSON: ${error instanceof Error ? error.message : String(error)}`, undefined, error);
  }
}

/** Reads and checks a cluster file. @throws NarsesError CONFIG_INVALID naming the file and the field. */
export async function loadCluster(path: string): Promise<ClusterConfig> {
  return parseCluster(await readJson(path, CLUSTER_FILE_BYTES_MAX), path);
}

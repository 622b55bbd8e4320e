/** Genesis: the first state and the first block. Run once per data directory; every replica must come to the same block 0. */
import {
  fromHex, InvariantViolation, NarsesError, NULL_DIGEST, seqNum, toHex,
  type BlockHeader, type BlockStore, type ClusterConfig, type Digest, type Hasher, type Logger, type SeqNum, type StateMachine, type StateStore,
} from "@narses/core";
import { merkleRoot } from "@narses/crypto";
import type { AuthenticatedState } from "@narses/storage";
import { blockHash } from "@narses/wire";
import { endLease, leaseStore } from "./app-store.ts";
import { digestOf, type Head } from "./executor.ts";
import { CONFIG_KEY } from "./state-keys.ts";
import { reconcileBlocks } from "./transfer/transfer.ts";

export interface GenesisOptions {
  readonly cluster: ClusterConfig;
  readonly clusterId: Digest;
  readonly app: StateMachine;
  readonly state: StateStore & Pick<AuthenticatedState, "anchor">;
  readonly blocks: BlockStore;
  readonly hasher: Hasher;
  /** The data directory was used before: a missing genesis means that its state was lost. */
  readonly mustExist: boolean;
  readonly logger: Logger;
}

export interface Heads {
  /** Block 0: its hash is the root of the stable checkpoint at 0. */
  readonly genesis: Head;
  /** The block the durable state belongs to: where execution goes on. */
  readonly durable: Head;
}

/**
 * Makes the genesis state and block if the data directory has none, and reads back where execution stopped.
 * A crash half-way is finished by the next start: state first, then block, each step the same every time.
 * @throws NarsesError DATA_DIR_FOREIGN, DATA_CORRUPT; CONFIG_INVALID when the application refuses the cluster's genesis.
 */
export async function openHeads(options: GenesisOptions): Promise<Heads> {
  const { state, blocks, clusterId, mustExist } = options;
  const config = state.get(CONFIG_KEY);
  if (mustExist && (config === undefined || blocks.head === undefined)) {
    const store = config === undefined ? "state" : "block store";
    const remedy = "if it is lost, remove state and blocks (not votes) and start once with --rejoin: they are fetched from the others";
    throw new NarsesError("DATA_CORRUPT", `this replica has run before, but its ${store} is empty; ${remedy}`);
  }
  if (config === undefined) await runGenesis(options);
  else if (toHex(config) !== clusterId) {
    const whose = `the state on disk belongs to cluster ${toHex(config)}, the cluster file is ${clusterId}`;
    throw new NarsesError("DATA_DIR_FOREIGN", `${whose}; use another data directory or the right cluster file`);
  }
  if (blocks.head === undefined) await putGenesisBlock(options);
  await reconcileBlocks(state, blocks, options.hasher);
  const genesis = await readHead(options, seqNum(0));
  const durable = state.durableSeq === 0 ? genesis : await readHead(options, state.durableSeq);
  const root = state.root();
  if (durable.header.stateRoot !== root) {
    const { seq, stateRoot } = durable.header;
    throw corrupt(`the state on disk has root ${root}, block ${seq} says ${stateRoot}`, { seq });
  }
  return { genesis, durable };
}

async function runGenesis({ app, cluster, clusterId, state, logger }: GenesisOptions): Promise<void> {
  if (state.durableSeq !== 0) {
    throw corrupt(`the state on disk is at slot ${state.durableSeq} but lacks ${CONFIG_KEY}`);
  }
  state.put(CONFIG_KEY, fromHex(clusterId));
  const store = leaseStore(state);
  try {
    app.genesis?.(structuredClone(cluster.genesis), store);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new NarsesError("CONFIG_INVALID", `the application refuses the genesis of the cluster file: ${reason}`, { field: "genesis" }, { cause: error });
  }
  endLease(store);
  await state.checkpoint(seqNum(0));
  logger.info({ stateRoot: state.root(), cluster: cluster.name }, "genesis state made");
}

async function putGenesisBlock({ state, blocks }: GenesisOptions): Promise<void> {
  if (state.durableSeq !== 0) {
    throw corrupt(`the state on disk is at slot ${state.durableSeq} but there are no blocks`);
  }
  blocks.put({ header: genesisHeader(state.root()), batch: undefined, results: [], certificate: undefined });
  await blocks.sync();
}

/** Block 0: no parent, no batch, the state that genesis made. */
export function genesisHeader(stateRoot: Digest): BlockHeader {
  const empty = digestOf(merkleRoot([]));
  return { seq: seqNum(0), parent: NULL_DIGEST, timestampMs: 0, batchDigest: NULL_DIGEST, bundleRoot: empty, resultRoot: empty, stateRoot };
}

async function readHead({ state, blocks, hasher }: GenesisOptions, seq: SeqNum): Promise<Head> {
  const anchor = state.anchor?.header;
  if (anchor?.seq === seq) return { header: anchor, hash: blockHash(hasher, anchor) };
  const block = await blocks.get(seq);
  if (block === undefined) {
    throw corrupt(`block ${seq} is missing (the last one is ${String(blocks.head)})`, { seq });
  }
  if (block.header.seq !== seq) throw new InvariantViolation(`the block store gave block ${block.header.seq} for ${seq}`);
  return { header: block.header, hash: blockHash(hasher, block.header) };
}

function corrupt(problem: string, data: Readonly<Record<string, unknown>> = {}): NarsesError {
  return new NarsesError("DATA_CORRUPT", `${problem}; restore the data directory from another replica`, data);
}

/**
 * Executes a chain again from genesis, in memory: every block must come out with the same results and the same state root.
 * With the commit certificates, which prove what was ordered, this proves what it led to; no replica's word is needed.
 */
import {
  NarsesError,
  replicaId,
  seqNum,
  type Block,
  type BlockHeader,
  type BlockStore,
  type ClusterConfig,
  type StateMachine,
  type TransportHandlers,
} from "@narses/core";
import { generateSeed, hasher, signingKeyFromSeed, verifyingKey } from "@narses/crypto";
import { runReplica, silentLogger, systemClock } from "@narses/replica";
import { memoryStateStore, memoryVoteLog } from "@narses/storage";
import { clusterId } from "@narses/wire";
import { ChainReader } from "./chain-reader.ts";
import { codecOf } from "./codec.ts";

export interface Replay {
  /** Executes the next block. @throws NarsesError RECEIPT_INVALID when it leads elsewhere than its header says. */
  execute(block: Block): Promise<void>;
  readonly operations: number;
  close(): Promise<void>;
}

const COMPARED = [
  "resultRoot",
  "stateRoot",
  "bundleRoot",
  "batchDigest",
  "timestampMs",
  "parent",
  "seq",
] as const satisfies readonly (keyof BlockHeader)[];
const NAMES: Readonly<Record<(typeof COMPARED)[number], string>> = {
  resultRoot: "result root",
  stateRoot: "state root",
  bundleRoot: "transaction root",
  batchDigest: "batch digest",
  timestampMs: "time",
  parent: "parent",
  seq: "number",
};

function requireSame(expected: BlockHeader, computed: BlockHeader | undefined): void {
  for (const field of COMPARED) {
    if (expected[field] === computed?.[field]) continue;
    const difference = `executing it again gives ${NAMES[field]} ${String(computed?.[field])}, its header says ${expected[field]}`;
    throw new NarsesError("RECEIPT_INVALID", `block ${expected.seq} does not verify: ${difference} [execution]; do not rely on it`, {
      check: "execution",
      seq: expected.seq,
      field,
      expected: expected[field],
      computed: computed?.[field],
    });
  }
}

/** Keeps genesis and the last block: the chain itself is elsewhere. */
class LastBlock implements BlockStore {
  #genesis: Block | undefined;
  #last: Block | undefined;

  get head(): BlockStore["head"] {
    return this.#last?.header.seq;
  }
  readonly gaps: BlockStore["gaps"] = [];
  get last(): Block | undefined {
    return this.#last;
  }
  put(block: Block): void {
    this.#genesis ??= block;
    this.#last = block;
  }
  get(seq: Block["header"]["seq"]): Promise<Block | undefined> {
    return Promise.resolve([this.#genesis, this.#last].find((block) => block?.header.seq === seq));
  }
  skip(): Promise<void> {
    return Promise.reject(new TypeError("a chain is replayed without gaps"));
  }
  fill(): Promise<void> {
    return this.skip();
  }
  sync(): Promise<void> {
    return Promise.resolve();
  }
  close(): Promise<void> {
    return Promise.resolve();
  }
}

/** Nobody to talk to. Keeps the handlers, through which the engine is woken. */
class NoNetwork {
  handlers: TransportHandlers | undefined;
  start(handlers: TransportHandlers): Promise<void> {
    this.handlers = handlers;
    return Promise.resolve();
  }
  send(): boolean {
    return false;
  }
  stop(): Promise<void> {
    return Promise.resolve();
  }
}

/** Starts at genesis: the first block to execute is 0. Close it at the end. */
export async function openReplay(cluster: ClusterConfig, app: StateMachine): Promise<Replay> {
  const self = replicaId(0);
  const engine = new ChainReader(cluster.replicas.length, seqNum(0));
  const blocks = new LastBlock();
  const transport = new NoNetwork();
  const state = await memoryStateStore({ hasher });
  const replica = await runReplica({
    self,
    cluster,
    app,
    hasher,
    verifyingKey,
    state,
    blocks,
    transport,
    clusterId: clusterId(hasher, cluster),
    codec: codecOf(cluster),
    engine: () => engine,
    signingKey: signingKeyFromSeed(generateSeed()), // signs nothing that leaves this process
    replicaKeys: [],
    log: memoryVoteLog(),
    clock: systemClock,
    localQueries: false,
    mustExist: false,
    logger: silentLogger,
  });
  const broken = replica.ended.then((error) => {
    throw error ?? new NarsesError("CLOSED", "the replay was closed");
  });
  broken.catch(() => undefined); // also thrown where it is waited for
  let operations = 0;
  return {
    get operations() {
      return operations;
    },
    execute: async (block) => {
      if (block.header.seq > 0) {
        const executed = engine.read(block);
        transport.handlers?.onPeer(self, true);
        await Promise.race([executed, broken]);
      }
      requireSame(block.header, blocks.last?.header);
      for (const bundle of block.batch?.bundles ?? []) operations += bundle.operationCount;
    },
    close: () => replica.stop(),
  };
}

/** Where a diverged state is wrong: the first differing key, in byte order, among the pages that are fetched to repair it. */
import type { BlockHeader, BlockStore, Logger, SeqNum, StableCheckpoint } from "@narses/core";
import { firstDifferingKey, type AuthenticatedState, type StateCheckpoint } from "@narses/storage/portable";
import { describeError } from "../log.ts";

export interface Difference {
  readonly seq: SeqNum;
  /** Pages that differ, so far. */
  readonly pages: number;
  /** The first key, in byte order; null when the states are alike and only the block header differs. */
  readonly key: string | null;
  /** Its page. */
  readonly page: number | null;
  /** Fields of the block header that differ. */
  readonly header: readonly string[];
}

export interface DifferenceOptions {
  readonly state: Pick<AuthenticatedState, "checkpoints">;
  readonly blocks: Pick<BlockStore, "get">;
  readonly logger: Logger;
}

export interface DifferenceSearch {
  readonly found: Difference | undefined;
  /** The own state as of the checkpoint it differs from. */
  begin(target: StableCheckpoint): Promise<void>;
  /** A verified page of the certified state. */
  compare(target: StableCheckpoint, bucket: number, page: Uint8Array): Promise<void>;
  /** What is known when everything has come. */
  conclude(target: StableCheckpoint, header: BlockHeader): Promise<Difference | null>;
}

const order = (key: string): Buffer => Buffer.from(key, "utf8");

export function createDifference({ state, blocks, logger }: DifferenceOptions): DifferenceSearch {
  let own: StateCheckpoint | undefined;
  let ownHeader: BlockHeader | undefined;
  let found: Difference | undefined;
  return {
    get found() {
      return found;
    },
    async begin(target) {
      own = state.checkpoints.find(({ seq }) => seq === target.seq);
      ownHeader = (await blocks.get(target.seq))?.header;
    },
    async compare(target, bucket, page) {
      if (own?.seq !== target.seq) return;
      let key: string | undefined;
      try {
        key = firstDifferingKey(bucket, await own.page(bucket), page);
      } catch (error) {
        logger.error({ seq: own.seq, page: bucket, error: describeError(error) }, "a page of the own state cannot be read for the comparison");
        return;
      }
      if (key === undefined) return;
      const first = typeof found?.key === "string" && Buffer.compare(order(found.key), order(key)) <= 0 ? found : { key, page: bucket };
      found = { seq: own.seq, pages: (found?.pages ?? 0) + 1, key: first.key, page: first.page, header: [] };
    },
    async conclude(target, header) {
      if (own === undefined && ownHeader === undefined) return null;
      if (ownHeader?.seq === target.seq) {
        const mine = ownHeader;
        const fields = (Object.keys(header) as (keyof BlockHeader)[]).filter((field) => header[field] !== mine[field]);
        found = { seq: header.seq, pages: found?.pages ?? 0, key: found?.key ?? null, page: found?.page ?? null, header: fields };
      }
      if (found !== undefined) {
        const { seq, key, page, pages } = found;
        const where = key === null ? "no key of the state" : `key ${JSON.stringify(key)} in page ${page}, the first of ${pages} pages`;
        logger.error({ seq, key: key ?? undefined, page: page ?? undefined, pages, header: found.header.join(", ") }, `the own state as of slot ${seq} differed in ${where}`);
      }
      return found ?? null;
    },
  };
}

/**
 * Receipts in a browser: the bundle is small and holds no Node code, and judges receipts of a real cluster, and damaged ones,
 * as the library does in Node. Checked twice: in a context with web globals only (always), and in real Chromium (where there is one).
 */
import { createContext, runInContext } from "node:vm";
import { connect, encodeReceipt, type FailedCheck } from "@narses/client";
import { toHex, type Receipt } from "@narses/core";
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { InProcess } from "../../packages/replica/test/support/cluster-in-process.ts";
import { clientKey, testCluster, type TestCluster } from "../../packages/replica/test/support/cluster.ts";
import { BUNDLE_GZIP_BYTES_MAX, buildBrowserBundle, type BrowserBundle } from "./bundle.ts";
import { findChromium, launchChromium } from "./chromium.ts";
import { freeNames } from "./free-names.ts";

/** In the page: the verdict on a receipt as text. */
const JUDGE = `
  function judge(hex, clusterText) {
    const bytes = Uint8Array.from(hex.match(/../g) ?? [], (pair) => parseInt(pair, 16));
    try {
      const { seq, block, operation, result, signers } = narses.verifyReceiptBytes(bytes, narses.parseClusterFile(clusterText));
      return JSON.stringify({ seq, block, operation, result, signers });
    } catch (error) {
      return JSON.stringify({ name: error.name, code: error.code, check: error.data && error.data.check });
    }
  }`;

type Judge = (receipt: Uint8Array, clusterText: string) => Promise<unknown>;

const chromium = findChromium();
if (chromium === undefined) process.stdout.write("real browser skipped: no chromium on this machine (CHROMIUM names one); the bundle runs in a bare context only\n");

let bundle: BrowserBundle;
let tools: TestCluster;
let receipt: Receipt;
let browser: Browser | undefined;

const flip = (bytes: Uint8Array, at: number): Uint8Array => {
  const copy = bytes.slice();
  copy[at < 0 ? bytes.length + at : at]! ^= 1;
  return copy;
};

/** What a liar could hand on, and the check that must catch it. */
const FORGERIES: Readonly<Record<string, { readonly check: FailedCheck; readonly forge: (honest: Receipt) => Receipt }>> = {
  "another result": { check: "result-path", forge: (r) => ({ ...r, results: [flip(r.results[0] as Uint8Array, -1)] }) },
  "another operation": { check: "client-signature", forge: (r) => ({ ...r, bundle: flip(r.bundle, -66) }) },
  "a client signature that is off by a bit": { check: "client-signature", forge: (r) => ({ ...r, bundle: flip(r.bundle, -64) }) },
  "another time": { check: "outcome-block", forge: (r) => ({ ...r, header: { ...r.header, timestampMs: r.header.timestampMs + 1 } }) },
  "another state root": { check: "outcome-block", forge: (r) => ({ ...r, header: { ...r.header, stateRoot: r.header.parent } }) },
  "too few replicas": { check: "outcome-count", forge: (r) => ({ ...r, outcomes: r.outcomes.slice(1) }) },
  "one replica twice": { check: "outcome-replica", forge: (r) => ({ ...r, outcomes: [r.outcomes[0], r.outcomes[0]] as Receipt["outcomes"] }) },
  "a replica's signature off by a bit": {
    check: "outcome-signature",
    forge: (r) => ({ ...r, outcomes: r.outcomes.map((outcome, i) => (i === 0 ? { ...outcome, bytes: flip(outcome.bytes, -1) } : outcome)) }),
  },
};

beforeAll(async () => {
  bundle = await buildBrowserBundle();
  tools = testCluster();
  const cluster = new InProcess(tools);
  await cluster.startAll();
  const client = await connect({ cluster: tools.cluster, key: clientKey("auditor"), transport: cluster.network.client() });
  ({ receipt } = await client.submit({ add: 42 }));
  await client.close();
  await cluster.stop();
  if (chromium !== undefined) browser = await launchChromium(chromium);
});

afterAll(async () => {
  await browser?.close();
});

describe("the browser bundle", () => {
  it(`is below ${BUNDLE_GZIP_BYTES_MAX} bytes compressed`, () => {
    expect(bundle.gzipBytes).toBeLessThan(BUNDLE_GZIP_BYTES_MAX);
  });

  it("holds no Node code", () => {
    expect(bundle.inputs.filter((input) => /\.node\.ts$|sodium|openssl|libp2p|^node:/.test(input))).toEqual([]);
    expect(bundle.code).not.toMatch(/["'`]node:|\brequire\(/);
    const free = freeNames(bundle.code);
    for (const name of ["Buffer", "process", "global", "require", "module", "__dirname", "__filename", "setImmediate"]) expect(free).not.toContain(name);
    expect(free).toContain("Uint8Array"); // the list is not empty by mistake
  });
});

/** No process, Buffer, require or timer: a name beyond these throws. */
function judgeInBareContext(): Judge {
  const page = createContext({ crypto: globalThis.crypto, TextEncoder, TextDecoder, Uint8Array });
  runInContext(`${bundle.code};${JUDGE}`, page);
  return async (bytes, clusterText) => JSON.parse(String(runInContext(`judge(${JSON.stringify(toHex(bytes))}, ${JSON.stringify(clusterText)})`, page))) as unknown;
}

async function judgeInChromium(): Promise<Judge> {
  if (browser === undefined) throw new TypeError("no browser");
  const page = await browser.newPage();
  await page.addScriptTag({ content: `${bundle.code};${JUDGE}` });
  return async (bytes, clusterText) => JSON.parse(await page.evaluate(`judge(${JSON.stringify(toHex(bytes))}, ${JSON.stringify(clusterText)})`)) as unknown;
}

const HOSTS: Readonly<Record<string, () => Judge | Promise<Judge>>> = {
  "a bare context": judgeInBareContext,
  ...(chromium === undefined ? {} : { Chromium: judgeInChromium }),
};

describe.each(Object.keys(HOSTS))("in %s", (host) => {
  let judge: Judge;
  let clusterText: string;
  beforeAll(async () => {
    judge = await (HOSTS[host] as () => Judge | Promise<Judge>)();
    clusterText = JSON.stringify(tools.cluster);
  });

  it("a receipt of a real cluster verifies", async () => {
    expect(await judge(encodeReceipt(receipt, tools.cluster), clusterText)).toMatchObject({
      seq: receipt.header.seq,
      operation: { add: 42 },
      result: { status: "ok", value: 42 },
      signers: [expect.any(Number), expect.any(Number)],
    });
  });

  it.each(Object.keys(FORGERIES))("%s is caught by name", async (name) => {
    const forgery = FORGERIES[name];
    if (forgery === undefined) throw new TypeError(name);
    const bytes = tools.codec.encodeReceipt(forgery.forge(receipt));
    expect(await judge(bytes, clusterText)).toMatchObject({ code: "RECEIPT_INVALID", check: forgery.check });
  });

  it("bytes that are no receipt, and a receipt of another cluster, are refused", async () => {
    const bytes = encodeReceipt(receipt, tools.cluster);
    expect(await judge(bytes.subarray(0, 100), clusterText)).toMatchObject({ code: "RECEIPT_INVALID", check: "encoding" });
    expect(await judge(new Uint8Array(0), clusterText)).toMatchObject({ code: "RECEIPT_INVALID", check: "encoding" });
    expect(await judge(bytes, JSON.stringify({ ...tools.cluster, name: "another" }))).toMatchObject({ code: "RECEIPT_INVALID", check: "client-signature" });
  });

  it("a cluster file that is none is refused", async () => {
    const bytes = encodeReceipt(receipt, tools.cluster);
    expect(await judge(bytes, "{")).toMatchObject({ code: "CONFIG_INVALID" });
    expect(await judge(bytes, JSON.stringify({ ...tools.cluster, f: 2 }))).toMatchObject({ code: "CONFIG_INVALID" });
  });
});


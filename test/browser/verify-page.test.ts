/**
 * The page on which anybody verifies receipts: one file, small, without any way to contact somebody. What it decides is
 * tested here in Node; that the page shows it, in real Chromium where there is one (VERIFY_PAGE_SCREENSHOT keeps a picture).
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import { connect, encodeReceipt, parseClusterFile, type Client, type StaleAnswer } from "@narses/client";
import { toHex, type ClusterConfig, type Receipt, type StateMachine } from "@narses/core";
import { hasher } from "@narses/crypto";
import { createLedger } from "@narses/ledger";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readProvenAccount } from "../../apps/ledger/src/client/proven-account.ts";
import type { AccountAnswer } from "../../apps/ledger/src/state-machine/questions.ts";
import { buildVerifyPage } from "../../apps/ledger/src/receipts/verify-page.ts";
import { readDropped, type ReceiptLine } from "../../apps/ledger/verify-page/documents.ts";
import { judge, type Verdict } from "../../apps/ledger/verify-page/verdict.ts";
import { InProcess } from "../../packages/replica/test/support/cluster-in-process.ts";
import { clientKey, testCluster } from "../../packages/replica/test/support/cluster.ts";
import { BUNDLE_GZIP_BYTES_MAX } from "./bundle.ts";
import { findChromium, launchChromium } from "./chromium.ts";
import { freeNames } from "./free-names.ts";

const key = clientKey("admin");
const publicKey = toHex(key.publicKey);
const root = mkdtempSync(join(tmpdir(), "narses-page-"));
const chromium = findChromium();
if (chromium === undefined) process.stdout.write("verification page in a real browser skipped: no chromium on this machine (CHROMIUM names one)\n");

let html: string;
let cluster: ClusterConfig;
let clusterText: string;
let single: string;
let payments: string;
let forged: string;
/** The proof of an account's record. */
let balance: string;
let holdings: AccountAnswer["holdings"];

const stored = (receipt: Receipt, named?: Readonly<Record<string, number>>): string =>
  JSON.stringify({ type: "narses-receipt", version: 1, ...(named && { payments: named }), receipt: Buffer.from(encodeReceipt(receipt, cluster)).toString("base64") });

/** Tries until the checkpoint of a block that has the account is stable. */
async function provenAlice(client: Client): Promise<{ readonly account: AccountAnswer; readonly proof: StaleAnswer }> {
  for (let i = 0; i < 2_000; i++) {
    try {
      const { account, proof } = await readProvenAccount(client, "alice", {});
      if (account !== undefined) return { account, proof };
    } catch (error) {
      if ((error as { code: string }).code !== "UNAVAILABLE") throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new TypeError("no checkpoint became stable");
}

async function pay(client: Client): Promise<void> {
  const transfer = (id: string, amount: string): Record<string, unknown> => ({ type: "transfer", from: "alice", to: "bob", asset: "EUR", amount, idempotencyKey: `day:${id}` });
  await client.submitMany([{ type: "account.create", id: "alice", opening: [{ asset: "EUR", amount: "100.00" }] }, { type: "account.create", id: "bob" }]);
  const { receipt } = await client.submit({ ...transfer("rent", "12.50"), reference: "<b>rent</b> of May" });
  single = stored(receipt);
  const many = (await client.submitMany(["p1", "p2", "p3"].map((id, i) => transfer(id, `${i + 1}.00`)))).map((settled) => {
    if (settled.status === "rejected") throw settled.reason;
    return settled.value.receipt;
  });
  payments = stored(many[0] as Receipt, { p1: 0, p2: 1, p3: 2 });
  const { account, proof } = await provenAlice(client);
  holdings = account.holdings;
  balance = JSON.stringify({ type: "narses-state-receipt", version: 1, receipt: Buffer.from(proof.receipt).toString("base64") });
  forged = stored({ ...receipt, header: { ...receipt.header, timestampMs: receipt.header.timestampMs + 1 } });
}

beforeAll(async () => {
  html = await buildVerifyPage();
  const genesis = { ledger: 1, members: [{ publicKey, name: "admin", roles: ["admin", "member"] }], assets: [{ code: "EUR", decimals: 2, issuer: publicKey }] };
  const tools = testCluster(4, { genesis, parameters: { checkpointInterval: 1, logWindow: 4, pipelineDepth: 2 } });
  ({ cluster } = tools);
  clusterText = JSON.stringify(cluster);
  const inProcess = new InProcess(tools, createLedger(hasher) as unknown as StateMachine);
  await inProcess.startAll();
  const client = await connect({ cluster, key, transport: inProcess.network.client() });
  await pay(client);
  await client.close();
  await inProcess.stop();
});

afterAll(() => rmSync(root, { recursive: true, force: true }));

const linesOf = (text: string): readonly ReceiptLine[] => {
  const dropped = readDropped("r", text);
  if (dropped.kind !== "receipts") throw new TypeError(`not receipts: ${JSON.stringify(dropped)}`);
  return dropped.lines;
};
const verdictsOf = (text: string): readonly Verdict[] => linesOf(text).flatMap((line) => judge(line, parseClusterFile(clusterText)));

describe("the page as a file", () => {
  it("is one small file without Node code that may run only its own script and contact nobody", () => {
    expect(gzipSync(html).length).toBeLessThan(BUNDLE_GZIP_BYTES_MAX);
    expect(html).not.toMatch(/<!-- (policy|style|script) -->|\bsrc=|<link|["'`]node:/);
    expect(html).toMatch(/default-src 'none'; script-src 'sha256-[^']+'; style-src 'sha256-[^']+'/);
    const script = /<script>([\s\S]*)<\/script>/.exec(html)?.[1] ?? "";
    const free = freeNames(script);
    for (const name of ["Buffer", "process", "require", "fetch", "XMLHttpRequest", "WebSocket"]) expect(free).not.toContain(name);
    expect(free).toContain("document");
  });
});

describe("what it decides", () => {
  it("a payment is valid, and shown with its fields", () => {
    expect(verdictsOf(single)).toEqual([expect.objectContaining({ valid: true, title: "transfer 12.50 EUR from alice to bob", from: "r:1" })]);
    expect(verdictsOf(single)[0]?.rows).toContainEqual({ name: "reference", value: "<b>rent</b> of May" });
  });

  it("every payment of an import is judged, under the name it is filed under", () => {
    expect(verdictsOf(payments).map(({ valid, title }) => [valid, title])).toEqual([1, 2, 3].map((i) => [true, `transfer ${i}.00 EUR from alice to bob`]));
    const swapped = payments.replace('"p1":0', '"p1":1').replace('"p2":1', '"p2":0');
    expect(verdictsOf(swapped).map(({ valid }) => valid)).toEqual([false, false, true]);
    expect(verdictsOf(payments.replace('"p3":2', '"p3":3')).map(({ valid }) => valid)).toEqual([true, true, false]);
  });

  it("a forged receipt is not valid, by name of the check", () => {
    expect(verdictsOf(forged)).toEqual([expect.objectContaining({ valid: false, rows: expect.arrayContaining([{ name: "failed check", value: "outcome-block" }]) as unknown })]);
  });

  it("the proof of an account is valid, and shown with its balances; of another cluster it is not", () => {
    const [verdict] = verdictsOf(balance);
    expect(verdict).toMatchObject({ valid: true, title: "state of account/alice" });
    expect(holdings).toEqual([{ asset: "EUR", balance: expect.stringMatching(/^\d+\.\d\d$/) as string, overdraft: "0.00" }]);
    expect(verdict?.rows).toContainEqual({ name: "balances", value: expect.stringMatching(/^\{"EUR":"\d+"\}$/) as string });
    const other = parseClusterFile(JSON.stringify({ ...cluster, name: "other" }));
    expect(linesOf(balance).flatMap((line) => judge(line, other))).toMatchObject([{ valid: false, rows: expect.arrayContaining([{ name: "failed check", value: "checkpoint-signature" }]) as unknown }]);
  });

  it("files are told apart by content", () => {
    expect(readDropped("x", clusterText)).toMatchObject({ kind: "cluster" });
    expect(readDropped("x", `${single}\n\n${payments}\n`)).toMatchObject({ kind: "receipts", lines: [{ line: 1 }, { line: 3 }] });
    for (const text of ["", "{}", "nonsense", `${single}\n{"type":"other"}`, '{"type":"narses-receipt","version":2,"receipt":""}']) {
      expect(readDropped("x", text)).toMatchObject({ kind: "unknown" });
    }
  });
});

describe.runIf(chromium !== undefined)("in Chromium", () => {
  it("shows verdicts of the files given, and asks the network for nothing", async () => {
    const path = (name: string, content: string): string => {
      writeFileSync(join(root, name), content);
      return join(root, name);
    };
    const browser = await launchChromium(chromium ?? "");
    try {
      const page = await browser.newPage({ viewport: { width: 1100, height: 1250 } });
      const asked: string[] = [];
      const wrong: string[] = [];
      page.on("request", (request) => void asked.push(request.url()));
      page.on("pageerror", (error) => void wrong.push(error.message));
      const url = pathToFileURL(path("verify.html", html)).href;
      await page.goto(url);
      await page.setInputFiles("#receipt-input", [path("rent.receipt", single), path("forged.receipt", forged)]);
      await page.getByText("the cluster file is missing").waitFor();
      await page.setInputFiles("#cluster-input", path("cluster.json", clusterText));
      await page.getByText("1 valid, 1 not valid.").waitFor();
      expect(await page.locator(".card.bad h2").innerText()).toContain("NOT VALID");
      const good = page.locator(".card.good");
      expect(await good.locator("h2").innerText()).toContain("transfer 12.50 EUR from alice to bob");
      expect(await good.locator("dl").innerText()).toContain("<b>rent</b> of May"); // as text, not as markup
      await page.setInputFiles("#receipt-input", [path("day.receipts", payments), path("notes.txt", "no receipt"), path("alice.proof", balance)]);
      await page.getByText("5 valid, 2 not valid.").waitFor();
      await page.getByText("state of account/alice").waitFor();
      expect(asked).toEqual([url]);
      expect(wrong).toEqual([]);
      const picture = process.env["VERIFY_PAGE_SCREENSHOT"];
      if (picture !== undefined) await page.screenshot({ path: picture, fullPage: true });
    } finally {
      await browser.close();
    }
  });
});

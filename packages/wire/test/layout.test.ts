/**
 * The layouts as they are on the wire today. A change here breaks every running cluster and every data directory: it needs
 * another version byte in `tags.ts`, and then new lines here.
 */
import { NULL_DIGEST, requestId, toHex, type ClusterConfig } from "@narses/core";
import { describe, expect, test } from "vitest";
import { blockHash, canonicalJson, clientIdOf, clusterId, createCodec, DOMAIN, resultLeaf, TAG } from "../src/index.ts";
import { CLUSTER_ID, codec, EPOCH, fakeKey, hasher, PARAMETERS } from "./support/cluster.ts";
import { batch, bundle, emptyBatch, frameC, frames, hash, header, patch, prePrepare, stored } from "./support/samples.ts";
import { join } from "./support/mutate.ts";

const sha = (bytes: Uint8Array): string => toHex(hasher.sha256(bytes));
const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
const u = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex, "hex"));

const GOLDEN: readonly (readonly [name: string, length: number, hash: string])[] = [
  ["fetch-state header", 15, "48706d86a6d43bd18a7edf5d8a003897945d75b2774c03845d81391ecc9dea86"],
  ["fetch-state nodes", 30, "15bff0633286b62da523a591dfac3ef594bd3f821029b111f4d6cb25808af4b8"],
  ["fetch-state pages", 25, "51d5f6a813fad476cc76c333e373f445a6ad82fb4523b8a0c47e17da88a239af"],
  ["state-header", 215, "49e6c5b940723d73d9b9d30fd5625298fb7444c28f768f1ab053f5feae8675db"],
  ["state-nodes", 123, "9e668fee5be568eb4fd12387ebafbebffecd0ba77ff8753a71458952fa18929d"],
  ["state-pages", 50, "e86cd42f7f0c7f0fd90c9d94523a6d62d49ad2d869c43d73525b1667a116f81e"],
  ["state-gone", 22, "7053af6c4754d1f371d002b6237e8b3b44147c199577d568698f1f60e7eb1d1c"],
  ["fetch-block", 18, "9c44e93f596c943ab7a5a6a196741c45412fe93aa404219c17dc0a6b84bf811e"],
  ["block-part", 25, "1d7ecb8e1d9324c25feed68814885e06fa363b44f7efe597310dc363f231b99c"],
  ["pre-prepare", 434, "f06aa4f503715785677e6154e4ff384882f1c2722c9a78dc2616538c1f56276d"],
  ["compact-pre-prepare", 318, "f9131bcc9f617b717d66a9a3374a4dc9afe67b5dca21f5cff726fa192b986977"],
  ["votes", 171, "aa75f72762c5f4dff28ddf19718e0ac18f0b84f06296e472666a9dec737fbf59"],
  ["checkpoint", 112, "0870e7bdf86e9de3616b7c97c1b76945c2aa9a45d36c9c87c942880167c269fc"],
  ["view-change", 1194, "64f938d8c550c6bc75a863fad97b0cf8e18e1d11a03e2a87e0596f0d6c608489"],
  ["new-view", 3908, "115ec43310d969007c94032b835c553acea623db8deb1b4eee55a8e4dbd500ad"],
  ["status", 39, "00f1f1351800dab2ec2d79524bd2c13ebdfb937faca830aab1d2990faccb97a1"],
  ["forward", 142, "d0a4e57a46128b7becf243fbafca93ad3402b2cd3a5d513897bd4cb2cca469a9"],
  ["fetch-batch", 38, "1ee1f99b4a8e766aa9d5dd8fcbbefdade1210edff3d1ed2a7b1e71333971cf16"],
  ["fetch-bundles", 80, "5adf04a0a7b0604030bef9185feacdc2bc34d2591a72d8f518e91e2050dbfa2e"],
  ["batch", 308, "028440a8e0e25becb83f5befe5b0dda700a1003b0db03e9d99f54259f9cc4e83"],
  ["decision", 720, "b72a55a14fa04e4af8f1e75fe56240d84f2b002799dd5a5885afec58299a49a8"],
  ["stable", 384, "f4b5aec98b20a0f029a8864a5a1bb424864da54a5de9f1872237a80c6b0ca382"],
  ["recall", 46, "f5a0d709ab72819938e088cbad0ad30d6fce3fd74a003b8ddb6cdc8bda19021d"],
  ["recalled", 2043, "55ff3402f6867fe9c11e83e5c66a558dbd1942d95d9ddd0e8783b6ff8b4e31f2"],
  ["request", 142, "d0a4e57a46128b7becf243fbafca93ad3402b2cd3a5d513897bd4cb2cca469a9"],
  ["call", 22, "3da03b274542d8b084af639a20104d6e63a811b5365c7d73cd28c1d7a9f9ff83"],
  ["reply", 421, "6606e69a6065d9a426f17298fba4ac5ecc6b1f9299e0db53674f0ffe94d8a672"],
  ["refused", 54, "cd672848d9ec6e6955447a00a7a8a575784ce62b2ccb8dde9e026916e96a99f6"],
  ["call-result", 16, "531165fc00a4f70d0c4596c507de97e2da7c50e6c480a7bcda053fc969b2ad07"],
  ["executed", 50, "3026da253ee263fcdb442258354e2fc185da7bed3871ee42398c58c45bb330a5"],
  ["receipt", 607, "a2428b6e89ec5c3e269adbbfdede8171e2f5e8e332c84a7605d960ac750e5f2f"],
  ["evidence pair", 353, "e2a0e109f85f5f32bfd119f8e2f0dc4973fec99c6aaa158861f5a44f265cfe46"],
  ["evidence forged", 1205, "0719eb7170c6dd6dc99afa46b7ca0d084e5ea10ec88826c94757f781488f2627"],
  ["evidence batch", 439, "bc46eec33f694ee19c2ece3d7874fab4056bb2face300e74eaecf64170fa37e7"],
  ["state receipt", 944, "19b33870b7ad55ed7db515731a0fc31be5a051220081d7bf1fb3776d8f2a6afa"],
  ["record pre-prepared", 484, "a18dbfee3b83e144d7732f894c25c03611313e09c004a80f3c7e8b94756a4e87"],
  ["record prepared", 435, "241d88a372549ad0b5b659dd9380ad548937c4659547c065142f025592f31d47"],
  ["record committed", 721, "414d9edf07d5b63ee4c585d6ed172a42e804c1390ab832a40ff98b8f2b23e7ab"],
  ["record view-left", 1128, "f90c08f98d86f604c8e17f531dadddc7b7dc4a4b0456058eac74d52a8ce7e75f"],
  ["record new-view", 3923, "e93640d59227cd0edbd39cb392d4ed03782bf8a4c62eb82dc65092037dae20b3"],
  ["record stable", 384, "67c917ee7cd2ee3319d404c7e461dcca133191bbfd4d5cbe1a47e56206229308"],
  ["record vouched", 46, "be98d76fc73b27846ec0c48339bd2b6526087a0591b50e288d05c56b889e15fd"],
  ["record amnesia", 32, "774bae2f652d5510238382ae1c227eb0a1846ca8201bf1c56a3473c3c6d3b184"],
  ["block", 927, "c76bf0024d008074fc5bbd16a9354f785654afe6d8a0710b64dc3d8a7a5c202f"],
];

describe("bytes", () => {
  test("of the fixed samples, by length and SHA-256", () => {
    expect([...frames, ...stored].map(({ name, bytes }) => [name, bytes.length, sha(bytes)])).toEqual(GOLDEN);
  });

  test("of a vote frame, field by field", () => {
    const d1 = "d1".repeat(32);
    const d2 = "d2".repeat(32);
    const head = "01" + "02" + "00000007" + "0002" + "02";
    const commit9 = "02" + "0000000000000003" + "0000000000000009" + d1;
    const prepare10 = "01" + "0000000000000003" + "000000000000000a" + d2;
    expect(toHex(frameC.bytes.subarray(0, -64))).toBe(head + commit9 + prepare10);
  });

  test("of a bundle, field by field", () => {
    const one = bundle(1);
    const ids = "0000000000000003" + "0000000000000005" + "0000000000000004";
    const operations = "0002" + "01" + "00000003" + "02" + "00000001" + "010203" + "09";
    expect(toHex(one.bytes.subarray(0, -64))).toBe("0110" + "00000007" + toHex(one.publicKey) + ids + operations);
  });

  test("every tag is there once, and none above a byte", () => {
    const tags = Object.values(TAG);
    expect(new Set(tags).size).toBe(tags.length);
    for (const tag of tags) expect(Number.isInteger(tag) && tag > 0 && tag < 256).toBe(true);
  });
});

describe("what is signed", () => {
  test("starts with domain and cluster id, and ends before the signature", () => {
    const { message, signature } = codec.signedParts(frameC.bytes);
    expect(message).toStrictEqual(join(ascii("narses/replica-message\0"), u(CLUSTER_ID), frameC.bytes.subarray(0, -64)));
    expect(message).toStrictEqual(codec.signingInput(codec.unsigned(frameC.body)));
    expect(signature).toStrictEqual(fakeKey(2).sign(message));

    const parts = codec.signedParts(bundle(1).bytes);
    expect(parts.message).toStrictEqual(join(ascii("narses/client-bundle\0"), u(CLUSTER_ID), bundle(1).bytes.subarray(0, -64)));
    expect(parts.signature).toStrictEqual(fakeKey(1).sign(parts.message));
  });

  test("differs for another cluster, epoch, type, sender and version", () => {
    const other = createCodec({ hasher, clusterId: hash(0x11), epoch: EPOCH, replicas: 4, parameters: PARAMETERS });
    const { bytes } = prePrepare(9);
    const signed = (by: typeof codec, envelope: Uint8Array): string => toHex(by.signedParts(envelope).message);
    const messages = [signed(codec, bytes), signed(other, bytes), ...[[0, 2], [1, 3], [5, 8], [7, 0]].map(([at, value]) => signed(codec, patch(bytes, at ?? 0, value ?? 0)))];
    expect(new Set(messages).size).toBe(messages.length);
  });

  test("is a view that the next call overwrites, and leaves what was asked before of another codec alone", () => {
    const other = createCodec({ hasher, clusterId: hash(0x11), epoch: EPOCH, replicas: 4, parameters: PARAMETERS });
    const first = other.signedParts(frameC.bytes).message;
    const before = toHex(first);
    const long = codec.signedParts(bundle(1).bytes).message;
    expect(toHex(first)).toBe(before);
    expect(toHex(codec.signedParts(frameC.bytes).message)).not.toBe(before);
    expect(toHex(codec.signedParts(bundle(1).bytes).message)).toBe(toHex(long));
  });

  test("is defined for envelopes only", () => {
    for (const bad of [new Uint8Array(), batch.bytes, new Uint8Array(200).fill(1, 0, 1), patch(new Uint8Array(71), 1, 2), patch(new Uint8Array(100), 1, 16)]) {
      expect(() => codec.signedParts(bad)).toThrow(RangeError);
    }
    expect(() => codec.seal(frameC.body, codec.unsigned(frameC.body), new Uint8Array(63))).toThrow(RangeError);
  });

  test("no domain is a prefix of another", () => {
    const domains = Object.values(DOMAIN).map(toHex);
    for (const a of domains) for (const b of domains) if (a !== b) expect(b.startsWith(a)).toBe(false);
  });
});

describe("digests", () => {
  test("a bundle's is SHA-256 of the envelope with its signature, its client SHA-256 of the key", () => {
    const one = bundle(1);
    expect(one.digest).toBe(sha(one.bytes));
    expect(one.client).toBe(sha(one.publicKey));
    expect(clientIdOf(hasher, one.publicKey)).toBe(one.client);
    expect(() => clientIdOf(hasher, new Uint8Array(31))).toThrow(RangeError);
  });

  test("a batch's covers cluster, epoch, time, count and bundle digests in order", () => {
    const head = join(ascii("narses/batch\0"), u(CLUSTER_ID), u("00000007"), u("0000018bcfe5687b"));
    expect(batch.digest).toBe(sha(join(head, u("0002"), u(bundle(1).digest), u(bundle(2).digest))));
    expect(emptyBatch.digest).toBe(sha(join(head, u("0000"))));
    const swapped = codec.makeBatch(EPOCH, batch.timestampMs, [bundle(2), bundle(1)]);
    const later = codec.makeBatch(EPOCH, batch.timestampMs + 1, batch.bundles);
    expect(new Set([batch.digest, swapped.digest, later.digest, emptyBatch.digest]).size).toBe(4);
  });

  test("a bundle that keeps its order differs in the kinds alone", () => {
    const parts = { key: fakeKey(1), session: 0, ridFirst: requestId(1), ackLow: 0, operations: [{ kind: "apply" as const, payload: Uint8Array.of(1) }, { kind: "query" as const, payload: Uint8Array.of(2) }] };
    const [any, fifo] = [codec.makeBundle(parts), codec.makeBundle({ ...parts, fifo: true })];
    expect([any.fifo, fifo.fifo]).toEqual([false, true]);
    expect(fifo.operations).toEqual(any.operations);
    expect([...fifo.bytes].flatMap((byte, i) => (byte === any.bytes[i] ? [] : [[i, any.bytes[i], byte]])).slice(0, 2)).toEqual([[64, 1, 17], [69, 2, 18]]);
    expect(codec.decodeBundle(fifo.bytes)).toMatchObject({ ok: true, value: { fifo: true } });
  });

  test("a batch's changes with the signature of a bundle in it: the digest names the very bytes", () => {
    const parts = { session: 0, ridFirst: requestId(1), ackLow: 0, operations: [{ kind: "apply" as const, payload: Uint8Array.of(1) }] };
    const { publicKey } = fakeKey(1);
    const [one, two] = [1, 2].map((fill) => codec.makeBundle({ key: { publicKey, sign: () => new Uint8Array(64).fill(fill) }, ...parts }));
    if (one === undefined || two === undefined) throw new TypeError("two bundles expected");
    expect(codec.makeBatch(EPOCH, 1, [one]).digest).not.toBe(codec.makeBatch(EPOCH, 1, [two]).digest);
  });

  test("a block's covers every field of its header", () => {
    const fields = { seq: 8, parent: NULL_DIGEST, timestampMs: 1, batchDigest: hash(9), bundleRoot: hash(9), resultRoot: hash(9), stateRoot: hash(9) };
    const hashes = Object.entries(fields).map(([field, value]) => blockHash(hasher, { ...header, [field]: value }));
    expect(new Set([blockHash(hasher, header), ...hashes]).size).toBe(8);
    const roots = [header.batchDigest, header.bundleRoot, header.resultRoot, header.stateRoot];
    const layout = join(u("0000000000000009"), u(header.parent), u("0000018bcfe5687b"), ...roots.map(u));
    expect(blockHash(hasher, header)).toBe(sha(join(ascii("narses/block\0"), layout)));
  });

  test("a result leaf is the bundle digest and SHA-256 of the results with their lengths", () => {
    const leaf = resultLeaf(hasher, hash(5), [Uint8Array.of(1, 2), new Uint8Array()]);
    expect(toHex(leaf)).toBe("05".repeat(32) + sha(u("0002" + "00000002" + "00000000" + "0102")));
    expect(toHex(resultLeaf(hasher, hash(5), [Uint8Array.of(1), Uint8Array.of(2)]))).not.toBe(toHex(leaf));
  });
});

describe("cluster id", () => {
  const cluster = { version: 1, name: "test", epoch: EPOCH, f: 1, replicas: [], parameters: PARAMETERS, genesis: { b: 1, a: [1.5, null, "é"] } } as unknown as ClusterConfig;

  test("is SHA-256 of domain and canonical JSON, whatever the order of keys", () => {
    const reordered = Object.fromEntries(Object.entries(cluster).reverse()) as unknown as ClusterConfig;
    expect(clusterId(hasher, reordered)).toBe(clusterId(hasher, cluster));
    expect(clusterId(hasher, cluster)).toBe(sha(join(ascii("narses/cluster\0"), ascii(canonicalJson(cluster)))));
    expect(clusterId(hasher, { ...cluster, name: "other" })).not.toBe(clusterId(hasher, cluster));
  });

  test("is the same for a configuration in memory and read back from its file", () => {
    const sparse = { ...cluster, genesis: { note: undefined, amount: 1e21 } };
    expect(clusterId(hasher, JSON.parse(JSON.stringify(sparse)) as ClusterConfig)).toBe(clusterId(hasher, sparse));
  });

  test("canonical JSON sorts keys by code unit and writes numbers as ECMAScript does", () => {
    expect(canonicalJson({ "\u{1F600}": 1, "\uFB33": 2, b: [true, -0, 1e21, 0.1], "": "\n\u2028" })).toBe('{"":"\\n\u2028","b":[true,0,1e+21,0.1],"\u{1F600}":1,"\uFB33":2}');
  });

  test.each<readonly [string, unknown, RegExp]>([
    ["NaN", { a: [NaN] }, /\$\.a\[0\] is NaN/],
    ["undefined in an array", [undefined], /\$\[0\] is of a kind/],
    ["a BigInt", { a: 1n }, /\$\.a is of a kind .*bigint/],
    ["a Date", { a: new Date(0) }, /\$\.a is of a kind/],
    ["a lone surrogate", { a: "\ud800" }, /\$\.a holds a lone surrogate/],
    ["65 levels", Array.from({ length: 66 }).reduce<unknown>((inner) => [inner], 0), /nested deeper than 64/],
  ])("canonical JSON refuses %s", (_what, value, message) => {
    expect(() => canonicalJson(value)).toThrow(message);
    expect(() => canonicalJson(value)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }) as Error);
  });
});

test("a codec is made for 1 to 256 replicas, a cluster id, an epoch and parameters that pass", () => {
  const good = { hasher, clusterId: CLUSTER_ID, epoch: EPOCH, replicas: 4, parameters: PARAMETERS };
  for (const bad of [{ replicas: 0 }, { replicas: 257 }, { replicas: 1.5 }, { clusterId: "x" as typeof CLUSTER_ID }, { epoch: -1 as typeof EPOCH }]) {
    expect(() => createCodec({ ...good, ...bad })).toThrow(RangeError);
  }
  expect(() => createCodec({ ...good, parameters: { ...PARAMETERS, logWindow: 3 } })).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }) as Error);
});

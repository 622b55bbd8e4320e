import { NarsesError } from "@narses/core";
import { describe, expect, it } from "vitest";
import { applied, GENESIS, LedgerOnABench, openBench, publicKeyOf, refused } from "./bench-ledger.ts";

const pay = (amount: string, key: string, more: Record<string, unknown> = {}): Record<string, unknown> => ({
  type: "transfer",
  from: "a",
  to: "b",
  asset: "EUR",
  amount,
  idempotencyKey: key,
  ...more,
});

describe("transfers", () => {
  it("debit one account and credit the other by the same amount", () => {
    const ledger = openBench();
    expect(applied(ledger.apply("alice", pay("12.50", "k1")))).toEqual({
      replayed: false,
      seq: 1,
      time: 1_700_000_000_001,
      balance: "87.50",
    });
    expect([ledger.balance("a", "EUR"), ledger.balance("b", "EUR"), ledger.sum("EUR")]).toEqual(["87.50", "12.50", "0"]);
  });

  it.each([
    ["0", "is zero"],
    ["-1.00", "is negative"],
    ["NaN", "not a finite number"],
    ["1e309", "exponent"],
    ["1.005", "has 3 decimals, the asset has 2"],
  ])("refuse amount %s", (amount, problem) => {
    const ledger = openBench();
    const refusal = refused(ledger.apply("alice", pay(amount, "k1")));
    expect(refusal.code).toBe("AMOUNT_INVALID");
    expect(refusal.message).toContain(problem);
    expect(refusal.data["field"]).toBe("amount");
  });

  it("refuse an amount that is a JSON number, even a plausible one", () => {
    const refusal = refused(openBench().apply("alice", { ...pay("1", "k1"), amount: 12.5 }));
    expect([refusal.code, refusal.data["field"]]).toEqual(["OPERATION_INVALID", "amount"]);
  });

  it("refuse an overdraft and say by how much", () => {
    const ledger = openBench();
    const refusal = refused(ledger.apply("alice", pay("100.01", "k1")));
    expect(refusal.code).toBe("OVERDRAFT");
    expect(refusal.message).toContain("has 100.00 EUR and may go 0.00 below zero: paying 100.01 lacks 0.01");
    expect(ledger.balance("a", "EUR")).toBe("100.00");
  });

  it("may overdraw up to the limit an admin set, and no further", () => {
    const ledger = openBench();
    applied(ledger.apply("bank", { type: "account.overdraft", id: "a", asset: "EUR", limit: "50" }));
    applied(ledger.apply("alice", pay("150", "k1")));
    expect(ledger.balance("a", "EUR")).toBe("-50.00");
    expect(refused(ledger.apply("alice", pay("0.01", "k2"))).code).toBe("OVERDRAFT");
  });

  it.each([
    [{ from: "nobody" }, "ACCOUNT_UNKNOWN", "from"],
    [{ to: "nobody" }, "ACCOUNT_UNKNOWN", "to"],
    [{ to: "a" }, "SAME_ACCOUNT", "to"],
    [{ asset: "USD" }, "ASSET_UNKNOWN", "asset"],
    [{ from: "b" }, "NOT_ALLOWED", "from"],
    [{ from: "issuance.EUR" }, "ACCOUNT_RESERVED", "from"],
    [{ to: "issuance.EUR" }, "ACCOUNT_RESERVED", "to"],
    [{ note: "x" }, "OPERATION_INVALID", "note"],
    [{ idempotencyKey: "with space" }, "OPERATION_INVALID", "idempotencyKey"],
    [{ reference: "line\nbreak" }, "OPERATION_INVALID", "reference"],
    [{ from: "../x" }, "OPERATION_INVALID", "from"],
    [{ type: "steal" }, "OPERATION_INVALID", "type"],
    [{ type: "toString" }, "OPERATION_INVALID", "type"],
  ])("with %j are refused as %s and name the field %s", (change, code, field) => {
    const ledger = openBench();
    const before = new Map(ledger.state);
    const refusal = refused(ledger.apply("alice", pay("1", "k1", change)));
    expect([refusal.code, refusal.data["field"]]).toEqual([code, field]);
    expect(ledger.state).toEqual(before);
  });

  it.each([undefined, null, 5, "transfer", [], new Map()])("that are %j instead of an object are refused", (op) => {
    expect(refused(openBench().apply("alice", op)).code).toBe("OPERATION_INVALID");
  });

  it("from a key that is no member are refused", () => {
    expect(refused(openBench().apply("mallory", pay("1", "k1"))).code).toBe("NOT_A_MEMBER");
  });
});

describe("idempotency keys", () => {
  it("give the first result again and move nothing", () => {
    const ledger = openBench();
    const first = applied(ledger.apply("alice", pay("10", "k1")));
    applied(ledger.apply("alice", pay("5", "k2")));
    expect(applied(ledger.apply("alice", pay("10.00", "k1")))).toEqual({ ...first, replayed: true });
    expect(ledger.balance("a", "EUR")).toBe("85.00");
  });

  it("refuse another payload", () => {
    const ledger = openBench();
    applied(ledger.apply("alice", pay("10", "k1")));
    for (const change of [{ amount: "11" }, { reference: "other" }, { to: "a", from: "b" }, { asset: "YEN" }]) {
      const refusal = refused(ledger.apply("alice", pay("10", "k1", change)));
      expect([refusal.code, refusal.data["seq"]]).toEqual(["IDEMPOTENCY_CONFLICT", 1]);
    }
    expect(ledger.balance("b", "EUR")).toBe("10.00");
  });

  it("belong to the client that used them", () => {
    const ledger = openBench();
    applied(ledger.apply("alice", pay("10", "k1")));
    applied(ledger.apply("bob", pay("4", "k1", { from: "b", to: "a" })));
    expect(ledger.balance("b", "EUR")).toBe("6.00");
  });

  it("are not used up by a refusal", () => {
    const ledger = openBench();
    refused(ledger.apply("alice", pay("200", "k1")));
    applied(ledger.apply("bank", { type: "issue", to: "a", asset: "EUR", amount: "100", idempotencyKey: "fund" }));
    expect(applied(ledger.apply("alice", pay("200", "k1")))["replayed"]).toBe(false);
  });
});

describe("issuers", () => {
  it("create and destroy money against the issuance account, keeping the sum at zero", () => {
    const ledger = openBench();
    applied(ledger.apply("bank", { type: "account.create", id: "till" }));
    applied(ledger.apply("bank", { type: "issue", to: "till", asset: "EUR", amount: "40", idempotencyKey: "i1" }));
    expect(
      applied(ledger.apply("bank", { type: "redeem", from: "till", asset: "EUR", amount: "15", idempotencyKey: "r1" }))["balance"],
    ).toBe("25.00");
    expect([ledger.balance("issuance.EUR", "EUR"), ledger.sum("EUR")]).toEqual(["-125.00", "0"]);
    const { assets } = ledger.ask({ type: "summary" }) as { assets: { code: string; supply: string }[] };
    expect(assets.map((asset) => [asset.code, asset.supply])).toEqual([
      ["EUR", "125.00"],
      ["YEN", "0"],
    ]);
  });

  it("are the only ones who may, and cannot take from others", () => {
    const ledger = openBench();
    expect(refused(ledger.apply("alice", { type: "issue", to: "a", asset: "EUR", amount: "1", idempotencyKey: "i1" })).code).toBe(
      "NOT_ALLOWED",
    );
    expect(refused(ledger.apply("alice", { type: "redeem", from: "a", asset: "EUR", amount: "1", idempotencyKey: "i1" })).code).toBe(
      "NOT_ALLOWED",
    );
    expect(refused(ledger.apply("bank", { type: "redeem", from: "a", asset: "EUR", amount: "1", idempotencyKey: "i1" })).code).toBe(
      "NOT_ALLOWED",
    );
    expect(refused(ledger.apply("bank", { type: "issue", to: "issuance.YEN", asset: "EUR", amount: "1", idempotencyKey: "i1" })).code).toBe(
      "ACCOUNT_RESERVED",
    );
  });

  it("cannot take the supply beyond the range of the ledger", () => {
    const ledger = openBench();
    const issue = (amount: string, key: string): Record<string, unknown> => ({
      type: "issue",
      to: "b",
      asset: "YEN",
      amount,
      idempotencyKey: key,
    });
    applied(ledger.apply("bank", issue("1000000000000000000", "i1")));
    expect(refused(ledger.apply("bank", issue("1", "i2"))).code).toBe("BALANCE_LIMIT");
    expect(refused(ledger.apply("bank", issue("1000000000000000001", "i3"))).code).toBe("AMOUNT_INVALID");
  });
});

describe("accounts", () => {
  it("open with a balance in one step, or not at all", () => {
    const ledger = openBench();
    const open = {
      type: "account.create",
      id: "c",
      opening: [
        { asset: "EUR", amount: "10" },
        { asset: "YEN", amount: "7" },
      ],
    };
    expect(refused(ledger.apply("alice", open)).code).toBe("NOT_ALLOWED");
    expect(refused(ledger.apply("bob", pay("1", "k", { from: "b", to: "c" }))).code).toBe("ACCOUNT_UNKNOWN");
    expect(applied(ledger.apply("bank", open))["replayed"]).toBe(false);
    expect([ledger.balance("c", "EUR"), ledger.balance("c", "YEN")]).toEqual(["10.00", "7"]);
  });

  it("created again alike are a replay; otherwise a conflict", () => {
    const ledger = openBench();
    const open = { type: "account.create", id: "c", opening: [{ asset: "EUR", amount: "10" }] };
    applied(ledger.apply("bank", open));
    expect(applied(ledger.apply("bank", { ...open, opening: [{ asset: "EUR", amount: "10.00" }] }))["replayed"]).toBe(true);
    expect(refused(ledger.apply("bank", { ...open, name: "other" })).code).toBe("ACCOUNT_EXISTS");
    expect(ledger.balance("c", "EUR")).toBe("10.00");
  });

  it("for somebody else need an admin; names of issuance accounts are taken", () => {
    const ledger = openBench();
    expect(refused(ledger.apply("alice", { type: "account.create", id: "c", owner: publicKeyOf("bob") })).code).toBe("NOT_ALLOWED");
    applied(ledger.apply("bank", { type: "account.create", id: "c", owner: publicKeyOf("bob") }));
    expect(refused(ledger.apply("bank", { type: "account.create", id: "issuance.XAU" })).code).toBe("ACCOUNT_RESERVED");
  });

  it("are listed in order of creation, over page borders", () => {
    const ledger = openBench();
    const ids = Array.from({ length: 200 }, (_, i) => `n${i}`);
    for (const id of ids) applied(ledger.apply("alice", { type: "account.create", id }));
    const listed: string[] = [];
    for (let offset = 0; offset < 204; offset += 50) {
      const part = ledger.ask({ type: "accounts", offset, limit: 50 }) as { accounts: { id: string }[]; total: number };
      expect(part.total).toBe(204);
      listed.push(...part.accounts.map((account) => account.id));
    }
    expect(listed).toEqual(["issuance.EUR", "issuance.YEN", "a", "b", ...ids]);
    expect((ledger.ask({ type: "accounts", offset: 9_999, limit: 5 }) as { accounts: unknown[] }).accounts).toEqual([]);
  });
});

describe("admins", () => {
  it("create assets; others may not", () => {
    const ledger = openBench();
    const create = { type: "asset.create", code: "XAU", decimals: 8, issuer: publicKeyOf("alice") };
    expect(refused(ledger.apply("alice", create)).code).toBe("NOT_ALLOWED");
    applied(ledger.apply("bank", create));
    expect(applied(ledger.apply("bank", create))["replayed"]).toBe(true);
    expect(refused(ledger.apply("bank", { ...create, decimals: 2 })).code).toBe("ASSET_EXISTS");
    expect(refused(ledger.apply("bank", { ...create, code: "XAG", decimals: 9 })).code).toBe("OPERATION_INVALID");
    applied(ledger.apply("alice", { type: "issue", to: "a", asset: "XAU", amount: "0.00000001", idempotencyKey: "i" }));
    expect(ledger.balance("a", "XAU")).toBe("0.00000001");
  });

  it("add and remove members, but never the last admin", () => {
    const ledger = openBench();
    const set = (name: string, roles: string[]): Record<string, unknown> => ({ type: "member.set", publicKey: publicKeyOf(name), roles });
    expect(refused(ledger.apply("alice", set("carol", ["member"]))).code).toBe("NOT_ALLOWED");
    applied(ledger.apply("bank", set("carol", ["admin", "member"])));
    applied(ledger.apply("carol", set("bank", [])));
    expect(refused(ledger.apply("bank", set("carol", []))).code).toBe("NOT_A_MEMBER");
    expect(refused(ledger.apply("carol", set("carol", ["member"]))).code).toBe("LAST_ADMIN");
  });
});

describe("genesis", () => {
  it.each([
    [{ ...GENESIS, ledger: 2 }, "genesis.ledger"],
    [{ ...GENESIS, members: [] }, "genesis.members"],
    [{ ...GENESIS, members: [{ publicKey: "xyz", roles: ["admin"] }] }, "genesis.members.0.publicKey"],
    [{ ...GENESIS, members: [{ publicKey: publicKeyOf("x"), roles: ["member"] }] }, "genesis.members"],
    [{ ...GENESIS, assets: [GENESIS.assets[0], GENESIS.assets[0]] }, "genesis.assets"],
    [{ ...GENESIS, assets: [{ code: "eur", decimals: 2, issuer: publicKeyOf("x") }] }, "genesis.assets.0.code"],
    [{ ...GENESIS, accounts: [{ id: "a", owner: publicKeyOf("x"), opening: [{ asset: "USD", amount: "1" }] }] }, "asset"],
    [{ ...GENESIS, surprise: 1 }, "genesis.surprise"],
    [undefined, "genesis."],
  ])("that is wrong names its field (%#)", (genesis, field) => {
    try {
      new LedgerOnABench(genesis);
    } catch (error) {
      expect(error).toBeInstanceOf(NarsesError);
      expect((error as NarsesError).code).toBe("CONFIG_INVALID");
      expect((error as NarsesError).data["field"]).toBe(field);
      return;
    }
    expect.unreachable("genesis was accepted");
  });
});

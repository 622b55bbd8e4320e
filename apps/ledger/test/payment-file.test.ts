import { describe, expect, it } from "vitest";
import { formatProblem, readPaymentFile, type PaymentFile } from "../src/csv/payment-file.ts";
import { csvCell, parseCsv } from "../src/csv/parse.ts";

const HEADER = "order_id,account_from,bank_to,account_to,amount,purpose";
const options = {
  asset: "CZK",
  decimals: new Map([
    ["CZK", 2],
    ["EUR", 2],
    ["JPY", 0],
  ]),
};
const read = (text: string): PaymentFile => readPaymentFile(Buffer.from(text), options);
const problemsOf = (text: string): string[] => read(text).problems.map((problem) => formatProblem("f.csv", problem));

describe("orders", () => {
  it("map to transfers between accounts named after bank and number", () => {
    expect(read(`${HEADER}\n29401,1,YZ,87144583,245.20,HH\n29402,2,ST,89597016,337.27,\n`)).toEqual({
      format: "orders",
      problems: [],
      payments: [
        {
          line: 2,
          id: "29401",
          from: "HOME:1",
          to: "YZ:87144583",
          asset: "CZK",
          amount: "245.20",
          minor: 24520n,
          reference: "order 29401 HH",
        },
        {
          line: 3,
          id: "29402",
          from: "HOME:2",
          to: "ST:89597016",
          asset: "CZK",
          amount: "337.27",
          minor: 33727n,
          reference: "order 29402",
        },
      ],
    });
  });

  it("may come with other column orders, quotes, CRLF, a byte order mark and blank lines", () => {
    const file = read('\ufeff"purpose",amount,account_to,bank_to,account_from,order_id\r\n\r\n"HH",1.00,5,YZ,1,7\r\n');
    expect(file.problems).toEqual([]);
    expect(file.payments[0]).toMatchObject({ line: 3, id: "7", from: "HOME:1", to: "YZ:5" });
  });

  it.each([
    ["7,1,YZ,5,0,HH", 'f.csv:2: column 5 (amount): "0" is zero; it must be positive'],
    ["7,1,YZ,5,-3.00,HH", 'f.csv:2: column 5 (amount): "-3.00" is negative; amounts are positive, the direction says who pays'],
    ["7,1,YZ,5,NaN,HH", 'f.csv:2: column 5 (amount): "NaN" is not a finite number'],
    ["7,1,YZ,5,1e309,HH", 'f.csv:2: column 5 (amount): "1e309" uses exponent notation; write plain digits, for example 1200.00'],
    ["7,1,YZ,5,1.005,HH", 'f.csv:2: column 5 (amount): "1.005" has 3 decimals, the asset has 2'],
    ["7,1,YZ,5,1.00", "f.csv:2: column 6 (purpose): is missing: the line has 5 of 6 cells"],
    ["7,1,YZ,5,1.00,HH,x", "f.csv:2: column 7: the line has 7 cells, the header 6"],
    [",1,YZ,5,1.00,HH", "f.csv:2: column 1 (order_id): is empty"],
    ["7,,YZ,5,1.00,HH", "f.csv:2: column 2 (account_from): is empty"],
    ["7,1,YZ,5 6,1.00,HH", 'f.csv:2: column 4 (account_to): is "5 6"; it may have 1 to 64 of A-Z a-z 0-9 . _ -'],
    ["7,1,HOME,1,1.00,HH", "f.csv:2: column 4 (account_to): is HOME:1, the account that pays; a payment needs two different accounts"],
    ['7,1,YZ,5,1.00,"HH', "f.csv:2: column 6: has an opening quote that is never closed"],
    ['7,1,Y"Z,5,1.00,HH', "f.csv:2: column 3: has a quote in the middle; quote the whole cell and double the quotes inside"],
  ])("with the line %s are refused: %s", (line, problem) => {
    expect(problemsOf(`${HEADER}\n${line}\n`)).toEqual([problem]);
  });

  it("report every bad line, in order, and repeated ids with both lines", () => {
    const text = `${HEADER}\n7,1,YZ,5,1.00,HH\n8,1,YZ,5,x,HH\n7,1,YZ,6,1.00,HH\n9,1,YZ,5,0,HH\n`;
    expect(problemsOf(text).map((problem) => problem.slice(0, 16))).toEqual(["f.csv:3: column ", "f.csv:4: column ", "f.csv:5: column "]);
    expect(problemsOf(text)[1]).toContain("7 was used on line 2 already");
  });
});

describe("files", () => {
  it.each([
    ["", "f.csv:1: the file is empty; it needs a header and at least one payment"],
    [`${HEADER}\n`, "f.csv:1: the file has a header and no payments"],
    ["a,b\n1,2\n", "f.csv:1: the header must be order_id"],
    [`${HEADER},extra\n1,2,3,4,5,6,7\n`, "f.csv:1: column 7 (extra): is no column of the orders format"],
    [`${HEADER},amount\n1,2,3,4,5,6,7\n`, "f.csv:1: column 7 (amount): appears twice in the header"],
  ])("%j is refused", (text, problem) => {
    expect(problemsOf(text)[0]).toContain(problem);
  });

  it("that are not UTF-8 are refused", () => {
    expect(readPaymentFile(Uint8Array.of(0xff, 0xfe, 0x41), options).problems[0]?.reason).toContain("not UTF-8");
  });

  it("in the payments format carry their own currency, and each asset its decimals", () => {
    const header = "payment_id,time,debtor_bank,debtor_account,creditor_bank,creditor_account,amount,currency,reference";
    const line = (amount: string, currency: string, time = "09:30:00"): string =>
      `${header}\nP1,${time},AA,1,BB,2,${amount},${currency},"Invoice ""7"", paid"\n`;
    expect(read(line("5.00", "EUR")).payments[0]).toMatchObject({
      from: "AA:1",
      to: "BB:2",
      asset: "EUR",
      minor: 500n,
      reference: 'Invoice "7", paid',
    });
    expect(problemsOf(line("5.00", "JPY"))[0]).toContain("has 2 decimals, the asset has none");
    expect(problemsOf(line("5.00", "USD"))[0]).toContain("is USD, which this ledger does not have (it has CZK, EUR, JPY)");
    expect(problemsOf(line("5.00", "EUR", "25:00"))[0]).toContain("column 2 (time)");
  });

  it("keep the line of a row after a quoted line break", () => {
    const { rows } = parseCsv(Buffer.from('a,b\n"x\ny",2\nz,3\n'));
    expect(rows.map((row) => row.line)).toEqual([1, 2, 4]);
    expect(rows[1]?.cells).toEqual(["x\ny", "2"]);
  });

  it("survive a round trip of cells with commas, quotes and line breaks", () => {
    const cells = ["plain", "with,comma", 'with "quotes"', "two\nlines", ""];
    expect(parseCsv(Buffer.from(`${cells.map(csvCell).join(",")}\n`)).rows[0]?.cells).toEqual(cells);
  });
});

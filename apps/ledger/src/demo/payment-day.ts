/**
 * The sample payment day: a few thousand payments between customers of twelve invented banks. Same seed, same bytes, on any
 * machine: a small integer generator, no floating point, no clock.
 */
import { csvCell } from "../csv/parse.ts";
import { FORMATS } from "../csv/formats.ts";
import { formatMinor } from "../amount.ts";

export const SAMPLE_SEED = 1_453;
export const SAMPLE_PAYMENTS = 3_200;
/** Every account starts with this, in EUR; no account pays more than this over the day, so the order of payments cannot matter. */
export const SAMPLE_OPENING = "60000.00";
const OPENING_CENTS = 6_000_000;

/** Code, country, name. The banks are invented. */
export const BANKS: readonly (readonly [code: string, country: string, name: string])[] = [
  ["AQUILA", "IT", "Banca Aquila"],
  ["BOSPHO", "CY", "Bosphorus Merchant Bank"],
  ["CAMPAN", "IT", "Credito Campano"],
  ["DANUBI", "AT", "Donau Handelsbank"],
  ["EGERIA", "GR", "Egeria Trapeza"],
  ["FLAMIN", "IT", "Banca Flaminia"],
  ["GALATA", "MT", "Galata Clearing"],
  ["HESPER", "ES", "Caja Hesperia"],
  ["LIGURI", "FR", "Banque Ligure"],
  ["MERIDI", "DE", "Meridian Genossenschaft"],
  ["RAVENN", "IT", "Cassa di Ravenna Nuova"],
  ["SALONA", "HR", "Salona Banka"],
];
const CUSTOMERS_PER_BANK = 15;

/** Cents: [from, to), and weight per thousand. Many small payments, few large ones. */
const BRACKETS: readonly (readonly [number, number, number])[] = [
  [250, 5_000, 300],
  [5_000, 25_000, 330],
  [25_000, 100_000, 220],
  [100_000, 400_000, 120],
  [400_000, 1_500_000, 30],
];

/** Payments per thousand in each hour from 07:00 on: a morning run, a lull at noon, the rush before cut-off. */
const HOURS: readonly number[] = [60, 110, 140, 120, 90, 60, 80, 110, 130, 100];
const REFERENCES = ["Invoice", "Order", "Contract", "Delivery note", "Statement", "Credit note"] as const;

interface Random {
  /** Integer in [0, bound). */
  below(bound: number): number;
  pick<T>(list: readonly T[]): T;
  /** Index drawn by weight. */
  weighted(weights: readonly number[]): number;
}

/** mulberry32: 32-bit integer arithmetic only. */
function randomOf(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return (t ^ (t >>> 14)) >>> 0;
  };
  const below = (bound: number): number => next() % bound;
  return {
    below,
    pick: (list) => {
      const item = list[below(list.length)];
      if (item === undefined) throw new RangeError("cannot pick from an empty list");
      return item;
    },
    weighted: (weights) => {
      let rest = below(weights.reduce((sum, weight) => sum + weight, 0));
      return weights.findIndex((weight) => (rest -= weight) < 0);
    },
  };
}

interface Customer {
  readonly bank: string;
  readonly account: string;
  /** Cents paid so far. */
  paid: number;
}

const digits = (value: number, width: number): string => String(value).padStart(width, "0");

function customers(random: Random): Customer[] {
  return BANKS.flatMap(([bank, country]) =>
    Array.from({ length: CUSTOMERS_PER_BANK }, (_, i) => ({
      bank,
      account: `${country}${digits(10 + random.below(89), 2)}${bank.slice(0, 4)}${digits(random.below(1_000_000), 6)}${digits(i + 1, 4)}`,
      paid: 0,
    })),
  );
}

function amountOf(random: Random, payer: Customer): number {
  const [low, high] = BRACKETS[random.weighted(BRACKETS.map(([, , weight]) => weight))] ?? [250, 5_000];
  const cents = low + random.below(high - low);
  return payer.paid + cents <= OPENING_CENTS ? cents : Math.max(1, Math.min(cents, 5_000, OPENING_CENTS - payer.paid));
}

/** The file as text, header and all. @throws RangeError when so many payments do not fit the opening balances. */
export function generatePaymentDay(options: { readonly seed: number; readonly payments: number }): string {
  const random = randomOf(options.seed);
  const people = customers(random);
  const times = Array.from({ length: options.payments }, () => (7 + random.weighted(HOURS)) * 3_600 + random.below(3_600)).sort(
    (a, b) => a - b,
  );
  const lines = times.map((time, i) => {
    const payer = random.pick(people);
    const others = people.filter((other) => other.bank !== payer.bank);
    const payee = random.pick(others);
    const cents = amountOf(random, payer);
    payer.paid += cents;
    if (payer.paid > OPENING_CENTS)
      throw new RangeError(`${options.payments} payments are more than the opening balances cover; ask for fewer`);
    const clock = [Math.floor(time / 3_600), Math.floor(time / 60) % 60, time % 60].map((part) => digits(part, 2)).join(":");
    const reference = `${random.pick(REFERENCES)} ${digits(random.below(100_000), 5)}`;
    return [
      `P${digits(i + 1, 5)}`,
      clock,
      payer.bank,
      payer.account,
      payee.bank,
      payee.account,
      formatMinor(BigInt(cents), 2),
      "EUR",
      reference,
    ]
      .map(csvCell)
      .join(",");
  });
  return `${[FORMATS.payments.columns.join(","), ...lines].join("\n")}\n`;
}

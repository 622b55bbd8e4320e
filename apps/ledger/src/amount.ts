/**
 * Amounts: decimal text at the edges, integer minor units (bigint) inside. No amount is ever a JS number, so there is
 * nothing to round and no NaN, Infinity or 1e309 to meet.
 */

/** An asset may have 0 … 8 decimals. */
export const DECIMALS_MAX = 8;
/** No balance, supply or single amount goes beyond ±10^18 minor units (fits a signed 64-bit integer with room to add two). */
export const MINOR_MAX: bigint = 10n ** 18n;
/** Longer text is refused before it is looked at. */
export const AMOUNT_TEXT_MAX = 40;

export type ParsedAmount = { readonly ok: true; readonly minor: bigint } | { readonly ok: false; readonly problem: string };

const bad = (problem: string): ParsedAmount => ({ ok: false, problem });

/** Says what is wrong with text that is not a plain decimal; the caller names the field. */
function describeMalformed(text: string): string {
  if (text === "") return "is empty; write digits, for example 12.50";
  if (text.trim() !== text) return "has white space around it";
  if (/^[+-]?(nan|inf(inity)?)$/i.test(text)) return "is not a finite number";
  if (/^-/.test(text)) return "is negative; amounts are positive, the direction says who pays";
  if (/^\+/.test(text)) return "has a plus sign; write the digits alone";
  if (/^[\d.]+e[+-]?\d+$/i.test(text)) return "uses exponent notation; write plain digits, for example 1200.00";
  if (/^0x/i.test(text)) return "is hexadecimal; write plain decimal digits";
  if (/^[\d.,' _]+$/.test(text) && /[,' _]/.test(text))
    return "has a separator other than one decimal point; write 1234.50, not 1,234.50 or 1234,50";
  if (/^\d*\.$/.test(text)) return "needs digits after the decimal point";
  return "is not a decimal number; write digits, for example 12.50";
}

/**
 * Parses a decimal text into minor units. Zero is refused unless `zeroAllowed`. The problem is a clause that follows
 * the name of the field ("amount is negative; …").
 */
export function parseAmount(text: string, decimals: number, options: { readonly zeroAllowed?: boolean } = {}): ParsedAmount {
  if (text.length > AMOUNT_TEXT_MAX) return bad(`is longer than ${AMOUNT_TEXT_MAX} characters`);
  const match = /^(\d+(?=\.\d|$)|(?=\.\d))(?:\.(\d+))?$/.exec(text); // 12, 12.50 or .50
  if (match === null) return bad(describeMalformed(text));
  const whole = match[1] ?? "";
  const fraction = match[2] ?? "";
  if (fraction.length > decimals) {
    return bad(
      `has ${fraction.length} decimal${fraction.length === 1 ? "" : "s"}, the asset has ${decimals === 0 ? "none" : String(decimals)}`,
    );
  }
  const minor = BigInt(whole + fraction.padEnd(decimals, "0"));
  if (minor > MINOR_MAX) return bad(`is larger than the limit of ${formatMinor(MINOR_MAX, decimals)}`);
  if (minor === 0n && options.zeroAllowed !== true) return bad("is zero; it must be positive");
  return { ok: true, minor };
}

/** Minor units as decimal text with exactly `decimals` digits after the point: 1250 → "12.50". */
export function formatMinor(minor: bigint, decimals: number): string {
  const sign = minor < 0n ? "-" : "";
  const digits = (minor < 0n ? -minor : minor).toString().padStart(decimals + 1, "0");
  if (decimals === 0) return sign + digits;
  return `${sign}${digits.slice(0, -decimals)}.${digits.slice(-decimals)}`;
}

/** The same with a thin separator every three digits, for people: 1234567.50 → "1,234,567.50". */
export function formatForPeople(minor: bigint, decimals: number): string {
  const [whole = "", fraction] = formatMinor(minor, decimals).split(".");
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ",");
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

/** Pieces of error messages. */

/** Longest text of a replica that is repeated. */
export const REPEATED_CHARACTERS_MAX = 300;

export const clip = (text: string): string => (text.length > REPEATED_CHARACTERS_MAX ? `${text.slice(0, REPEATED_CHARACTERS_MAX)}…` : text);

export const listed = (ids: readonly number[]): string => (ids.length === 0 ? "none" : ids.join(", "));

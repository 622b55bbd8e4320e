/**
 * `Verified<T>` marks a value whose bytes passed every check that needs a key or a hash: signatures (nested ones too),
 * sender equal to channel, digests equal to content. Engines accept nothing else. Only a verifier may mint the brand:
 * `replica/src/verify.ts` in production, the simulator's verifier in tests. A tidy test watches the callers.
 */
declare const verified: unique symbol;
export type Verified<T> = T & { readonly [verified]: true };

export const mintVerified = <T>(value: T): Verified<T> => value as Verified<T>;

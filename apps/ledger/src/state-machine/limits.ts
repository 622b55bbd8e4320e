/** Bounds of the ledger. Reaching one is refused with LIMIT_REACHED (tables) or OPERATION_INVALID (fields). */

/** Balances live in their account's record, one entry per asset: this bounds the record. */
export const ASSETS_MAX = 64;
export const MEMBERS_MAX = 10_000;
export const ACCOUNTS_MAX = 10_000_000;
/** Account ids per index page: creating an account rewrites one page. */
export const INDEX_PAGE_SIZE = 64;
/** Accounts one `accounts` question may ask for. */
export const LIST_MAX = 256;
/** Accounts one `sum` question adds up. */
export const SUM_MAX = 1_024;
export const NAME_LENGTH_MAX = 80;
export const REFERENCE_LENGTH_MAX = 140;
export const IDEMPOTENCY_KEY_LENGTH_MAX = 128;
export const OPENING_MAX = 8;

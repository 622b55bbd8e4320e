import tseslint from "typescript-eslint";

/** House rules that need types. What needs no types (import direction, budgets, banned words) is in test/tidy.test.ts. */
const bareError = {
  selector: "ThrowStatement > NewExpression[callee.name='Error']",
  message: "Throw NarsesError with a code, InvariantViolation, TypeError or RangeError: a bare Error explains nothing.",
};
const impure = ["Date", "setTimeout", "setInterval", "queueMicrotask", "process", "console", "performance", "crypto", "fetch"].map((name) => ({
  name, message: "The deciding packages are pure: time, randomness and IO arrive as inputs.",
}));

export default tseslint.config(
  { ignores: ["**/dist/**", "**/node_modules/**", "coverage/**", "**/*.mjs", "**/*.js"] },
  ...tseslint.configs.recommended,
  {
    files: ["packages/*/src/**/*.ts", "apps/*/src/**/*.ts", "apps/*/verify-page/*.ts", "packages/*/test/**/*.ts", "apps/*/test/**/*.ts", "test/**/*.ts", "bench/**/*.ts", "vitest.config.ts"],
    languageOptions: {
      parserOptions: {
        project: ["packages/*/tsconfig.json", "apps/*/tsconfig.json", "apps/*/verify-page/tsconfig.json", "test/tsconfig.json"],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/await-thenable": "error",
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
      "@typescript-eslint/consistent-type-imports": "error",
      "@typescript-eslint/no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_", caughtErrors: "none" }],
      "no-restricted-syntax": ["error", bareError],
      eqeqeq: "error",
      "prefer-const": "error",
    },
  },
  {
    files: ["packages/core/src/**/*.ts", "packages/pbft/src/**/*.ts"],
    rules: {
      "no-restricted-globals": ["error", ...impure],
      "no-restricted-properties": ["error", { object: "Math", property: "random", message: "Randomness arrives as input." }],
    },
  },
);

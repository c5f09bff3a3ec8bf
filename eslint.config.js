/** ESLint: the rules that catch our kinds of bug. Layout is prettier's. */
import js from '@eslint/js';
import tseslint from 'typescript-eslint';

const sqliteOnlyInTheStore = {
  'no-restricted-imports': [
    'error',
    {
      paths: [
        { name: 'better-sqlite3', message: 'SQL lives in master/store.', allowTypeImports: false },
      ],
    },
  ],
};

export default tseslint.config(
  {
    ignores: [
      'dist/',
      'node_modules/',
      'proto/control/generated/',
      'cairn-data/',
      'bench/results/',
      'coverage/',
    ],
  },
  {
    files: ['**/*.ts'],
    extends: [js.configs.recommended, tseslint.configs.recommendedTypeChecked],
    languageOptions: { parserOptions: { projectService: true } },
    rules: {
      '@typescript-eslint/no-floating-promises': 'error',
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/no-explicit-any': 'error',
      '@typescript-eslint/consistent-type-imports': [
        'error',
        { fixStyle: 'inline-type-imports', disallowTypeAnnotations: false },
      ],
      '@typescript-eslint/no-unused-vars': ['error', { argsIgnorePattern: '^_' }],
      // Often the implementation of an interface that is asynchronous elsewhere.
      '@typescript-eslint/require-await': 'off',
      '@typescript-eslint/restrict-template-expressions': [
        'error',
        { allowNumber: true, allowBoolean: true },
      ],
      '@typescript-eslint/no-confusing-void-expression': 'off',
      eqeqeq: ['error', 'always'],
      'max-lines': ['error', { max: 400, skipBlankLines: true, skipComments: true }],
      'max-lines-per-function': ['error', { max: 70, skipBlankLines: true, skipComments: true }],
      ...sqliteOnlyInTheStore,
    },
  },
  {
    // The benchmark's load is a user's program with a database on the mount.
    files: ['master/store/**/*.ts', 'bench/jobs.ts'],
    rules: { 'no-restricted-imports': 'off' },
  },
  {
    // Layouts are compiled to functions once; the source comes from our own declarations only.
    files: ['common/struct.ts'],
    rules: { '@typescript-eslint/no-implied-eval': 'off' },
  },
  {
    // A describe() is as long as its tests; a test may open a database as a user's program does.
    files: ['test/**/*.ts'],
    rules: {
      'max-lines-per-function': 'off',
      'no-restricted-imports': 'off',
      '@typescript-eslint/no-non-null-assertion': 'off',
    },
  },
  {
    files: ['**/*.js', '**/*.mjs', '**/*.cjs'],
    extends: [js.configs.recommended],
    languageOptions: {
      globals: { console: 'readonly', process: 'readonly', module: 'writable', URL: 'readonly' },
    },
  },
);

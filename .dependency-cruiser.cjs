/**
 * Who may import whom (docs/architecture.md): common <- proto <- {master, datanode, client},
 * client <- {fuse, cli}. The command composes whole processes through their main.ts only.
 */
const only = (room, allowed, comment) => ({
  name: `${room}-imports`,
  comment,
  severity: 'error',
  from: { path: `^${room}/` },
  to: {
    path: '^(?!node_modules/)',
    pathNot: [...allowed, 'node_modules/'],
    dependencyTypesNot: CORE,
  },
});
const CORE = ['core', 'npm', 'npm-dev', 'npm-optional', 'npm-peer'];

module.exports = {
  forbidden: [
    only('common', ['^common/'], 'common knows nobody'),
    only('proto', ['^common/', '^proto/'], 'proto knows only common'),
    only('master', ['^common/', '^proto/', '^master/'], 'master knows no other process'),
    only('datanode', ['^common/', '^proto/', '^datanode/'], 'datanode knows no other process'),
    only('client', ['^common/', '^proto/', '^client/'], 'client knows no other process'),
    only('fuse', ['^common/', '^proto/', '^client/', '^fuse/'], 'fuse stands on the client'),
    only(
      'cli',
      [
        '^common/',
        '^proto/',
        '^client/',
        '^fuse/',
        '^cli/',
        '^package\\.json$',
        '^(master|datanode)/main\\.ts$',
      ],
      'the command starts processes through their main.ts',
    ),
    only(
      'testing',
      ['^common/', '^client/', '^testing/', '^(master|datanode)/main\\.ts$'],
      'testing composes processes through their main.ts',
    ),
    only('bench', ['^common/', '^bench/'], 'the benchmark uses what a user uses: the command'),
    {
      name: 'sqlite-only-in-the-store',
      comment: 'SQL lives in master/store',
      severity: 'error',
      from: {
        path: '^(common|proto|master|datanode|client|fuse|cli|testing|bench)/',
        pathNot: ['^master/store/', '^bench/jobs\\.ts$'],
      },
      to: { path: 'node_modules/better-sqlite3' },
    },
    {
      name: 'no-cycles',
      comment: 'a cycle of values is one module in several files; types may refer to each other',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'resolvable',
      comment: 'an import that leads nowhere',
      severity: 'error',
      from: {},
      // fuse-native is optional: it may have failed to build.
      to: { couldNotResolve: true, pathNot: '^fuse-native$' },
    },
  ],
  options: {
    doNotFollow: { path: ['node_modules', 'proto/control/generated'] },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'require', 'node', 'default', 'types'],
    },
  },
};

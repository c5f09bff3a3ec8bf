/** `cairn fs tree`: a directory and what is below it, as a picture. */
import type { CommandModule } from 'yargs';
import type { CairnFs } from '../../../client/index.js';
import { clusterPath, withFiles } from '../../connect.js';
import {
  CLUSTER_OPTIONS,
  JSON_OPTION,
  type ClusterArguments,
  type JsonArguments,
} from '../../options.js';
import { printJson, printLine } from '../../output.js';
import type { Settings } from '../../settings.js';
import { parseInteger } from '../../values.js';
import { listDirectory, typeName, type FileStats } from '../../walk.js';

interface TreeArguments extends ClusterArguments, JsonArguments {
  path: string;
  depth: number;
}

interface TreeNode {
  name: string;
  type: string;
  size: number;
  target?: string;
  children?: TreeNode[];
}

const DEPTH_DEFAULT = 100;

export function treeCommand(settings: Settings): CommandModule<object, TreeArguments> {
  return {
    command: 'tree [path]',
    describe: 'Show a directory and all that is below it',
    builder: (argv) =>
      settings.options<TreeArguments>(
        argv.positional('path', { type: 'string', default: '/', describe: 'Path in the cluster' }),
        {
          depth: {
            type: 'number',
            alias: 'L',
            default: DEPTH_DEFAULT,
            describe: 'How far down',
            coerce: (value: unknown) => parseInteger('depth', value, 0, 10_000),
          },
          ...CLUSTER_OPTIONS,
          ...JSON_OPTION,
        },
      ),
    handler: (options) =>
      withFiles(options, async (files) => {
        const path = clusterPath(options.path);
        const root = await grow(files, path, path, await files.lstat(path), options.depth);
        if (options.json) printJson(root);
        else print(root);
      }),
  };
}

async function grow(
  files: CairnFs,
  path: string,
  name: string,
  stats: FileStats,
  depth: number,
): Promise<TreeNode> {
  const node: TreeNode = { name, type: typeName(stats), size: Number(stats.size) };
  if (stats.isSymbolicLink()) node.target = await files.readlink(path);
  if (!stats.isDirectory()) return node;
  node.children = [];
  if (depth === 0) return node;
  for (const entry of await listDirectory(files, path)) {
    node.children.push(await grow(files, entry.path, entry.name, entry.stats, depth - 1));
  }
  return node;
}

function print(root: TreeNode): void {
  const counts = { directories: 0, files: 0 };
  printLine(root.name);
  printChildren(root, '', counts);
  printLine();
  printLine(`${counts.directories} directories, ${counts.files} files`);
}

function printChildren(
  node: TreeNode,
  indent: string,
  counts: { directories: number; files: number },
): void {
  const children = node.children ?? [];
  for (const [index, child] of children.entries()) {
    const last = index === children.length - 1;
    if (child.type === 'directory') counts.directories += 1;
    else counts.files += 1;
    const arrow = child.target === undefined ? '' : ` -> ${child.target}`;
    printLine(`${indent}${last ? '└── ' : '├── '}${child.name}${arrow}`);
    printChildren(child, `${indent}${last ? '    ' : '│   '}`, counts);
  }
}

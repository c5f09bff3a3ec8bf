import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import yargs from 'yargs';
import { Settings } from '../../cli/settings.js';
import { temporaryDirectory } from '../support/temporary.js';

interface Parsed {
  port: number;
  nodeDead: string;
  json: boolean;
}

async function parse(argv: string[], environment: NodeJS.ProcessEnv): Promise<Parsed> {
  const settings = await Settings.load(argv, environment);
  const parser = settings.options<Parsed>(yargs().option('config', { type: 'string' }), {
    port: { type: 'number', default: 1 },
    'node-dead': { type: 'string', default: '30s' },
    json: { type: 'boolean', default: false },
  });
  return parser.parseSync(argv);
}

async function configFile(directory: string, text: string): Promise<string> {
  const path = join(directory, 'cairn.yaml');
  await writeFile(path, text);
  return path;
}

describe('settings', () => {
  test('flag before environment before file before default', async () => {
    await using folder = await temporaryDirectory();
    const config = await configFile(folder.path, 'port: 2\nnode-dead: 2s\njson: true\n');
    const environment = { CAIRN_PORT: '3', CAIRN_NODE_DEAD: '3s' };
    expect(await parse([], {})).toMatchObject({ port: 1, nodeDead: '30s', json: false });
    expect(await parse(['--config', config], {})).toMatchObject({
      port: 2,
      nodeDead: '2s',
      json: true,
    });
    expect(await parse([`--config=${config}`], environment)).toMatchObject({
      port: 3,
      nodeDead: '3s',
    });
    expect(await parse(['--config', config, '--port', '4'], environment)).toMatchObject({
      port: 4,
    });
  });

  test('the file may be JSON, and named by the environment', async () => {
    await using folder = await temporaryDirectory();
    const config = await configFile(folder.path, '{"port": 5}');
    expect(await parse([], { CAIRN_CONFIG: config })).toMatchObject({ port: 5 });
  });

  test('variables of others are left alone', async () => {
    const environment = { CAIRN_SOMETHING: 'else', PORT: '9' };
    expect(await parse([], environment)).toMatchObject({ port: 1 });
  });

  test.each([
    ['an unknown key', 'prot: 1', 'prot'],
    ['a value of the wrong kind', 'port: high', 'port'],
    ['text that is neither', '{"port": ', 'configuration file'],
  ])('%s in the file is an error that names it', async (_, text, named) => {
    await using folder = await temporaryDirectory();
    const config = await configFile(folder.path, text);
    await expect(parse(['--config', config], {})).rejects.toThrow(named);
  });

  test('a number that is none in the environment is an error that names the variable', async () => {
    await expect(parse([], { CAIRN_PORT: 'abc' })).rejects.toThrow('CAIRN_PORT');
  });
});

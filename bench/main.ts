/**
 * `npm run bench`: the same work on a Cairn mount and on a plain directory beside its data.
 * Rates compare only within one run on one machine.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { BenchCluster } from './cluster.js';
import { runProgram } from './load-processes.js';
import { hostLine, memoryLine, table, writeReport, type Rates } from './report.js';
import { SCENARIOS, type Scenario, type ScenarioContext } from './scenarios.js';
import { makeTreeArchive } from './tree.js';

const USAGE = `npm run bench -- [options]
  --only a,b     only these rows (and, off the clock, what they need)
  --quick        smaller files, fewer repetitions
  --write NAME   save bench/results/<date>-NAME.json
  --no-plain     leave the plain directory out
  --temp DIR     where to work (default: the system's temporary folder)
  --list         the names of the rows`;

function readOptions() {
  const { values } = parseArgs({
    allowNegative: true,
    options: {
      only: { type: 'string' },
      quick: { type: 'boolean', default: false },
      write: { type: 'string' },
      plain: { type: 'boolean', default: true },
      temp: { type: 'string', default: tmpdir() },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  return values;
}

function chooseScenarios(only: string | undefined): Scenario[] {
  if (only === undefined) return [...SCENARIOS];
  const names = only.split(',').map((name) => name.trim());
  const unknown = names.filter((name) => !SCENARIOS.some((scenario) => scenario.name === name));
  if (unknown.length > 0) throw new Error(`no such row: ${unknown.join(', ')} (see --list)`);
  return SCENARIOS.filter(({ name }) => names.includes(name));
}

/** With what they need before them, in the order of the table. */
function withNeeds(chosen: readonly Scenario[]): Scenario[] {
  const names = new Set(chosen.map(({ name }) => name));
  for (const scenario of SCENARIOS.toReversed()) {
    if (names.has(scenario.name)) for (const need of scenario.needs) names.add(need);
  }
  return SCENARIOS.filter(({ name }) => names.has(name));
}

/** Runs the rows on one file system. A row that fails is null, and the others go on. */
async function measure(
  label: string,
  chosen: readonly Scenario[],
  context: ScenarioContext,
): Promise<Rates> {
  const rates: Rates = {};
  await runProgram('mkdir', ['-p', context.directory]);
  for (const scenario of withNeeds(chosen)) {
    let rate: number | null = null;
    try {
      rate = Math.round((await scenario.run(context)) * 10) / 10;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      process.stderr.write(`${label}: ${scenario.name} failed: ${reason}\n`);
    }
    if (!chosen.includes(scenario)) continue;
    rates[scenario.name] = rate;
    process.stderr.write(`${label.padEnd(6)} ${scenario.name.padEnd(18)} ${rate ?? 'failed'}\n`);
  }
  await runProgram('rm', ['-rf', context.directory]);
  await runProgram('sync', []);
  return rates;
}

async function main(): Promise<void> {
  const options = readOptions();
  if (options.help) return void console.log(USAGE);
  if (options.list) return void console.log(SCENARIOS.map(({ name }) => name).join('\n'));
  const chosen = chooseScenarios(options.only);
  const { quick } = options;
  const temporary = mkdtempSync(join(options.temp, 'cairn-bench-'));
  const results: Record<string, Rates> = {};
  let cluster: BenchCluster | undefined;
  try {
    const treeArchive = await makeTreeArchive(temporary);
    cluster = await BenchCluster.start(temporary);
    const on = (directory: string) => ({ directory, quick, treeArchive });
    results['cairn'] = await measure('cairn', chosen, on(join(cluster.mountpoint, 'bench')));
    const memoryPeakBytes = await cluster.stop();
    cluster = undefined;
    if (options.plain) {
      results['plain'] = await measure('plain', chosen, on(join(temporary, 'plain')));
    }
    const host = hostLine();
    console.log(`\n${host}\n\n${table(chosen, results)}\n`);
    console.log(`largest resident sizes: ${memoryLine(memoryPeakBytes)}`);
    if (options.write === undefined) return;
    const units = Object.fromEntries(chosen.map(({ name, unit }) => [name, unit]));
    const date = new Date().toISOString();
    const report = { host, date, quick, units, results, memoryPeakBytes };
    console.log(`written: ${writeReport(report, options.write)}`);
  } finally {
    await cluster?.stop();
    rmSync(temporary, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  process.stderr.write(`bench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}

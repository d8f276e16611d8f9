import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const here = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));

function tsc(...args) {
  try {
    execFileSync(process.execPath, [here('node_modules/typescript/bin/tsc'), ...args], { cwd: here('.'), encoding: 'utf8' });
  } catch (error) {
    assert.fail(error.stdout ?? error);
  }
}

/** All files of a folder with this ending, by their paths in it. */
function list(folder, ending) {
  return readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(ending)).sort();
}

test('the .d.ts files are what tsc makes of the .js files, which have no type errors (else: npm run types)', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'yizhan-types-'));
  t.after(() => rmSync(folder, { recursive: true }));
  cpSync(here('.'), folder, { recursive: true, filter: (name) => !/\.d\.ts$|\btest$/.test(name) });
  tsc('-p', join(folder, 'tsconfig.types.json'));
  const names = list(folder, '.d.ts').filter((name) => !name.startsWith('node_modules'));
  assert.ok(names.length > 2);
  for (const name of names) assert.equal(readFileSync(here(name), 'utf8'), readFileSync(join(folder, name), 'utf8'), name);
});

test('a TypeScript program can use the types', () => tsc('-p', 'test/types'));

test('nothing but these files is needed', () => {
  const { dependencies, files } = JSON.parse(readFileSync(here('package.json'), 'utf8'));
  assert.equal(dependencies, undefined);
  assert.ok(files.every((file) => existsSync(here(file))));
  assert.doesNotMatch(readFileSync(here('yizhan.js'), 'utf8'), /^\s*import\b|\bimport\(|\brequire\(/m);
  for (const name of ['im.js', ...list(here('im'), '.js').map((file) => `im/${file}`)]) {
    for (const [, from] of readFileSync(here(name), 'utf8').matchAll(/^import .* from '(.*)';$/gm)) assert.match(from, /^\.\.?\//, name);
  }
});

import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
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

test('yizhan.d.ts is what tsc makes of yizhan.js, which has no type errors (else: npm run types)', (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'yizhan-types-'));
  t.after(() => rmSync(folder, { recursive: true }));
  tsc('-p', 'tsconfig.types.json', '--outDir', folder);
  assert.equal(readFileSync(here('yizhan.d.ts'), 'utf8'), readFileSync(join(folder, 'yizhan.d.ts'), 'utf8'));
});

test('a TypeScript program can use the types', () => tsc('-p', 'test/types'));

test('nothing but the one file is needed', () => {
  const { dependencies, files } = JSON.parse(readFileSync(here('package.json'), 'utf8'));
  assert.equal(dependencies, undefined);
  assert.ok(files.every((file) => statSync(here(file)).isFile()));
  assert.doesNotMatch(readFileSync(here('yizhan.js'), 'utf8'), /^\s*import\b|\bimport\(|\brequire\(/m);
});

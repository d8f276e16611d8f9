// A browser without a window, by the playwright of tests/browser.
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import { fileURLToPath } from 'node:url';
import { binary } from './real.js';

const CHROMIUM = process.env.CHROMIUM ?? '/usr/bin/chromium';
const playwright = fileURLToPath(new URL('../../../tests/browser/node_modules/playwright-core/index.mjs', import.meta.url));

/** Why there is none here; `false` where there is. */
export const skip = [[binary, 'run cargo build'], [CHROMIUM, 'set CHROMIUM'], [playwright, 'run npm ci in tests/browser']]
  .filter(([path]) => !existsSync(path)).map(([path, help]) => `${path} is not there (${help})`)[0] ?? false;

export async function openBrowser() {
  const { chromium } = await import(playwright);
  return chromium.launch({ executablePath: CHROMIUM, args: ['--headless', '--no-sandbox', '--disable-gpu'] });
}

/** A web server with one page, which `page()` gives. */
export async function serve(page) {
  const web = createServer((_, response) => {
    response.setHeader('Content-Type', 'text/html; charset=utf-8');
    response.end(page());
  });
  await new Promise((resolve) => web.listen(0, '127.0.0.1', resolve));
  const stop = () => {
    web.close();
    web.closeAllConnections();
  };
  return { origin: `http://127.0.0.1:${web.address().port}`, stop };
}

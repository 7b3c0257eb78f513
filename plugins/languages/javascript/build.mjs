// node build.mjs OUT [--with-features]: the component of office-hours.js.
//
// Without its features the runtime has no clock, no randomness, no streams and no network, and imports nothing but the contract. The second form leaves them in,
// for the test that such a component is refused.
import { componentize } from '@bytecodealliance/componentize-js';
import { writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';

const [out, option] = process.argv.slice(2);
const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const { component } = await componentize({
  sourcePath: here('office-hours.js'),
  witPath: process.env.ZTLIB_WIT ?? here('../../sdk/wit'),
  worldName: 'policy',
  disableFeatures: option === '--with-features' ? [] : ['stdio', 'random', 'clocks', 'http', 'fetch-event'],
});
await writeFile(out, component);

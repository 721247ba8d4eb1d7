// Draws faces: each line of the file JOBS is "SEED PATH". Run by tools/get-data where its packages are installed.
// usage: node avatars.mjs JOBS SIDE
import { readFileSync, writeFileSync } from 'node:fs';
import { createAvatar } from '@dicebear/core';
import * as avataaars from '@dicebear/avataaars';
import { Resvg } from '@resvg/resvg-js';

const [jobs, side] = process.argv.slice(2);
const style = {
  accessoriesProbability: 0,
  backgroundColor: ['b6e3f4', 'c0aede', 'd1d4f9', 'ffd5dc', 'ffdfbf'],
  // all but graphicShirt, whose prints are small text
  clothing: ['blazerAndShirt', 'blazerAndSweater', 'collarAndSweater', 'hoodie', 'overall', 'shirtCrewNeck', 'shirtScoopNeck',
             'shirtVNeck'],
};
for (const line of readFileSync(jobs, 'utf8').trim().split('\n')) {
  const [seed, path] = [line.slice(0, line.indexOf(' ')), line.slice(line.indexOf(' ') + 1)];
  const svg = createAvatar(avataaars, { seed, ...style }).toString();
  writeFileSync(path, new Resvg(svg, { fitTo: { mode: 'width', value: Number(side) } }).render().asPng());
}

// <y-spark>: the last minutes of one gauge as a small line.

import { atNextFrame } from '../lib/cell.js';
import { Part, svg } from '../lib/dom.js';
import { figures, gauges } from '../lib/gauges.js';

const SECONDS = 120;
const SECONDS_MIN = 15;
const WIDTH = 240;
const HEIGHT = 44;

export class Spark extends Part {
  gauge = '';
  colour = 1;

  begin() {
    this.classList.add('spark');
    const line = svg('path', { class: 'spark-line' });
    const area = svg('path', { class: 'spark-area' });
    this.classList.add(`series-${this.colour}`);
    this.replaceChildren(
      svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', 'aria-hidden': 'true' }, area, line),
    );
    const draw = atNextFrame(() => {
      const points = this.#points();
      line.setAttribute('d', points.length > 1 ? `M${points.join('L')}` : '');
      const [first] = points;
      area.setAttribute(
        'd',
        points.length > 1 && first ? `M${first.split(',')[0]},${HEIGHT}L${points.join('L')}L${WIDTH},${HEIGHT}Z` : '',
      );
    });
    this.follow(figures, draw);
  }

  /** @returns {string[]} */
  #points() {
    const values = [];
    // Until there is enough, what there is fills the line.
    const there = Number.isFinite(gauges.oldest) ? gauges.newest - gauges.oldest : 0;
    const seconds = Math.min(SECONDS, Math.max(there, SECONDS_MIN));
    for (let i = seconds; i >= 0; i--) values.push(gauges.at(this.gauge, gauges.newest - i));
    const known = values.filter((value) => !Number.isNaN(value));
    if (known.length < 2) return [];
    const low = Math.min(...known);
    const high = Math.max(...known);
    // A gauge that hardly moves is shown as calm, not as a mountain range.
    const room = Math.max(high - low, high * 0.1, 1e-9);
    const bottom = Math.max(0, (high + low) / 2 - room / 2);
    let last = known[0] ?? 0;
    let begun = false;
    return values.flatMap((value, i) => {
      if (!Number.isNaN(value)) {
        last = value;
        begun = true;
      }
      if (!begun) return [];
      return [
        `${((i / seconds) * WIDTH).toFixed(1)},${(HEIGHT - 3 - ((last - bottom) / room) * (HEIGHT - 8)).toFixed(1)}`,
      ];
    });
  }
}

customElements.define('y-spark', Spark);

// @ts-check
/** Draws the lines of /api/performance with uPlot, one chart a measure. */
(() => {
  /** @typedef {{model: string, browser: string, backend: string} & Record<string, (number | null)[]>} Line */

  // The colours of Okabe and Ito (2008), which colour-blind people can tell apart.
  const colours = ['#0072b2', '#e69f00', '#009e73', '#d55e00', '#cc79a7', '#56b4e9', '#b8a800', '#7f7f7f'];
  const height = 240;
  // The narrowest bucket is a minute wide.
  const intervalMs = 60000;
  const charts = document.getElementById('charts');
  if (!charts) return;

  /** @param {string} name */
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /** @param {HTMLElement} figure @param {number[]} times @param {Line[]} lines */
  function draw(figure, times, lines) {
    const axis = { stroke: colour('--flower-text-muted'), grid: { stroke: colour('--bs-border-color'), width: 1 } };
    const measure = figure.dataset.measure ?? '';
    const options = {
      width: figure.clientWidth - 24,
      height,
      axes: [axis, { ...axis, size: 60 }],
      scales: { y: { range: { min: { pad: 0, hard: 0, mode: 1 }, max: { pad: 0.1 } } } },
      series: [
        {},
        ...lines.map((line, place) => ({
          label: `${line.model} · ${line.browser} · ${line.backend}`,
          stroke: colours[place % colours.length],
          width: 2,
          spanGaps: true,
          /** @param {unknown} _ @param {number | null} value */
          value: (_, value) => (value == null ? '–' : value.toLocaleString(undefined, { maximumFractionDigits: 1 })),
        })),
      ],
    };
    for (const old of figure.querySelectorAll('.uplot, .empty')) old.remove();
    // @ts-expect-error uPlot is a script of its own
    const chart = new uPlot(options, [times, ...lines.map((line) => line[measure])], figure);
    new ResizeObserver(() => chart.setSize({ width: figure.clientWidth - 24, height })).observe(figure);
  }

  async function show() {
    const answer = await fetch(charts?.dataset.source ?? '', { credentials: 'same-origin' });
    const told = await answer.json();
    for (const figure of charts?.querySelectorAll('figure') ?? []) {
      if (told.at_s?.length) {
        draw(figure, told.at_s, told.lines);
      } else {
        figure.querySelector('.empty')?.remove();
        const empty = document.createElement('p');
        empty.className = 'empty';
        empty.textContent = 'No runs in this span.';
        figure.append(empty);
      }
    }
  }

  async function keepUp() {
    // A chart is history: one that cannot be drawn anew stays as it was.
    if (!document.hidden) await show().catch(() => {});
    setTimeout(keepUp, intervalMs);
  }

  keepUp();
})();

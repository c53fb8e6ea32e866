// @ts-check
/** Draws the lines of /api/performance with uPlot, one chart a measure. */
(() => {
  /** @typedef {{model: string, browser: string, backend: string} & Record<string, (number | null)[]>} Line */

  /** @typedef {{as_of_s: number, hours: number, last_run_s: number | null, at_s: number[], lines: Line[], changes: {changed_at_s: number}[]}} Measurements */

  // The colours of Okabe and Ito (2008), which colour-blind people can tell apart.
  const colours = ['#0072b2', '#e69f00', '#009e73', '#d55e00', '#cc79a7', '#56b4e9', '#b8a800', '#7f7f7f'];
  const height = 240;
  // The narrowest bucket is a minute wide.
  const intervalMs = 60000;
  const UPlot = /** @type {any} */ (globalThis).uPlot;
  const { axes, padding, utc, utcDates } = /** @type {any} */ (globalThis).chartAxes;
  const charts = document.getElementById('charts');
  if (!charts) return;

  /** @param {string} name */
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /** A dashed line where a change was found. @param {any} chart @param {{changed_at_s: number}[]} changes */
  function markChanges(chart, changes) {
    const { ctx, bbox } = chart;
    ctx.save();
    ctx.strokeStyle = colour('--flower-danger');
    ctx.setLineDash([4, 4]);
    ctx.beginPath();
    for (const { changed_at_s } of changes) {
      const x = chart.valToPos(changed_at_s, 'x', true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
    }
    ctx.stroke();
    ctx.restore();
  }

  /** @param {HTMLElement} figure @param {Measurements} measurements */
  function draw(figure, measurements) {
    const { at_s: times, lines, as_of_s, hours, changes } = measurements;
    const measure = figure.dataset.measure ?? '';
    const options = {
      width: figure.clientWidth - 24,
      height,
      padding,
      axes: axes({
        text: colour('--flower-text-muted'),
        rule: colour('--bs-border-color'),
        counts: measure === 'n',
      }),
      tzDate: utcDates(UPlot),
      scales: {
        x: { range: () => [as_of_s - hours * 3600, as_of_s] },
        y: {
          range: (/** @type {unknown} */ _, /** @type {number} */ __, /** @type {number} */ most) => [
            0,
            (most || 1) * 1.1,
          ],
        },
      },
      hooks: { draw: [(/** @type {any} */ chart) => markChanges(chart, changes)] },
      series: [
        {
          label: 'UTC',
          value: (/** @type {unknown} */ _, /** @type {number | null} */ at) =>
            at == null ? '–' : utc(at).slice(0, 16).replace('T', ' '),
        },
        ...lines.map((line, place) => ({
          label: `${line.model} · ${line.browser} · ${line.backend}`,
          stroke: colours[place % colours.length],
          width: 2,
          spanGaps: true,
          /** @param {unknown} _ @param {number | null} value */
          value: (_, value) =>
            value == null ? '–' : value.toLocaleString(undefined, { maximumFractionDigits: 1 }),
        })),
      ],
    };
    for (const old of figure.querySelectorAll('.uplot, .empty')) old.remove();
    const chart = new UPlot(options, [times, ...lines.map((line) => line[measure])], figure);
    new ResizeObserver(() => chart.setSize({ width: figure.clientWidth - 24, height })).observe(figure);
  }

  async function show() {
    const source = new URL(charts?.dataset.source ?? '', window.location.href);
    // A page that was opened as http://user:password@... may not fetch such an address.
    source.username = source.password = '';
    const answer = await fetch(source, { credentials: 'same-origin' });
    const measurements = await answer.json();
    for (const figure of charts?.querySelectorAll('figure') ?? []) {
      if (measurements.at_s?.length) {
        draw(figure, measurements);
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

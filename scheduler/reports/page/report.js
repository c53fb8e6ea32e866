// @ts-check
/** Draws the charts of a report with uPlot, from the facts that stand in the page. */
(() => {
  /** @typedef {(number | null)[]} Values */
  /** @typedef {{metric: string, changed_at_s: number, before: number, after: number, direction: string}} Change */
  /** @typedef {{browser: string} & Record<string, Values>} Line */
  /** @typedef {{model: string, backend: string, precision: string, at_s: number[], lines: Line[], changes: Change[]}} Trend */
  /** @typedef {{at_s: number[], lines: Record<string, Values>}} Course */
  /** @typedef {{at_s: number, scope: string, name: string, n_from: number, n_to: number}} Scaled */
  /** @typedef {{label: string, values: Values}} Drawn */

  const UPlot = /** @type {any} */ (globalThis).uPlot;
  const { axes, padding, timeRange, utc, utcDates } = /** @type {any} */ (globalThis).chartAxes;
  const facts = JSON.parse(document.getElementById('facts')?.textContent ?? '{}');

  // The colours of Okabe and Ito (2008), which colour-blind people can tell apart; a browser keeps its own.
  const own = /** @type {Record<string, string>} */ ({
    firefox: '#d55e00',
    chrome: '#0072b2',
    edge: '#009e73',
  });
  const others = ['#cc79a7', '#e69f00', '#56b4e9', '#7f7f7f'];
  const height = 220;

  // Measures of a trend, each with the metric whose changes belong to it.
  const measures = /** @type {Record<string, {label: string, metric: string, counts?: boolean}>} */ ({
    p50_ms: { label: 'latency, median (ms)', metric: 'latency' },
    p95_ms: { label: 'latency, 95th percentile (ms)', metric: 'latency' },
    items_per_s: { label: 'throughput (items/s)', metric: 'throughput' },
    memory_mb: { label: 'memory, median (MB)', metric: 'memory' },
    n: { label: 'runs', metric: '', counts: true },
    n_failed: { label: 'failed runs', metric: '', counts: true },
  });

  /** @param {string} name */
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  /** @param {unknown} _ @param {number | null} value */
  const valueText = (_, value) => (value === null ? '-' : Number(value.toPrecision(4)).toString());

  /** A dashed line and its size where a series changed. @param {any} chart @param {Change[]} changes */
  function markChanges(chart, changes) {
    const { ctx, bbox } = chart;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.strokeStyle = ctx.fillStyle = colour('--text');
    ctx.lineWidth = ratio;
    ctx.setLineDash([4 * ratio, 4 * ratio]);
    ctx.font = `${11 * ratio}px system-ui, sans-serif`;
    for (const { changed_at_s, before, after } of changes) {
      const x = chart.valToPos(changed_at_s, 'x', true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      const text = before ? `${after > before ? '+' : ''}${Math.round((after / before - 1) * 100)} %` : '';
      const fits = x + ctx.measureText(text).width + 8 * ratio < bbox.left + bbox.width;
      ctx.textAlign = fits ? 'left' : 'right';
      ctx.fillText(text, x + (fits ? 4 : -4) * ratio, bbox.top + 12 * ratio);
    }
    ctx.restore();
  }

  /** @type {any[]} */
  const drawn = [];

  /**
   * A chart in a figure of its own, as wide as there is room.
   * @param {Element} place @param {string} title @param {number[]} at_s @param {Drawn[]} lines
   * @param {{changes?: Change[], steps?: boolean, max?: number, counts?: boolean}} [wish]
   */
  function draw(place, title, at_s, lines, wish = {}) {
    if (!at_s.length || !lines.length) return;
    const figure = document.createElement('figure');
    const heading = document.createElement('h3');
    heading.textContent = title;
    const holder = document.createElement('div');
    holder.setAttribute('role', 'img');
    holder.setAttribute('aria-label', `${title}: ${lines.map((line) => line.label).join(', ')}`);
    figure.append(heading, holder);
    place.append(figure);
    const paths = wish.steps ? UPlot.paths.stepped({ align: 1 }) : undefined;
    const series = lines.map((line, number) => ({
      label: line.label,
      stroke: own[line.label] ?? others[number % others.length],
      width: 1.5,
      spanGaps: true,
      value: valueText,
      paths,
    }));
    const options = {
      width: holder.clientWidth,
      height,
      cursor: { drag: { x: true, y: false } },
      padding,
      axes: axes({ text: colour('--soft'), rule: colour('--rule'), counts: wish.counts }),
      tzDate: utcDates(UPlot),
      scales: {
        x: { range: timeRange(facts.bucket_s) },
        y: {
          range: (/** @type {any} */ _, /** @type {number} */ _low, /** @type {number} */ high) => [
            0,
            wish.max ?? (high || 1) * 1.15,
          ],
        },
      },
      series: [
        {
          label: 'UTC',
          value: (/** @type {any} */ _, /** @type {number | null} */ at) =>
            at === null ? '-' : utc(at).slice(0, 16).replace('T', ' '),
        },
        ...series,
      ],
      hooks: { draw: [(/** @type {any} */ chart) => markChanges(chart, wish.changes ?? [])] },
    };
    const chart = new UPlot(options, [at_s, ...lines.map((line) => line.values)], holder);
    drawn.push(chart);
    widths.observe(holder);
  }

  const widths = new ResizeObserver((entries) => {
    for (const { target, contentRect } of entries) {
      const chart = drawn.find((one) => one.root.parentElement === target);
      const width = Math.floor(contentRect.width);
      if (chart && width > 0 && chart.width !== width) chart.setSize({ width, height });
    }
  });

  /** The place for a section's charts. @param {string} key */
  function grid(key) {
    const place = document.querySelector(`[data-charts="${key}"]`);
    const known = place?.querySelector('.grid');
    if (known) return known;
    const made = document.createElement('div');
    made.className = 'grid';
    place?.append(made);
    return made;
  }

  /** @param {string} caption @param {[string, string][]} choices @param {() => void} changed */
  function choice(caption, choices, changed) {
    const label = document.createElement('label');
    const select = document.createElement('select');
    for (const [value, text] of choices) select.add(new Option(text, value));
    select.addEventListener('change', changed);
    label.append(caption, select);
    return { label, select };
  }

  function drawTrends() {
    const place = document.querySelector('[data-charts="trends"]');
    const trends = /** @type {Trend[]} */ (facts.trends);
    if (!place || !trends.length) return;
    const models = [...new Set(trends.map((trend) => trend.model))];
    const measure = choice(
      'show',
      Object.entries(measures).map(([key, { label }]) => [key, label]),
      redraw,
    );
    const model = choice(
      'model',
      [['', 'all'], ...models.map((name) => /** @type {[string, string]} */ ([`=${name}`, name]))],
      redraw,
    );
    const controls = document.createElement('div');
    controls.className = 'controls';
    controls.append(measure.label, model.label);
    place.append(controls);
    const charts = grid('trends');

    function redraw() {
      for (const chart of drawn.filter((one) => charts.contains(one.root))) {
        widths.unobserve(chart.root.parentElement);
        drawn.splice(drawn.indexOf(chart), 1);
        chart.destroy();
      }
      charts.replaceChildren();
      const key = measure.select.value;
      const wanted = model.select.value;
      for (const trend of trends) {
        if (wanted && wanted !== `=${trend.model}`) continue;
        const lines = trend.lines.map((line) => ({ label: line.browser, values: line[key] ?? [] }));
        const changes = trend.changes.filter((change) => change.metric === measures[key]?.metric);
        draw(
          charts,
          [trend.model, trend.backend, trend.precision].filter(Boolean).join(' · '),
          trend.at_s,
          lines,
          { changes, counts: measures[key]?.counts ?? false },
        );
      }
    }
    redraw();
  }

  /** @param {string} key @param {string} title @param {Course} course @param {{max?: number, counts?: boolean}} wish */
  function drawCourse(key, title, course, wish) {
    const lines = Object.entries(course.lines).map(([label, values]) => ({ label, values }));
    draw(grid(key), title, course.at_s, lines, wish);
  }

  /** How many there were after each decision. */
  function drawScaling() {
    const rows = /** @type {Scaled[]} */ ([...facts.scaling]).reverse();
    const names = [...new Set(rows.map((row) => `${row.scope} ${row.name}`))];
    for (const name of names) {
      const mine = rows.filter((row) => `${row.scope} ${row.name}` === name);
      draw(
        grid('scaling'),
        name,
        mine.map((row) => row.at_s),
        [{ label: 'wanted', values: mine.map((row) => row.n_to) }],
        { steps: true, counts: true },
      );
    }
  }

  drawTrends();
  drawCourse('connections', 'health score, mean of sessions', facts.health, { max: 100 });
  drawCourse('connections', 'share of samples with an open breaker', facts.open_breakers, { max: 1 });
  drawCourse('reasons', 'runs by browser', facts.shares, { counts: true });
  drawScaling();
})();

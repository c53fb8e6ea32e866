// @ts-check
/**
 * Axes of uPlot's charts, for the monitor's pages and for reports: times in UTC, counts at whole numbers, and no
 * two labels of an axis alike.
 */
(() => {
  const DAY_S = 86400;
  // Steps of an axis that counts.
  const WHOLE_STEPS = Array.from({ length: 10 }, (_, power) =>
    [1, 2, 5].map((step) => step * 10 ** power),
  ).flat();
  // More decimals than a number has in 64 bits.
  const MOST_DECIMALS = 15;
  // Between a label and its chart, and around it, in pixels.
  const TICK_PX = 18;
  // Room on the right for half of the last label, in pixels; uPlot's own elsewhere.
  const padding = [null, 28, null, null];

  /** @param {number} at_s */
  const utc = (at_s) => new Date(at_s * 1000).toISOString();

  /** Days, or times of day with their day below where there are several. @param {number[]} splits @returns {string[]} */
  function timeLabels(splits) {
    const step_s = (splits[1] ?? 0) - (splits[0] ?? 0);
    const days = new Set(splits.map((at) => utc(at).slice(0, 10)));
    const hasYears = new Set([...days].map((day) => day.slice(0, 4))).size > 1;
    const clockEnd = step_s < 1 ? 23 : step_s < 60 ? 19 : 16;
    return splits.map((at, place) => {
      const day = utc(at).slice(hasYears ? 0 : 5, 10);
      if (splits.length > 1 && step_s >= DAY_S) return day;
      const clock = utc(at).slice(11, clockEnd);
      return days.size > 1 || place === 0 ? `${clock}\n${day}` : clock;
    });
  }

  /** Numbers with as many decimals as their step needs. @param {number[]} splits @returns {string[]} */
  function numberLabels(splits) {
    const step = (splits[1] ?? 1) - (splits[0] ?? 0);
    let decimals = 0;
    while (decimals < MOST_DECIMALS && Math.abs(Number(step.toFixed(decimals)) - step) > step / 100)
      decimals++;
    const form = { minimumFractionDigits: decimals, maximumFractionDigits: decimals };
    return splits.map((value) => value.toLocaleString('en', form));
  }

  /** Room for the widest label, in pixels. @param {any} chart @param {string[] | null} labels @param {number} axis */
  function labelRoom(chart, labels, axis) {
    chart.ctx.font = chart.axes[axis].font[0];
    const widths = (labels ?? []).map((label) => chart.ctx.measureText(label).width / devicePixelRatio);
    return Math.ceil(Math.max(0, ...widths)) + TICK_PX;
  }

  /**
   * Both axes, as uPlot wants them.
   * @param {{text: string, rule: string, counts?: boolean}} style Colours, and whether values are whole numbers.
   */
  function axes({ text, rule, counts }) {
    const both = { stroke: text, grid: { stroke: rule, width: 1 }, ticks: { stroke: rule, width: 1 } };
    return [
      { ...both, space: 60, values: (/** @type {any} */ _, /** @type {number[]} */ at) => timeLabels(at) },
      {
        ...both,
        size: labelRoom,
        values: (/** @type {any} */ _, /** @type {number[]} */ values) => numberLabels(values),
        ...(counts ? { incrs: WHOLE_STEPS } : {}),
      },
    ];
  }

  /** A date whose fields are UTC's, so that days begin at midnight UTC. @param {any} uPlot */
  const utcDates = (uPlot) => (/** @type {number} */ at) => uPlot.tzDate(new Date(at * 1000), 'Etc/UTC');

  /**
   * From the first to the last time; around a single one a bucket on each side, where uPlot shows three years.
   * @param {number} bucket_s
   */
  const timeRange =
    (bucket_s) =>
    (/** @type {{data: number[][]}} */ chart, /** @type {number} */ first, /** @type {number} */ last) =>
      (chart.data[0]?.length ?? 0) > 1 ? [first, last] : [first - bucket_s, first + bucket_s];

  Object.assign(globalThis, {
    chartAxes: { axes, padding, timeLabels, numberLabels, timeRange, utc, utcDates },
  });
})();

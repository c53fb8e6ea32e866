import assert from 'node:assert/strict';
import test from 'node:test';
import '../../scheduler/monitor/static/chart_axes.js';

const { axes, numberLabels, timeLabels, timeRange } = /** @type {any} */ (globalThis).chartAxes;
const NOON_S = Date.UTC(2026, 10, 20, 12) / 1000;

/** @param {number} n @param {number} step_s */
const times = (n, step_s) => Array.from({ length: n }, (_, place) => NOON_S + place * step_s);

test('labels of times are distinct at every step, from a tenth of a second to years', () => {
  for (const step_s of [0.1, 1, 15, 60, 600, 3600, 12 * 3600, 86400, 7 * 86400, 31 * 86400, 366 * 86400]) {
    const labels = timeLabels(times(9, step_s));
    assert.equal(new Set(labels).size, 9, `${step_s}: ${labels}`);
  }
});

test('a day of hours names its day once; several days name theirs', () => {
  assert.deepEqual(timeLabels(times(3, 3600)), ['12:00\n11-20', '13:00', '14:00']);
  assert.deepEqual(timeLabels(times(3, 12 * 3600)), ['12:00\n11-20', '00:00\n11-21', '12:00\n11-21']);
  assert.deepEqual(timeLabels(times(2, 86400)), ['11-20', '11-21']);
  assert.deepEqual(timeLabels(times(2, 60 * 86400)), ['2026-11-20', '2027-01-19']);
});

test('numbers have the decimals that their step needs', () => {
  assert.deepEqual(numberLabels([0, 2.5, 5]), ['0.0', '2.5', '5.0']);
  assert.deepEqual(numberLabels([0, 0.0002, 0.0004]), ['0.0000', '0.0002', '0.0004']);
  assert.deepEqual(numberLabels([0, 500, 1000]), ['0', '500', '1,000']);
  assert.deepEqual(numberLabels([0.1, 0.2, 0.1 + 0.2]), ['0.1', '0.2', '0.3']);
});

test('counts stand at whole numbers', () => {
  const [, plain] = axes({ text: 'black', rule: 'grey' });
  const [, counts] = axes({ text: 'black', rule: 'grey', counts: true });
  assert.equal(plain.incrs, undefined);
  assert.ok(counts.incrs.every(Number.isInteger));
});

test('one time alone stands between two buckets, not in years', () => {
  assert.deepEqual(timeRange(60)({ data: [[NOON_S]] }, NOON_S, NOON_S + 86_400_000), [
    NOON_S - 60,
    NOON_S + 60,
  ]);
  assert.deepEqual(timeRange(60)({ data: [[NOON_S, NOON_S + 5]] }, NOON_S, NOON_S + 5), [NOON_S, NOON_S + 5]);
});

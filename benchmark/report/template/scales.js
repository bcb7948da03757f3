// Scales: where on an axis (0..1) a value stands, and the values that are written at it.

function linear(low, high, ticks) {
  const place = (value) => (value - low) / (high - low);
  return { place, ticks: onAxis(ticks, place) };
}

function onAxis(ticks, place) {
  return ticks.filter(({ value }) => place(value) >= 0 && place(value) <= 1);
}

function tick(value, text = String(Number(value.toPrecision(6)))) {
  return { value, text };
}

/** Multiples of a round step, from at most `low` to at least `high`, about `count` of them. */
function roundTicks(low, high, count) {
  const power = 10 ** Math.floor(Math.log10((high - low) / count));
  const step = [1, 2, 5, 10].map((times) => times * power).find((step) => (high - low) / step <= count);
  const first = Math.ceil(low / step);
  const last = Math.floor(high / step);
  return Array.from({ length: last - first + 1 }, (_, k) => tick((first + k) * step));
}

// A wider interval runs out of its chart, rather than press everything else flat.
const MOST_INTERVAL = 0.1;

/** What a scale has to hold of a mean and half its interval (or null). */
function within(mean, interval) {
  const reach = Math.min(interval ?? 0, MOST_INTERVAL);
  return [mean - reach, mean + reach];
}

/** For fractions, in percent: round limits around them, within `least`..100 and at least 10 apart. */
function percentScale(fractions, least = 0) {
  let low = Math.max(least, Math.floor((100 * Math.min(...fractions) - 1) / 5) * 5);
  let high = Math.min(100, Math.ceil((100 * Math.max(...fractions) + 1) / 5) * 5);
  if (high - low < 10) [low, high] = [Math.max(least, high - 10), Math.max(least + 10, high)];
  const { place, ticks } = linear(low, high, roundTicks(low, high, 6));
  return { place: (fraction) => place(100 * fraction), ticks: ticks.map((t) => ({ ...t, value: t.value / 100 })) };
}

/** For how many tasks were learned: all numbers, or the first and round ones where `room` (pixels) is short. */
function taskScale(tasks, room) {
  const step = [1, 2, 5, 10, 20, 50].find((step) => (room * step) / tasks >= 24) ?? 100;
  const numbers = Array.from({ length: tasks }, (_, k) => k + 1);
  const written = numbers.filter((n) => n === 1 || (step < 5 ? (n - 1) % step === 0 : n % step === 0));
  return linear(tasks > 1 ? 1 : 0.5, tasks > 1 ? tasks : 1.5, written.map((n) => tick(n)));
}

/**
 * For costs, none negative, as in the figures: linear from zero while they are comparable, else logarithmic, with a
 * place for zero at the left where a method costs nothing.
 */
function costScale(costs) {
  const paid = costs.filter((cost) => cost > 0);
  const free = paid.length < costs.length;
  const least = Math.min(...paid);
  const most = Math.max(0, ...paid) || 1;
  if (paid.length === 0 || most <= 10 * least) {
    return linear(free ? -0.04 * most : 0, 1.08 * most, roundTicks(0, 1.08 * most, 6));
  }
  const floor = 10 ** Math.floor(Math.log10(least));
  const decades = (cost) => (cost <= floor && free ? (cost / floor - 1) / 2 : Math.log10(cost / floor));
  const [low, high] = free ? [-0.6, decades(1.8 * most)] : [decades(least / 1.5), decades(1.5 * most)];
  const steps = most / least > 300 ? [1] : [1, 2, 5];
  const powers = Array.from({ length: Math.ceil(high) + 1 }, (_, k) => floor * 10 ** k);
  const ticks = powers.flatMap((power) => steps.map((step) => tick(step * power)));
  const place = (cost) => (decades(cost) - low) / (high - low);
  return { place, ticks: onAxis(free ? [tick(0), ...ticks] : ticks, place) };
}

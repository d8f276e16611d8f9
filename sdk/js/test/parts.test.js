import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bestSample, timeSample } from '../yizhan.js';

test('offset and round trip of one exchange (RFC 5905 §8)', () => {
  // The server's clock is 100 ahead; 10 there, 3 inside, 20 back.
  assert.deepEqual(timeSample(1000, 1110, 1113, 1033), { offset: 95, roundTrip: 30 });
  // Both ways alike: exact.
  assert.deepEqual(timeSample(1000, 1110, 1115, 1025), { offset: 100, roundTrip: 20 });
  // The server's clock is behind.
  assert.deepEqual(timeSample(5000, 4005, 4005, 5010), { offset: -1000, roundTrip: 10 });
});

test('the offset is never wrong by more than half the round trip, and the quickest exchange counts', () => {
  let seed = 7;
  const random = () => ((seed = (seed * 48271) % 2147483647) / 2147483647);
  const samples = Array.from({ length: 100 }, () => {
    const [there, inside, back] = [random() * 50, random() * 5, random() * 200];
    const sample = timeSample(0, there + 1234, there + inside + 1234, there + inside + back);
    assert.ok(Math.abs(sample.offset - 1234) <= sample.roundTrip / 2 + 1e-9);
    return sample;
  });
  const best = bestSample(samples);
  assert.ok(samples.every(({ roundTrip }) => roundTrip >= best.roundTrip));
});

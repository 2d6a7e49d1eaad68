// Where cultures agree and where they part: computed from probabilities, without words.

const TIE = 0.02; // probabilities this close make no winner
const GAP = 0.1; // differences below this are not worth a sentence

/** The most likely labels of a culture: more than one where they tie. */
export function leaders({ probabilities, top }) {
  const best = probabilities[top];
  return Object.keys(probabilities)
    .filter((label) => label === top || best - probabilities[label] < TIE)
    .sort((a, b) => probabilities[b] - probabilities[a]);
}

/**
 * Groups of cultures with the same most likely labels, the largest group first, and the label over which
 * they differ most; `widest` is null where no difference is worth a sentence.
 */
export function agreement(predictions) {
  const groups = new Map();
  for (const prediction of predictions) {
    const labels = leaders(prediction);
    const key = JSON.stringify([...labels].sort());
    if (!groups.has(key)) groups.set(key, { labels, cultures: [] });
    groups.get(key).cultures.push(prediction.culture);
  }
  let widest = null;
  for (const label of Object.keys(predictions[0].probabilities)) {
    const sorted = [...predictions].sort((a, b) => b.probabilities[label] - a.probabilities[label]);
    const [high, low] = [sorted[0], sorted.at(-1)];
    const gap = high.probabilities[label] - low.probabilities[label];
    if (gap >= (widest?.gap ?? GAP)) {
      widest = { label, gap, high: [high.culture, high.probabilities[label]], low: [low.culture, low.probabilities[label]] };
    }
  }
  return { groups: [...groups.values()].sort((a, b) => b.cultures.length - a.cultures.length), widest };
}

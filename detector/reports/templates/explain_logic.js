// What detections become of the numbers of an image, and why its objects are missed: the library's selection and
// sentences (inference/select_traced.py, inference/verdicts.py), number by number. No document is touched here.
//
// float32 arithmetic is that of numpy and numba: each result goes through Math.fround where the library keeps it in
// float32. A trace holds boxes, rounds, background, topLabels, topScores, rows, columns, scores, moved, before and
// rescored as typed arrays, in the layout of evaluation/explained.py.
const Explain = (() => {
  const BEYOND = -1, UNDER = 0, SUPPRESSED = 1, RESCORED = 2, LEFT_OUT = 3, KEPT = 4;
  const HIT = 0.5;
  const NUDGE = 1e-4;
  const f = Math.fround;

  const proposalsOf = (trace) => {
    let count = 0;
    for (const round of trace.rounds) count += round === 0;
    return count;
  };
  const isLookedAt = (trace, limits, row) =>
    trace.rounds[row] > 0 || row < Math.min(limits.regions, trace.scored);
  const finalOf = (trace) => trace.rescored ?? trace.scores;
  const unchangedOf = (trace) => (trace.rescored ? trace.scores : trace.before);

  // IoU in float64 of box i of `a` and box j of `b`, as `box_iou` counts it.
  function iou(a, i, b, j) {
    const p = 4 * i, q = 4 * j;
    const width = Math.max(Math.min(a[p + 2], b[q + 2]) - Math.max(a[p], b[q]), 0);
    const height = Math.max(Math.min(a[p + 3], b[q + 3]) - Math.max(a[p + 1], b[q + 1]), 0);
    const inter = width * height;
    const area = Math.max(a[p + 2] - a[p], 0) * Math.max(a[p + 3] - a[p + 1], 0);
    const other = Math.max(b[q + 2] - b[q], 0) * Math.max(b[q + 3] - b[q + 1], 0);
    const union = area + other - inter;
    return union > 0 ? inter / union : 0;
  }

  // IoU of boxes `i` and `j` as greedy NMS rounds it on its way.
  function nmsOverlap(boxes, i, j) {
    const p = 4 * i, q = 4 * j;
    const width = f(Math.min(boxes[p + 2], boxes[q + 2]) - Math.max(boxes[p], boxes[q]));
    if (!(width > 0)) return 0;
    const height = f(Math.min(boxes[p + 3], boxes[q + 3]) - Math.max(boxes[p + 1], boxes[q + 1]));
    if (!(height > 0)) return 0;
    const inter = f(width * height);
    return inter / (f(areaInNms(boxes, p) + areaInNms(boxes, q)) - inter);
  }
  const areaInNms = (boxes, p) =>
    f(Math.max(f(boxes[p + 2] - boxes[p]), 0) * Math.max(f(boxes[p + 3] - boxes[p + 1]), 0));

  // Places of `own` by falling score, equals in their order.
  const bestFirst = (own, score) => [...own].sort((a, b) => score(b) - score(a));

  // The candidates that survive, best first, and of each other one the first that dropped it and their IoU.
  function greedy(boxes, scores, own, threshold) {
    const kept = [], by = new Map();
    let left = bestFirst(own, (k) => scores[k]);
    while (left.length) {
      const [best] = left, others = left;
      kept.push(best);
      left = [];
      for (let place = 1; place < others.length; place++) {
        const k = others[place];
        const overlap = nmsOverlap(boxes, best, k);
        if (overlap > threshold) by.set(k, [best, overlap]);
        else left.push(k);
      }
    }
    return { kept, scores: kept.map((k) => scores[k]), by };
  }

  // IoU as soft NMS counts it, in float64.
  function softOverlap(boxes, i, j) {
    const p = 4 * i, q = 4 * j;
    const width = Math.min(boxes[p + 2], boxes[q + 2]) - Math.max(boxes[p], boxes[q]);
    const height = Math.min(boxes[p + 3], boxes[q + 3]) - Math.max(boxes[p + 1], boxes[q + 1]);
    if (width <= 0 || height <= 0) return 0;
    const inter = width * height;
    const area = (boxes[p + 2] - boxes[p]) * (boxes[p + 3] - boxes[p + 1]);
    const other = (boxes[q + 2] - boxes[q]) * (boxes[q + 3] - boxes[q + 1]);
    return inter / (area + other - inter);
  }

  // As `greedy`, with scores that fall; those that are dropped name the survivor that overlaps them most.
  function soft(boxes, scores, own, limits, settings) {
    const sigma = settings.nms === "soft_gaussian" ? settings.softSigma : 0;
    const threshold = sigma > 0 ? 0 : limits.nmsIou;
    const now = new Map(own.map((k) => [k, scores[k]]));
    const found = { kept: [], scores: [], by: new Map() };
    let left = own.filter((k) => scores[k] >= f(limits.minScore));
    while (left.length) {
      let winner = left[0];
      for (const k of left) if (now.get(k) > now.get(winner)) winner = k;
      found.kept.push(winner);
      found.scores.push(f(now.get(winner)));
      const stay = [];
      for (const k of left) {
        if (k === winner) continue;
        const overlap = softOverlap(boxes, winner, k);
        if (overlap > threshold) {
          now.set(k, now.get(k) * (sigma > 0 ? Math.exp((-overlap * overlap) / sigma) : 1 - overlap));
          if (now.get(k) < limits.minScore) continue;
        }
        stay.push(k);
      }
      left = stay;
    }
    const survives = new Set(found.kept);
    const lost = own.filter((k) => !survives.has(k));
    for (const winner of found.kept) {
      for (const k of lost) {
        const overlap = nmsOverlap(boxes, winner, k);
        if (overlap > (found.by.get(k)?.[1] ?? 0)) found.by.set(k, [winner, overlap]);
      }
    }
    return found;
  }

  // The mean of a kept box's neighbours among the class's candidates, weighted by score; null without a vote.
  function vote(boxes, scores, own, k, threshold) {
    const p = 4 * k, total = [0, 0, 0, 0];
    const x1 = boxes[p], y1 = boxes[p + 1], x2 = boxes[p + 2], y2 = boxes[p + 3];
    const area = f(x2 - x1) * f(y2 - y1);
    let weight = 0;
    for (const other of own) {
      const score = scores[other], q = 4 * other;
      if (!(score > 0)) continue;
      const width = f(Math.min(x2, boxes[q + 2]) - Math.max(x1, boxes[q]));
      const height = f(Math.min(y2, boxes[q + 3]) - Math.max(y1, boxes[q + 1]));
      let overlap = 0;
      if (width > 0 && height > 0) {
        const inter = width * height;
        overlap = inter / (area + f(boxes[q + 2] - boxes[q]) * f(boxes[q + 3] - boxes[q + 1]) - inter);
      }
      if (overlap < threshold) continue;
      for (let side = 0; side < 4; side++) total[side] += score * boxes[q + side];
      weight += score;
    }
    return weight > 0 ? total.map((sum) => f(sum / weight)) : null;
  }

  // A class's candidates that NMS looks at: see `candidates` in inference/select.py.
  function rivals(trace, own, least) {
    if (!trace.rescored) return own.filter((k) => trace.scores[k] >= least);
    let worst = Infinity;
    for (const k of own) if (trace.rescored[k] >= least) worst = Math.min(worst, trace.scores[k]);
    return own.filter((k) => trace.scores[k] >= worst);
  }

  function select(trace, limits, settings) {
    const count = trace.rows.length, least = f(limits.minScore);
    const status = new Int8Array(count), by = new Int32Array(count).fill(-1), overlaps = new Float64Array(count);
    const byColumn = new Map();
    for (let k = 0; k < count; k++) {
      status[k] = isLookedAt(trace, limits, trace.rows[k]) ? UNDER : BEYOND;
      if (status[k] === BEYOND) continue;
      const column = trace.columns[k];
      if (!byColumn.has(column)) byColumn.set(column, []);
      byColumn.get(column).push(k);
    }
    const found = [];
    for (const column of [...byColumn.keys()].sort((a, b) => a - b)) {
      const own = rivals(trace, byColumn.get(column), least);
      const chosen = settings.nms === "greedy"
        ? greedy(trace.moved, trace.scores, own, limits.nmsIou)
        : soft(trace.moved, trace.scores, own, limits, settings);
      for (const k of own) {
        const isLooked = settings.nms === "greedy" || trace.scores[k] >= least; // soft NMS looks at no others
        status[k] = isLooked ? SUPPRESSED : UNDER;
      }
      for (const [k, [winner, overlap]] of chosen.by) {
        by[k] = winner;
        overlaps[k] = overlap;
      }
      chosen.kept.forEach((k, place) => {
        const voted = settings.votingIou ? vote(trace.moved, trace.scores, own, k, settings.votingIou) : null;
        const box = voted ?? [...trace.moved.subarray(4 * k, 4 * k + 4)];
        let score = chosen.scores[place];
        status[k] = RESCORED;
        if (trace.rescored) {
          score = settings.nms === "greedy"
            ? trace.rescored[k]
            : f(trace.rescored[k] * f(score / trace.scores[k]));
          if (!(score >= least)) return;
        }
        status[k] = LEFT_OUT;
        found.push({ candidate: k, column, box, score });
      });
    }
    const detections = bestFirst(found, (each) => each.score);
    if (settings.maxPerImage) detections.length = Math.min(detections.length, settings.maxPerImage);
    for (const each of detections) status[each.candidate] = KEPT;
    return { status, by, overlaps, detections };
  }

  function figure(value) {
    const size = Math.abs(value);
    const places = size >= 0.1 || size === 0 ? 2 : size >= 0.01 ? 3 : 4;
    const unit = 10 ** places;
    const scaled = Math.floor(value * unit + NUDGE);
    const whole = Math.floor(Math.abs(scaled) / unit);
    let digits = String(Math.abs(scaled) % unit).padStart(places, "0");
    while (digits.length > 2 && digits.endsWith("0")) digits = digits.slice(0, -1);
    return `${scaled < 0 ? "\u2212" : ""}${whole}.${digits}`;
  }

  // The place of the largest value among `places`, the first of equals; -1 of none.
  function firstOf(values, places) {
    let best = -1;
    for (const place of places) if (best < 0 || values[place] > values[best]) best = place;
    return best;
  }

  function judge(trace, selection, limits, settings, objects) {
    const after = finalOf(trace), unchanged = unchangedOf(trace), least = figure(limits.minScore);
    const proposals = proposalsOf(trace);
    const regionCount = trace.rounds.length;
    const columnOf = (name) => trace.classes.indexOf(name);
    const covers = (thing, boxes, count) => {
      const box = Float64Array.from(thing.box), found = new Float64Array(count);
      for (let j = 0; j < count; j++) found[j] = iou(box, 0, boxes, j);
      return found;
    };
    const coverOne = (thing, box) => iou(Float64Array.from(thing.box), 0, box, 0);
    const { detections, status } = selection;

    const on = detections.map(() => -1), of = objects.map(() => []);
    const columns = objects.map((each) => columnOf(each.name));
    detections.forEach((each, place) => {
      let best = HIT;
      objects.forEach((thing, number) => {
        if (columns[number] !== each.column) return;
        const value = coverOne(thing, each.box);
        if (value > best || (value === best && on[place] < 0)) {
          on[place] = number;
          best = value;
        }
      });
      if (on[place] >= 0) of[on[place]].push(place);
    });

    const reason = (kind, text, region = -1, candidate = -1) => ({ kind, text, region, candidate });

    function foundText(thing, own) {
      const first = detections[own[0]];
      const start = `${thing.name} ${figure(first.score)}, IoU ${figure(coverOne(thing, first.box))}`;
      if (own.length === 1) return `Found: ${start}.`;
      const others = own.length === 2 ? "the other does" : "the others do";
      return `Found ${own.length} times: ${start}, counts, ${others} not.`;
    }

    function furthest(places) {
      const last = places.reduce((most, k) => Math.max(most, status[k]), UNDER);
      return firstOf(after, places.filter((k) => status[k] === last));
    }

    function before(column, row, k) {
      if (!unchanged) return null;
      if (k >= 0) return unchanged[k];
      for (let place = 0; place < trace.tops; place++) {
        if (trace.topLabels[row * trace.tops + place] === column + 1) {
          return trace.topScores[row * trace.tops + place];
        }
      }
      return null;
    }

    function low(thing, row, k, covered, value) {
      const name = thing.name;
      const where = covered[row] < HIT
        ? `a region (IoU ${figure(covered[row])}) whose box has IoU ${figure(value)}`
        : `its region (IoU ${figure(covered[row])})`;
      const old = before(columnOf(name), row, k);
      let score = `under ${figure(trace.floor)}`;
      if (k >= 0) score = figure(old === null || after[k] < f(limits.minScore) ? after[k] : old);
      if (old !== null && f(old) >= f(limits.minScore)) {
        const text = `context lowered ${name} at ${where} from ${figure(old)} to ${score}`;
        return reason("context", `Missed: ${text}, the least is ${least}.`, row, k);
      }
      const top = trace.topScores[row * trace.tops];
      const other = trace.classes[trace.topLabels[row * trace.tops] - 1];
      const ending = `; as ${name} ${where} has ${score}, the least is ${least}.`;
      const background = trace.background[row];
      if (trace.bySvm && top < 0) {
        const text = `taken for background, the best SVM is ${other} ${figure(top)}`;
        return reason("background", `Missed: ${text}${ending}`, row, k);
      }
      if (!trace.bySvm && background >= top) {
        return reason("background", `Missed: taken for background (${figure(background)})${ending}`, row, k);
      }
      if (other !== name) return reason("class", `Missed: taken for ${other} (${figure(top)})${ending}`, row, k);
      const text = `under the least score: ${where} has ${name} ${score}, the least is ${least}`;
      return reason("under", `Missed: ${text}.`, row, k);
    }

    function keptBox(thing, hit, what) {
      const own = detections.find((each) => each.candidate === hit), row = trace.rows[hit];
      const final = coverOne(thing, own.box);
      if (final >= HIT) {
        const text = `the ${thing.name} ${figure(own.score)} on it (IoU ${figure(final)}) counts for another object`;
        return reason("neighbour", `Missed: ${text} that it covers better.`, row, hit);
      }
      const text = `${what} was moved by the votes of others to IoU ${figure(final)}`;
      return reason("voted", `Missed: ${text}.`, row, hit);
    }

    function lost(thing, hit, value, covered) {
      const row = trace.rows[hit];
      const byNms = `its box (${thing.name} ${figure(trace.scores[hit])}, IoU ${figure(value)})`;
      const inEnd = `its box (${thing.name} ${figure(after[hit])}, IoU ${figure(value)})`;
      if (status[hit] === KEPT) return keptBox(thing, hit, inEnd);
      if (status[hit] === LEFT_OUT) {
        const text = `${inEnd} is left out, the best ${settings.maxPerImage} of the image are kept`;
        return reason("left_out", `Missed: ${text}.`, row, hit);
      }
      if (status[hit] === RESCORED && after[hit] >= f(limits.minScore)) {
        const text = `${inEnd} was lowered under ${least} by better ones that overlap it`;
        return reason("lowered", `Missed: ${text}.`, row, hit);
      }
      if (status[hit] === SUPPRESSED) {
        const rival = figure(trace.scores[selection.by[hit]]), near = figure(selection.overlaps[hit]);
        if (settings.nms === "greedy") {
          const text = `${byNms} was suppressed by a better one (${rival}) that overlaps it by ${near}`;
          return reason("suppressed", `Missed: ${text}.`, row, hit);
        }
        const text = `${byNms} was lowered under ${least} by better ones, the nearest (${rival})`;
        return reason("lowered", `Missed: ${text} overlaps it by ${near}.`, row, hit);
      }
      return low(thing, row, hit, covered, value);
    }

    function missed(thing, covered, best) {
      if (!thing.counts) {
        return reason("ignored", "Does not count: it is marked as difficult or as a crowd.", best);
      }
      const column = columnOf(thing.name);
      if (column < 0) return reason("unknown", `Missed: the detector knows no class ${thing.name}.`, best);
      const mine = [];
      for (let k = 0; k < status.length; k++) if (trace.columns[k] === column && status[k] >= UNDER) mine.push(k);
      const values = covers(thing, trace.moved, status.length);
      for (const each of detections) {
        values[each.candidate] = Math.max(values[each.candidate], coverOne(thing, each.box));
      }
      const hits = mine.filter((k) => values[k] >= HIT);
      if (hits.length) {
        const hit = furthest(hits);
        return lost(thing, hit, values[hit], covered);
      }
      const good = [];
      for (let r = 0; r < regionCount; r++) if (isLookedAt(trace, limits, r) && covered[r] >= HIT) good.push(r);
      if (good.length) {
        const k = furthest(mine.filter((each) => covered[trace.rows[each]] >= HIT));
        if (k >= 0 && status[k] >= SUPPRESSED) {
          const row = trace.rows[k];
          const text = `its region (IoU ${figure(covered[row])}) was found as ${thing.name} ${figure(after[k])}, ` +
            `but the box made of it has IoU ${figure(values[k])}`;
          return reason("regressed", `Missed: ${text}.`, row, k);
        }
        return low(thing, k >= 0 ? trace.rows[k] : firstOf(covered, good), k, covered);
      }
      if (best < 0 || covered[best] < HIT) {
        const text = `Missed: no region covers it by ${figure(HIT)}`;
        return reason("region", `${text}, the best by ${figure(best >= 0 ? covered[best] : 0)}.`, best);
      }
      const where = `its best region (IoU ${figure(covered[best])})`;
      const looked = Math.min(limits.regions, trace.scored);
      if (trace.cascade) {
        const text = `dropped by the cascade: ${where} came as number ${best + 1}, the first ${looked} go on`;
        return reason("cascade", `Missed: ${text}.`, best);
      }
      return reason("rank", `Missed: ${where} is number ${best + 1}, the first ${looked} are looked at.`, best);
    }

    const verdicts = objects.map((thing, place) => {
      const covered = covers(thing, trace.boxes, regionCount);
      const best = firstOf(covered, Array.from({ length: proposals }, (_, row) => row));
      const own = of[place];
      const told = { bestRegion: best, bestIou: best >= 0 ? covered[best] : 0, detection: own.length ? own[0] : -1 };
      if (own.length && thing.counts) {
        const candidate = detections[own[0]].candidate;
        return { ...told, ...reason("found", foundText(thing, own), trace.rows[candidate], candidate) };
      }
      return { ...told, ...missed(thing, covered, best) };
    });
    return { verdicts, on, of };
  }

  return { BEYOND, UNDER, SUPPRESSED, RESCORED, LEFT_OUT, KEPT, HIT, select, judge, figure, iou, isLookedAt, proposalsOf };
})();

// What lists and captions say of boxes and regions. No document is touched here.
const explainTexts = (trace, settings) => {
  const { figure } = Explain;
  const { boxAt } = ExplainView;

  const iouOf = (a, b) => Explain.iou(Float64Array.from(a), 0, Float64Array.from(b), 0);
  const sizeText = ([x1, y1, x2, y2]) => `${Math.round(x2 - x1)} × ${Math.round(y2 - y1)} px`;
  const counted = (count, one, many) => `${count} ${count === 1 ? one : many}`;

  function regionName(row) {
    return trace.rounds[row] ? `a box scored again (round ${trace.rounds[row]})` : `region ${row + 1}`;
  }

  // The best classes of a region, best first; none where nothing was scored.
  function bestOf(row) {
    const found = [];
    for (let place = row * trace.tops; place < (row + 1) * trace.tops; place++) {
      const label = trace.topLabels[place];
      if (label) found.push({ name: trace.classes[label - 1], score: trace.topScores[place] });
    }
    return found;
  }

  const scoreText = (each) => `${each.name} ${figure(each.score)}`;
  const detectionText = (found) => scoreText({ name: trace.classes[found.column], score: found.score });

  // The candidates that `k` suppressed, best first.
  function lostTo(selection, k) {
    const found = [];
    selection.by.forEach((by, other) => by === k && found.push(other));
    return found.sort((a, b) => trace.scores[b] - trace.scores[a]);
  }

  // The way of a detection from its region to its box, a sentence a step; `target` is the object that it lies on.
  function detectionLines(selection, found, target, number) {
    const k = found.candidate, row = trace.rows[k];
    const start = boxAt(trace.boxes, row), moved = boxAt(trace.moved, k);
    const lines = [`From ${regionName(row)}, ${sizeText(start)}.`];
    const byRegression = iouOf(start, moved), byVotes = iouOf(moved, found.box);
    if (byRegression < 1) lines.push(`Regression made it ${sizeText(moved)}, IoU ${figure(byRegression)} with the region.`);
    if (settings.votingIou && byVotes === 1) lines.push("Votes left it where it was.");
    if (settings.votingIou && byVotes < 1) {
      lines.push(`Votes moved it to ${sizeText(found.box)}, IoU ${figure(byVotes)} with what it was.`);
    }
    if (target) {
      const [first, then, last] = [start, moved, found.box].map((box) => figure(iouOf(box, target)));
      lines.push(`IoU with object ${number}: region ${first}, moved ${then}, in the end ${last}.`);
    }
    if (trace.before) lines.push(`Context made ${figure(found.score)} of ${figure(trace.before[k])}.`);
    if (trace.rescored) lines.push(`Context made ${figure(found.score)} of ${figure(trace.scores[k])}, after NMS.`);
    if (trace.cascade && !trace.rounds[row]) lines.push(`The cascade gave its region ${figure(trace.cascade[row])}.`);
    const lost = lostTo(selection, k);
    const shown = lost.slice(0, 8).map((other) => `${figure(trace.scores[other])} (IoU ${figure(selection.overlaps[other])})`);
    const rest = lost.length > 8 ? ` and ${lost.length - 8} more` : "";
    lines.push(lost.length ? `It suppressed ${lost.length}: ${shown.join(", ")}${rest}.` : "It suppressed none.");
    return lines;
  }

  // How many detections there are, and how many boxes NMS took.
  function selectionText(selection) {
    const lost = selection.status.reduce((sum, each) => sum + (each === Explain.SUPPRESSED), 0);
    const end = settings.nms === "greedy" ? "" : " or lowered under it";
    const boxes = counted(selection.detections.length, "detection", "detections");
    return `${boxes}; ${counted(lost, "box", "boxes")} over the least score suppressed${end}.`;
  }

  return {
    bestOf, counted, detectionLines, detectionText, iouOf, lostTo, regionName, scoreText, selectionText, sizeText,
  };
};

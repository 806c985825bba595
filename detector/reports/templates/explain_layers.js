// Which boxes lie on the picture at each step. No document is touched here.
const explainLayers = (trace, texts) => {
  const { figure } = Explain;
  const { boxAt } = ExplainView;
  const MOST_DRAWN = 100, MOST_LOST = 40;

  const STEPS = {
    search({ levelBox }, put) {
      if (levelBox) put(levelBox.map((share, side) => share * (side % 2 ? trace.height : trace.width)), "region");
    },

    proposals({ rows, region }, put) {
      rows.slice(0, MOST_DRAWN).forEach(({ box }) => put(box, "faint"));
      if (rows.some(({ row }) => row === region)) put(boxAt(trace.boxes, region), "region", `${region + 1}`);
    },

    network({ region, heatName }, put) {
      put(boxAt(trace.boxes, region), "region", heatName);
    },

    boxes({ selection, judged, objects, detection, foundBy }, put) {
      const chosen = selection.detections[detection];
      if (chosen) {
        texts.lostTo(selection, chosen.candidate).slice(0, MOST_LOST).forEach((k) => put(boxAt(trace.moved, k), "lost"));
        put(boxAt(trace.boxes, trace.rows[chosen.candidate]), "region");
        if (judged.on[detection] >= 0) put(objects[judged.on[detection]].box, "object");
      }
      const places = chosen ? [detection] : [...selection.detections.slice(0, MOST_DRAWN).keys()].reverse();
      for (const place of places) {
        const found = selection.detections[place], right = foundBy(place) >= 0 || !objects.length;
        put(found.box, right ? "right" : "wrong", texts.detectionText(found));
      }
    },

    objects({ selection, judged, objects, object, foundBy }, put) {
      objects.forEach((thing, place) => {
        if (object >= 0 && place !== object) return;
        const verdict = judged.verdicts[place];
        if (object >= 0 && verdict.kind !== "found") lost(verdict, thing, selection, foundBy, put);
        const found = selection.detections[verdict.detection];
        if (found) put(found.box, "right", texts.detectionText(found));
        const missed = verdict.kind !== "found" && thing.counts;
        put(thing.box, thing.yours ? "yours" : "object", missed ? `${place + 1} missed` : "", true);
      });
    },
  };

  // What the sentence about a missed object speaks of.
  function lost({ kind, region, bestRegion, candidate }, thing, selection, foundBy, put) {
    const row = region >= 0 ? region : bestRegion;
    if (row >= 0) put(boxAt(trace.boxes, row), "region");
    if (candidate >= 0) put(boxAt(trace.moved, candidate), "lost");
    if (kind !== "suppressed") return;
    const by = selection.by[candidate];
    const rival = selection.detections.findIndex((each) => each.candidate === by);
    put(boxAt(trace.moved, by), foundBy(rival) >= 0 ? "right" : "wrong", `${thing.name} ${figure(trace.scores[by])}`);
  }

  // The boxes of a step, the lowest first.
  return (state) => {
    const boxes = [];
    STEPS[state.step](state, (box, style, text = "", below = false) => boxes.push({ box, style, text, below }));
    if (state.drawn) boxes.push({ box: state.drawn, style: "yours" });
    return boxes;
  };
};

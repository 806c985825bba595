// The page: sliders, steps, lists and the pointer. Numbers come from Explain, what is drawn from ExplainView.
(async () => {
  const { colour, unpack, unpackTrace, loadImage, boxAt, Picture, Level, heatCanvas, windowOf, drawCrop } = ExplainView;
  const { figure } = Explain;
  const at = (id) => document.getElementById(id);
  const data = JSON.parse(at("explain-data").textContent);
  const trace = unpackTrace(data.trace);
  const { settings } = data;
  const proposals = Explain.proposalsOf(trace);
  const isCut = trace.rounds.some((round) => round > 0); // later rounds are of all regions
  const seen = new Map(data.seen.map((each) => [each.region, { ...each, evidence: unpack(each.evidence, Float32Array) }]));
  const picture = new Picture(at("picture"), await loadImage(data.picture), trace.width, trace.height);
  const cropImages = new Map();
  const MOST_LISTED = 60, MOST_DRAWN = 100;

  const limits = { ...data.limits };
  const given = data.objects.map((each) => ({ ...each, yours: false }));
  let objects = given;
  let drawn = null; // a box of the user's
  let step = "objects", object = -1, detection = -1, region = data.seen.length ? data.seen[0].region : 0;
  let level = null, levelBox = null, heatOf = null;
  let selection, judged;

  const round = (value) => Math.round(value);
  const sizeText = ([x1, y1, x2, y2]) => `${round(x2 - x1)} × ${round(y2 - y1)} px`;
  const iouOf = (a, b) => Explain.iou(Float64Array.from(a), 0, Float64Array.from(b), 0);
  const make = (tag, parts = [], facts = {}) => {
    const made = Object.assign(document.createElement(tag), facts);
    made.append(...[parts].flat());
    return made;
  };
  const line = (text) => make("p", text);
  const regionName = (row) => (trace.rounds[row] ? `a box scored again (round ${trace.rounds[row]})` : `region ${row + 1}`);

  function recompute() {
    selection = Explain.select(trace, limits, settings);
    judged = Explain.judge(trace, selection, limits, settings, objects);
  }

  // Which object a detection found, or lies on if that does not count; -1 of a false one.
  function foundBy(place) {
    const on = judged.on[place] ?? -1;
    return on >= 0 && (!objects[on].counts || judged.of[on][0] === place) ? on : -1;
  }

  // ---- lists

  const FEW = 400;
  function fillList(list, entries, chosen, choose, more) {
    const hadFocus = list.contains(document.activeElement);
    const items = entries.slice(0, FEW).map((entry) => {
      const button = make("button", entry.parts, { type: "button" });
      button.setAttribute("aria-expanded", entry.place === chosen);
      button.dataset.place = entry.place;
      button.addEventListener("click", () => choose(entry.place === chosen ? -1 : entry.place));
      return make("li", entry.place === chosen ? [button, make("div", more(entry.place), { className: "more" })] : [button]);
    });
    list.replaceChildren(...items);
    if (hadFocus) (list.querySelector('[aria-expanded="true"]') ?? list.querySelector("button"))?.focus();
  }

  const mark = (right) => make("span", right ? "✓" : "✕", { className: `mark ${right ? "right" : "wrong"}` });
  const toNetwork = (row, text) => {
    const button = make("button", text, { type: "button" });
    button.addEventListener("click", () => showRegion(row));
    return button;
  };

  function renderObjects() {
    const entries = objects.map((thing, place) => {
      const verdict = judged.verdicts[place];
      const rank = verdict.bestRegion < 0 ? "" : `Best region: number ${verdict.bestRegion + 1}, IoU ${figure(verdict.bestIou)}`;
      const name = make("strong", thing.yours ? `${thing.name} (yours)` : thing.name);
      const sign = thing.counts ? mark(verdict.kind === "found") : make("span", "·", { className: "mark" });
      return { place, parts: [sign, name, " ", verdict.text, make("br"), make("span", rank, { className: "under" })] };
    });
    fillList(at("objects-list"), entries, object, (place) => { object = place; render(); }, (place) => {
      const verdict = judged.verdicts[place], parts = [line(`Box ${sizeText(objects[place].box)}`)];
      if (verdict.bestRegion >= 0) parts.push(toNetwork(verdict.bestRegion, "What the network saw of its best region"));
      if (verdict.region >= 0 && verdict.region !== verdict.bestRegion) {
        parts.push(toNetwork(verdict.region, "... of the region told of"));
      }
      if (objects[place].yours) {
        const remove = make("button", "Remove", { type: "button" });
        remove.addEventListener("click", () => {
          objects = objects.filter((_, other) => other !== place);
          object = -1;
          update();
        });
        parts.push(remove);
      }
      return parts;
    });
    at("objects-text").textContent = objects.length
      ? "Draw a box on the picture to ask about another object."
      : "No objects are known of this image. Draw a box on the picture and say of which class it is.";
  }

  function renderBoxes() {
    const count = selection.detections.length;
    const suppressed = selection.status.reduce((sum, each) => sum + (each === Explain.SUPPRESSED), 0);
    at("boxes-text").textContent = `${count} ${count === 1 ? "detection" : "detections"}; ${suppressed} boxes over the ` +
      `least score were suppressed${settings.nms === "greedy" ? "" : " or lowered under it"}.`;
    const entries = selection.detections.map((found, place) => {
      const on = foundBy(place);
      const where = on >= 0 ? `on object ${on + 1}` : judged.on[place] >= 0 ? `on object ${judged.on[place] + 1}, found already` : "on no object";
      const told = objects.length ? [mark(on >= 0)] : [];
      const name = make("strong", `${trace.classes[found.column]} ${figure(found.score)}`);
      return { place, parts: [...told, name, make("span", objects.length ? ` ${where}` : "", { className: "under" })] };
    });
    fillList(at("boxes-list"), entries, detection, (place) => { detection = place; render(); }, (place) => {
      const found = selection.detections[place], k = found.candidate, row = trace.rows[k];
      const start = boxAt(trace.boxes, row), moved = boxAt(trace.moved, k);
      const parts = [line(`From ${regionName(row)}, ${sizeText(start)}.`)];
      if (iouOf(start, moved) < 1) parts.push(line(`Regression made it ${sizeText(moved)}, IoU ${figure(iouOf(start, moved))} with the region.`));
      if (settings.votingIou) {
        const same = iouOf(moved, found.box) === 1;
        parts.push(line(same ? "Votes left it where it was." : `Votes moved it to ${sizeText(found.box)}, IoU ${figure(iouOf(moved, found.box))} with what it was.`));
      }
      const on = judged.on[place];
      if (on >= 0) {
        const target = objects[on].box;
        parts.push(line(`IoU with object ${on + 1}: region ${figure(iouOf(start, target))}, moved ${figure(iouOf(moved, target))}, in the end ${figure(iouOf(found.box, target))}.`));
      }
      if (trace.before) parts.push(line(`Context made ${figure(found.score)} of ${figure(trace.before[k])}.`));
      if (trace.rescored) parts.push(line(`Context made ${figure(found.score)} of ${figure(trace.scores[k])}, after NMS.`));
      if (trace.cascade && trace.rounds[row] === 0) parts.push(line(`The cascade gave its region ${figure(trace.cascade[row])}.`));
      const lost = lostTo(k);
      const shown = lost.slice(0, 8).map((other) => `${figure(trace.scores[other])} (IoU ${figure(selection.overlaps[other])})`);
      const rest = lost.length > 8 ? ` and ${lost.length - 8} more` : "";
      parts.push(line(lost.length ? `It suppressed ${lost.length}: ${shown.join(", ")}${rest}.` : "It suppressed none."));
      parts.push(toNetwork(row, "What the network saw"));
      return parts;
    });
  }

  const lostTo = (k) => {
    const found = [];
    selection.by.forEach((by, other) => by === k && found.push(other));
    return found.sort((a, b) => trace.scores[b] - trace.scores[a]);
  };

  // ---- regions

  function filteredRegions() {
    const number = (id, fallback) => (at(id).value === "" ? fallback : Number(at(id).value));
    const first = number("rank-from", 1) - 1, last = Math.min(number("rank-to", proposals), proposals);
    const least = number("side-from", 0), most = number("side-to", Infinity);
    const rows = [];
    for (let row = Math.max(first, 0); row < last; row++) {
      const box = boxAt(trace.boxes, row), sides = [box[2] - box[0], box[3] - box[1]];
      if (Math.min(...sides) < least || Math.max(...sides) > most) continue;
      const overlap = drawn ? iouOf(box, drawn) : 0;
      if (drawn && overlap < Number(at("overlap").value)) continue;
      rows.push({ row, box, overlap });
    }
    return drawn ? rows.sort((a, b) => b.overlap - a.overlap) : rows;
  }

  function renderProposals() {
    const rows = filteredRegions();
    const asked = drawn ? ", those that overlap your box most first" : "; draw a box on the picture to look for regions on it";
    at("proposals-text").textContent = `${rows.length} of ${proposals} regions${asked}.`;
    const entries = rows.slice(0, MOST_LISTED).map(({ row, box, overlap }) => {
      const label = trace.topLabels[row * trace.tops];
      const best = label ? `${trace.classes[label - 1]} ${figure(trace.topScores[row * trace.tops])}` : "dropped by the cascade";
      const how = drawn ? `, IoU ${figure(overlap)}` : "";
      return { place: row, parts: [make("strong", `${row + 1}`), ` ${sizeText(box)}${how} `, make("span", best, { className: "under" })] };
    });
    fillList(at("proposals-list"), entries, region, (row) => { if (row >= 0) region = row; heatOf = null; render(); }, (row) => [toNetwork(row, "What the network saw")]);
    return rows;
  }

  // ---- network

  function showRegion(row) {
    region = row;
    heatOf = null;
    openStep("network");
    at("tab-network").focus();
  }

  function cropOf(row) {
    const own = seen.get(row);
    const model = own ?? data.seen[0] ?? { side: 224, paddings: [0] };
    return { own, side: model.side, paddings: model.paddings };
  }

  function scoresOf(row) {
    const own = seen.get(row);
    if (own) return own.best;
    const found = [];
    for (let place = 0; place < trace.tops; place++) {
      const label = trace.topLabels[row * trace.tops + place];
      if (label) found.push({ name: trace.classes[label - 1], score: trace.topScores[row * trace.tops + place] });
    }
    return found;
  }

  function heats(row) {
    const own = seen.get(row);
    if (!own || heatOf === null) return null;
    const [columns, rows] = own.cells, cells = columns * rows, crops = own.paddings.length;
    const strongest = own.evidence.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    return own.paddings.map((_, crop) => {
      const start = (heatOf * crops + crop) * cells;
      return heatCanvas([...own.evidence.subarray(start, start + cells)], columns, rows, strongest);
    });
  }

  async function renderNetwork() {
    const row = region, { own, side, paddings } = cropOf(row);
    const select = at("seen"), known = [...new Set([...seen.keys(), row])].sort((a, b) => a - b);
    select.replaceChildren(...known.map((each) => {
      const text = regionName(each);
      const best = scoresOf(each)[0];
      return make("option", `${text[0].toUpperCase()}${text.slice(1)}${best ? `: ${best.name} ${figure(best.score)}` : ""}`, { value: each });
    }));
    select.value = row;
    const box = boxAt(trace.boxes, row), scores = scoresOf(row), warm = heats(row);
    if (own && !cropImages.has(row)) cropImages.set(row, await Promise.all(own.crops.map(loadImage)));
    if (row !== region) return;
    at("crops").replaceChildren(...paddings.map((padding, crop) => {
      const canvas = make("canvas", [], { ariaLabel: `Crop of ${regionName(row)}` });
      canvas.setAttribute("role", "img");
      const shown = own
        ? { image: cropImages.get(row)[crop] }
        : { window: windowOf(box, side, padding), picture: picture.image, scale: trace.width / picture.image.width };
      drawCrop(canvas, shown, { side, padding, heat: warm?.[crop] });
      return canvas;
    }));
    at("crops-text").textContent = own
      ? `As the network gets it, ${side} × ${side} pixels with ${paddings.join(" and ")} of context around the dotted line.`
      : "Drawn by this page: the crops of detections and of the regions of known objects alone are kept as the network got them.";
    const svm = trace.bySvm, strongest = Math.max(...scores.map((each) => Math.abs(each.score)), 1e-9);
    const bars = [...scores];
    if (!svm && scores.length) bars.push({ name: "background", score: trace.background[row], plain: true });
    at("scores").replaceChildren(...bars.map((each, place) => {
      const fill = make("i");
      fill.style.width = `${Math.max(0, Math.min(100, 100 * (svm ? each.score / strongest : each.score)))}%`;
      const bar = make("span", fill, { className: "bar" });
      const button = make("button", [make("span", each.name, { className: "name" }), bar, make("span", figure(each.score), { className: "number" })], { type: "button" });
      button.disabled = !own || Boolean(each.plain);
      button.setAttribute("aria-pressed", !each.plain && heatOf === place);
      button.addEventListener("click", () => {
        heatOf = heatOf === place ? null : place;
        render();
        at("scores").querySelectorAll("button")[place]?.focus();
      });
      return make("li", button);
    }));
    const what = trace.bySvm ? "Scores of the SVMs" : "Probabilities";
    const context = trace.before || trace.rescored ? " before context" : "";
    at("heat-text").textContent = !scores.length
      ? "The cascade dropped this region: no class was scored."
      : `${what}${context}. ${own ? "Choose a class to see where it is seen: warm speaks for it, cold against it." : ""}`;
  }

  // ---- search

  async function openLevel(place) {
    const opened = await Level.open(data.levels[place]);
    if (Number(at("level").value) !== place) return;
    level = opened;
    const names = Object.keys(level.merges), kept = at("similarity").value;
    at("similarity").replaceChildren(...names.map((name) => make("option", name, { value: name })));
    if (names.includes(kept)) at("similarity").value = kept;
    paintLevel();
    draw();
  }

  function paintLevel() {
    if (!level) return;
    const name = at("similarity").value, most = level.count(name);
    at("merges").max = most;
    const steps = Math.min(Number(at("merges").value), most);
    const left = most + 1 - steps;
    at("merges-value").textContent = `${steps} of ${most}: ${left} ${left === 1 ? "region" : "regions"} left`;
    levelBox = level.paint(name, steps);
  }

  // ---- the picture

  function layers() {
    const boxes = [];
    const put = (box, style, text = "", below = false) => boxes.push({ box, style, text, below });
    let overlay = null, heat = null;
    if (step === "search") {
      overlay = level?.canvas ?? null;
      if (levelBox) put(levelBox.map((share, side) => share * (side % 2 ? trace.height : trace.width)), "region");
    } else if (step === "proposals") {
      const rows = renderProposals();
      rows.slice(0, MOST_DRAWN).forEach(({ box }) => put(box, "faint"));
      if (rows.some(({ row }) => row === region)) put(boxAt(trace.boxes, region), "region", `${region + 1}`);
    } else if (step === "network") {
      const { own, side, paddings } = cropOf(region), box = boxAt(trace.boxes, region), warm = heats(region);
      if (warm) heat = { canvas: warm.at(-1), window: windowOf(box, side, paddings.at(-1)) };
      put(box, "region", own && heatOf !== null ? own.best[heatOf].name : "");
    } else if (step === "boxes") {
      const chosen = selection.detections[detection];
      const all = selection.detections.slice(0, MOST_DRAWN).map((each, place) => [each, place]);
      const shown = chosen ? [[chosen, detection]] : all;
      if (chosen) {
        lostTo(chosen.candidate).slice(0, 40).forEach((k) => put(boxAt(trace.moved, k), "lost"));
        put(boxAt(trace.boxes, trace.rows[chosen.candidate]), "region");
        const on = judged.on[detection];
        if (on >= 0) put(objects[on].box, "object");
      }
      for (const [each, place] of shown.reverse()) {
        const right = foundBy(place) >= 0 || !objects.length;
        put(each.box, right ? "right" : "wrong", `${trace.classes[each.column]} ${figure(each.score)}`);
      }
    } else {
      objects.forEach((thing, place) => {
        if (object >= 0 && place !== object) return;
        const verdict = judged.verdicts[place];
        if (object >= 0 && verdict.bestRegion >= 0 && verdict.kind !== "found") {
          put(boxAt(trace.boxes, verdict.region >= 0 ? verdict.region : verdict.bestRegion), "region");
        }
        if (object >= 0 && verdict.candidate >= 0 && verdict.kind !== "found") put(boxAt(trace.moved, verdict.candidate), "lost");
        if (object >= 0 && verdict.kind === "suppressed") {
          const by = selection.by[verdict.candidate];
          const rival = selection.detections.findIndex((each) => each.candidate === by);
          put(boxAt(trace.moved, by), foundBy(rival) >= 0 ? "right" : "wrong", `${thing.name} ${figure(trace.scores[by])}`);
        }
        if (verdict.detection >= 0) {
          const found = selection.detections[verdict.detection];
          put(found.box, "right", `${trace.classes[found.column]} ${figure(found.score)}`);
        }
        const missed = verdict.kind !== "found" && thing.counts;
        put(thing.box, thing.yours ? "yours" : "object", missed ? `${place + 1} missed` : "", true);
      });
    }
    if (drawn) put(drawn, "yours");
    return { overlay, heat, boxes };
  }

  function draw() {
    picture.draw(layers());
  }

  // ---- everything

  const PANELS = [...document.querySelectorAll('[role="tabpanel"]')].map((panel) => panel.id);

  function render() {
    for (const name of PANELS) {
      at(name).hidden = name !== step;
      const tab = at(`tab-${name}`);
      tab.setAttribute("aria-selected", name === step);
      tab.tabIndex = name === step ? 0 : -1;
    }
    const counted = judged.verdicts.filter((_, place) => objects[place].counts);
    const found = counted.filter((each) => each.kind === "found").length;
    const wrong = selection.detections.filter((_, place) => foundBy(place) < 0).length;
    const boxes = selection.detections.length;
    at("summary").textContent = objects.length
      ? `${found} of ${counted.length} found, ${wrong} false`
      : `${boxes} ${boxes === 1 ? "detection" : "detections"}`;
    at("score-value").textContent = figure(limits.minScore);
    at("iou-value").textContent = figure(limits.nmsIou);
    at("regions-value").textContent = `${limits.regions} of ${trace.scored}`;
    at("overlap-value").textContent = figure(Number(at("overlap").value));
    at("overlap").disabled = !drawn;
    at("drawn-tools").hidden = !drawn;
    at("drawn-text").textContent = drawn ? sizeText(drawn) : "";
    if (step === "objects") renderObjects();
    if (step === "boxes") renderBoxes();
    if (step === "network") renderNetwork();
    draw();
  }

  function update() {
    recompute();
    if (detection >= selection.detections.length) detection = -1;
    render();
  }

  let waiting = 0; // of the moves of a slider that come together the last one counts
  function updateSoon() {
    clearTimeout(waiting);
    waiting = setTimeout(update, 0);
  }

  function openStep(name) {
    step = name;
    if (name === "search" && !level) openLevel(0);
    render();
  }

  // The least score is set along a curve that gives the small probabilities room.
  const most = trace.bySvm && !trace.before && !trace.rescored
    ? trace.scores.reduce((top, value) => Math.max(top, value), trace.floor + 1)
    : 1;
  const bend = most === 1 && trace.floor >= 0 ? 3 : 1;
  const toScore = (share) => Math.max(trace.floor, Math.round((trace.floor + (most - trace.floor) * share ** bend) * 1e4) / 1e4);
  const toShare = (score) => ((score - trace.floor) / (most - trace.floor || 1)) ** (1 / bend);

  function setSliders() {
    Object.assign(at("score"), { min: 0, max: 1, value: toShare(limits.minScore) });
    at("iou").value = limits.nmsIou;
    Object.assign(at("regions"), { max: trace.scored, value: limits.regions, disabled: isCut });
    at("iou").disabled = settings.nms === "soft_gaussian";
  }

  at("score").addEventListener("input", (event) => { limits.minScore = toScore(Number(event.target.value)); updateSoon(); });
  at("iou").addEventListener("input", (event) => { limits.nmsIou = Number(event.target.value); updateSoon(); });
  at("regions").addEventListener("input", (event) => { limits.regions = Number(event.target.value); updateSoon(); });
  at("reset").addEventListener("click", () => { Object.assign(limits, data.limits); setSliders(); update(); });
  for (const id of ["rank-from", "rank-to", "side-from", "side-to", "overlap"]) at(id).addEventListener("input", render);
  at("rank-to").value = proposals;
  at("seen").addEventListener("change", (event) => { region = Number(event.target.value); heatOf = null; render(); });
  if (data.levels.length) {
    const places = data.levels.map((each, place) => make("option", `${each.colour}, k ${each.k}`, { value: place }));
    at("level").replaceChildren(...places);
    at("level").addEventListener("change", (event) => openLevel(Number(event.target.value)));
    for (const id of ["similarity", "merges"]) at(id).addEventListener("input", () => { paintLevel(); draw(); });
  }
  for (const name of PANELS) at(`tab-${name}`).addEventListener("click", () => openStep(name));
  at("drawn-class").replaceChildren(...trace.classes.map((name) => make("option", name, { value: name })));

  // ---- a box by hand

  const canvas = at("picture");
  let start = null;
  function setDrawn(box) {
    drawn = box;
    render();
  }
  function addDrawn() {
    if (!drawn) return;
    objects = [...objects, { name: at("drawn-class").value, box: drawn, counts: true, yours: true }];
    object = objects.length - 1;
    drawn = null;
    step = "objects";
    update();
  }
  const sorted = ([x1, y1], [x2, y2]) => [Math.min(x1, x2), Math.min(y1, y2), Math.max(x1, x2), Math.max(y1, y2)];
  const isDrawing = () => at("draw").getAttribute("aria-pressed") === "true";
  function chooseAt([x, y]) {
    const inside = (box) => box[0] <= x && x <= box[2] && box[1] <= y && y <= box[3];
    const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
    const smallest = (boxes) => boxes.map((box, place) => [box, place]).filter(([box]) => box && inside(box))
      .sort((a, b) => area(a[0]) - area(b[0]))[0]?.[1] ?? -1;
    if (step === "objects") object = smallest(objects.map((each) => each.box));
    if (step === "boxes") detection = smallest(selection.detections.map((each) => each.box));
    if (step === "proposals") {
      const rows = filteredRegions(), place = smallest(rows.map((each) => each.box));
      if (place >= 0) region = rows[place].row;
    }
    render();
  }
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button || (event.pointerType === "touch" && !isDrawing())) return;
    start = picture.point(event);
    canvas.setPointerCapture(event.pointerId);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!start) return;
    const box = sorted(start, picture.point(event));
    if (box[2] - box[0] > 2 && box[3] - box[1] > 2) setDrawn(box);
  });
  canvas.addEventListener("pointerup", (event) => {
    if (!start) return;
    const box = sorted(start, picture.point(event));
    if (box[2] - box[0] <= 4 && box[3] - box[1] <= 4) chooseAt(start);
    start = null;
  });
  canvas.addEventListener("pointercancel", () => { start = null; });
  canvas.addEventListener("click", (event) => {
    if (event.pointerType === "touch" && !isDrawing()) chooseAt(picture.point(event));
  });
  at("draw").addEventListener("click", () => {
    at("draw").setAttribute("aria-pressed", !isDrawing());
    canvas.classList.toggle("drawing", isDrawing());
  });
  at("drawn-add").addEventListener("click", addDrawn);
  at("drawn-clear").addEventListener("click", () => setDrawn(null));

  const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  canvas.addEventListener("keydown", (event) => {
    const move = ARROWS[event.key], pace = Math.max(trace.width, trace.height) / 100;
    if (event.key === "Enter") {
      if (drawn) addDrawn();
      else setDrawn([0.375 * trace.width, 0.375 * trace.height, 0.625 * trace.width, 0.625 * trace.height]);
    } else if (event.key === "Escape") setDrawn(null);
    else if (move && drawn) {
      const [x, y] = move.map((each) => each * pace), [x1, y1, x2, y2] = drawn;
      const box = event.shiftKey ? [x1, y1, x2 + x, y2 + y] : [x1 + x, y1 + y, x2 + x, y2 + y];
      const fits = box[0] >= 0 && box[1] >= 0 && box[2] <= trace.width && box[3] <= trace.height;
      if (fits && box[2] - box[0] > 2 && box[3] - box[1] > 2) setDrawn(box);
    } else return;
    event.preventDefault();
  });
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
    const tabs = PANELS, place = Number(event.key) - 1;
    if (tabs[place]) {
      openStep(tabs[place]);
      at(`tab-${tabs[place]}`).focus();
    } else if (event.target.matches('[role="tab"]') && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
      const next = tabs[(tabs.indexOf(step) + (event.key === "ArrowRight" ? 1 : tabs.length - 1)) % tabs.length];
      openStep(next);
      at(`tab-${next}`).focus();
    } else if (event.target.closest(".list") && ["ArrowUp", "ArrowDown"].includes(event.key)) {
      const buttons = [...event.target.closest(".list").querySelectorAll("li > button")];
      const here = buttons.findIndex((button) => button.closest("li") === event.target.closest("li"));
      buttons[here + (event.key === "ArrowDown" ? 1 : -1)]?.focus();
    } else return;
    event.preventDefault();
  });
  addEventListener("resize", () => { picture.fit(); draw(); });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", render);

  // An address may end with a step and what is chosen in it: #objects-2, #boxes-1, #network-17-1 (a region, a class).
  const [asked, number, evidence] = location.hash.slice(1).split("-");
  const place = Number(number) - 1;
  if (PANELS.includes(asked)) step = asked;
  if (objects[place]) object = place;
  if (place >= 0 && step === "boxes") detection = place;
  if (trace.rounds[place] === 0 && (step === "network" || step === "proposals")) region = place;
  if (seen.get(region)?.best[Number(evidence) - 1]) heatOf = Number(evidence) - 1;

  // The sentences of the numbers as they were detected are those of the library.
  setSliders();
  picture.fit();
  recompute();
  if (!selection.detections[detection]) detection = -1;
  const differ = data.verdicts.some((text, place) => judged.verdicts[place].text !== text);
  if (differ) console.error("the page's sentences differ from the library's");
  openStep(step);
  document.documentElement.dataset.ready = "yes";
})();

// The page: sliders, steps, lists and the pointer. Numbers come from Explain, words from explainTexts, what is drawn
// from explainLayers and ExplainView.
(async () => {
  const { unpack, unpackTrace, loadImage, boxAt, Picture, Level, heatCanvas, windowOf, drawCrop } = ExplainView;
  const { figure } = Explain;
  const at = (id) => document.getElementById(id);
  const data = JSON.parse(at("explain-data").textContent);
  const trace = unpackTrace(data.trace);
  const { settings } = data;
  const proposals = Explain.proposalsOf(trace);
  const isCut = trace.rounds.some((round) => round > 0); // later rounds are of all regions
  const texts = explainTexts(trace, settings);
  const { bestOf, counted, detectionText, iouOf, regionName, scoreText, sizeText } = texts;
  const boxesOf = explainLayers(trace, texts);
  const withEvidence = (each) => ({ ...each, evidence: unpack(each.evidence, Float32Array) });
  const seen = new Map(data.seen.map((each) => [each.region, withEvidence(each)]));
  const picture = new Picture(at("picture"), await loadImage(data.picture), trace.width, trace.height);
  const cropImages = new Map();
  const MOST_LISTED = 400, MOST_REGIONS = 60; // entries of a list

  const limits = { ...data.limits };
  const given = data.objects.map((each) => ({ ...each, yours: false }));
  let objects = given;
  let drawn = null; // a box of the user's
  let step = "objects", object = -1, detection = -1, region = data.seen.length ? data.seen[0].region : 0;
  let level = null, levelBox = null, heatOf = null;
  let selection, judged;

  const make = (tag, parts = [], facts = {}) => {
    const made = Object.assign(document.createElement(tag), facts);
    made.append(...[parts].flat());
    return made;
  };
  const choose = (change) => (place) => {
    change(place);
    render();
  };

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

  // `choose` gets the place of the entry that is pressed, -1 to close it; `more` is shown under the chosen one.
  function fillList(list, entries, chosen, choose, more) {
    const hadFocus = list.contains(document.activeElement);
    const items = entries.slice(0, MOST_LISTED).map(({ place, parts }) => {
      const button = make("button", parts, { type: "button" });
      button.setAttribute("aria-expanded", place === chosen);
      button.addEventListener("click", () => choose(place === chosen ? -1 : place));
      return make("li", place === chosen ? [button, make("div", more(place), { className: "more" })] : [button]);
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
      const best = `Best region: number ${verdict.bestRegion + 1}, IoU ${figure(verdict.bestIou)}`;
      const rank = make("span", verdict.bestRegion < 0 ? "" : best, { className: "under" });
      const name = make("strong", thing.yours ? `${thing.name} (yours)` : thing.name);
      const sign = thing.counts ? mark(verdict.kind === "found") : make("span", "·", { className: "mark" });
      return { place, parts: [sign, name, " ", verdict.text, make("br"), rank] };
    });
    fillList(at("objects-list"), entries, object, choose((place) => { object = place; }), (place) => {
      const verdict = judged.verdicts[place], parts = [make("p", `Box ${sizeText(objects[place].box)}`)];
      if (verdict.bestRegion >= 0) {
        parts.push(toNetwork(verdict.bestRegion, "What the network saw of its best region"));
      }
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
    at("boxes-text").textContent = texts.selectionText(selection);
    const entries = selection.detections.map((found, place) => {
      const on = foundBy(place), other = judged.on[place];
      const late = other >= 0 ? `on object ${other + 1}, found already` : "on no object";
      const where = make("span", on >= 0 ? ` on object ${on + 1}` : ` ${late}`, { className: "under" });
      const name = make("strong", detectionText(found));
      return { place, parts: objects.length ? [mark(on >= 0), name, where] : [name] };
    });
    fillList(at("boxes-list"), entries, detection, choose((place) => { detection = place; }), (place) => {
      const found = selection.detections[place], on = judged.on[place];
      const lines = texts.detectionLines(selection, found, objects[on]?.box, on + 1);
      return [...lines.map((text) => make("p", text)), toNetwork(trace.rows[found.candidate], "What the network saw")];
    });
  }

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
    const hint = "draw a box on the picture to look for regions on it";
    const order = drawn ? ", those that overlap your box most first" : `; ${hint}`;
    at("proposals-text").textContent = `${rows.length} of ${proposals} regions${order}.`;
    const entries = rows.slice(0, MOST_REGIONS).map(({ row, box, overlap }) => {
      const [best] = bestOf(row), how = drawn ? `, IoU ${figure(overlap)}` : "";
      const told = make("span", best ? scoreText(best) : "dropped by the cascade", { className: "under" });
      return { place: row, parts: [make("strong", `${row + 1}`), ` ${sizeText(box)}${how} `, told] };
    });
    const change = (row) => {
      region = row < 0 ? region : row;
      heatOf = null;
    };
    fillList(at("proposals-list"), entries, region, choose(change), (row) => [toNetwork(row, "What the network saw")]);
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

  const scoresOf = (row) => seen.get(row)?.best ?? bestOf(row);

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
    const row = region, { own, side, paddings } = cropOf(row), scores = scoresOf(row);
    renderChoice(row);
    if (own && !cropImages.has(row)) cropImages.set(row, await Promise.all(own.crops.map(loadImage)));
    if (row !== region) return;
    const box = boxAt(trace.boxes, row), warm = heats(row), scale = trace.width / picture.image.width;
    at("crops").replaceChildren(...paddings.map((padding, crop) => {
      const canvas = make("canvas", [], { ariaLabel: `Crop of ${regionName(row)}` });
      canvas.setAttribute("role", "img");
      const window = windowOf(box, side, padding);
      const shown = own ? { image: cropImages.get(row)[crop] } : { window, picture: picture.image, scale };
      drawCrop(canvas, shown, { side, padding, heat: warm?.[crop] });
      return canvas;
    }));
    const context = `${side} × ${side} pixels with ${paddings.join(" and ")} of context around the dotted line`;
    at("crops-text").textContent = own
      ? `As the network gets it, ${context}.`
      : "Drawn by this page: crops are kept as the network got them of detections and regions of known objects alone.";
    at("scores").replaceChildren(...bars(row, scores, Boolean(own)));
    const what = trace.bySvm ? "Scores of the SVMs" : "Probabilities";
    const when = trace.before || trace.rescored ? " before context" : "";
    const hint = own ? "Choose a class to see where it is seen: warm speaks for it, cold against it." : "";
    at("heat-text").textContent = scores.length
      ? `${what}${when}. ${hint}`
      : "The cascade dropped this region: no class was scored.";
  }

  function renderChoice(row) {
    const known = [...new Set([...seen.keys(), row])].sort((a, b) => a - b);
    at("seen").replaceChildren(...known.map((each) => {
      const name = regionName(each), [best] = scoresOf(each);
      const text = `${name[0].toUpperCase()}${name.slice(1)}${best ? `: ${scoreText(best)}` : ""}`;
      return make("option", text, { value: each });
    }));
    at("seen").value = row;
  }

  // The classes of a region with their scores; those whose evidence is there can be chosen.
  function bars(row, scores, hasEvidence) {
    const strongest = trace.bySvm ? Math.max(...scores.map((each) => Math.abs(each.score)), 1e-9) : 1;
    const shown = scores.map((each) => ({ ...each, isClass: true }));
    if (!trace.bySvm && scores.length) shown.push({ name: "background", score: trace.background[row] });
    return shown.map(({ name, score, isClass }, place) => {
      const fill = make("i");
      fill.style.width = `${Math.max(0, Math.min(100, (100 * score) / strongest))}%`;
      const parts = [
        make("span", name, { className: "name" }),
        make("span", fill, { className: "bar" }),
        make("span", figure(score), { className: "number" }),
      ];
      const button = make("button", parts, { type: "button", disabled: !(hasEvidence && isClass) });
      button.setAttribute("aria-pressed", Boolean(isClass) && heatOf === place);
      button.addEventListener("click", () => {
        heatOf = heatOf === place ? null : place;
        render();
        at("scores").querySelectorAll("button")[place]?.focus();
      });
      return make("li", button);
    });
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
    const left = counted(most + 1 - steps, "region", "regions");
    at("merges-value").textContent = `${steps} of ${most}: ${left} left`;
    levelBox = level.paint(name, steps);
  }

  // ---- the picture

  function draw() {
    const state = { step, region, object, detection, objects, drawn, selection, judged, foundBy, levelBox };
    const rows = step === "proposals" ? filteredRegions() : [];
    const { own, side, paddings } = cropOf(region), warm = step === "network" ? heats(region) : null;
    const window = windowOf(boxAt(trace.boxes, region), side, paddings.at(-1));
    picture.draw({
      overlay: step === "search" ? level?.canvas : null,
      heat: warm && { canvas: warm.at(-1), window },
      boxes: boxesOf({ ...state, rows, heatName: warm ? own.best[heatOf].name : "" }),
    });
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
    const asked = judged.verdicts.filter((_, place) => objects[place].counts);
    const found = asked.filter((each) => each.kind === "found").length;
    const wrong = selection.detections.filter((_, place) => foundBy(place) < 0).length;
    at("summary").textContent = objects.length
      ? `${found} of ${asked.length} found, ${wrong} false`
      : counted(selection.detections.length, "detection", "detections");
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
    if (step === "proposals") renderProposals();
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
  const spread = most - trace.floor;
  const toScore = (share) => Math.max(trace.floor, Math.round((trace.floor + spread * share ** bend) * 1e4) / 1e4);
  const toShare = (score) => ((score - trace.floor) / (spread || 1)) ** (1 / bend);

  function setSliders() {
    Object.assign(at("score"), { min: 0, max: 1, value: toShare(limits.minScore) });
    at("iou").value = limits.nmsIou;
    Object.assign(at("regions"), { max: trace.scored, value: limits.regions, disabled: isCut });
    at("iou").disabled = settings.nms === "soft_gaussian";
  }

  const onInput = (id, change) => at(id).addEventListener("input", (event) => change(Number(event.target.value)));
  const limit = (name, read = (value) => value) => (value) => {
    limits[name] = read(value);
    updateSoon();
  };
  onInput("score", limit("minScore", toScore));
  onInput("iou", limit("nmsIou"));
  onInput("regions", limit("regions"));
  at("reset").addEventListener("click", () => {
    Object.assign(limits, data.limits);
    setSliders();
    update();
  });
  for (const id of ["rank-from", "rank-to", "side-from", "side-to", "overlap"]) onInput(id, render);
  at("rank-to").value = proposals;
  at("seen").addEventListener("change", (event) => {
    region = Number(event.target.value);
    heatOf = null;
    render();
  });
  if (data.levels.length) {
    const places = data.levels.map((each, place) => make("option", `${each.colour}, k ${each.k}`, { value: place }));
    at("level").replaceChildren(...places);
    at("level").addEventListener("change", (event) => openLevel(Number(event.target.value)));
    for (const id of ["similarity", "merges"]) {
      onInput(id, () => {
        paintLevel();
        draw();
      });
    }
  }
  for (const name of PANELS) at(`tab-${name}`).addEventListener("click", () => openStep(name));
  at("drawn-class").replaceChildren(...trace.classes.map((name) => make("option", name, { value: name })));

  // ---- a box by hand

  function setDrawn(box) {
    drawn = box;
    render();
  }

  function addDrawn() {
    objects = [...objects, { name: at("drawn-class").value, box: drawn, counts: true, yours: true }];
    object = objects.length - 1;
    drawn = null;
    step = "objects";
    update();
  }

  // What a click means: the smallest of the step's boxes at that point.
  function chooseAt([x, y]) {
    const isInside = (box) => box[0] <= x && x <= box[2] && box[1] <= y && y <= box[3];
    const area = (box) => (box[2] - box[0]) * (box[3] - box[1]);
    const smallest = (boxes) => boxes.map((box, place) => [box, place]).filter(([box]) => isInside(box))
      .sort((one, other) => area(one[0]) - area(other[0]))[0]?.[1] ?? -1;
    const rows = filteredRegions();
    if (step === "objects") object = smallest(objects.map((each) => each.box));
    if (step === "boxes") detection = smallest(selection.detections.map((each) => each.box));
    if (step === "proposals") region = rows[smallest(rows.map((each) => each.box))]?.row ?? region;
    render();
  }

  const draws = at("draw");
  const isDrawing = () => draws.getAttribute("aria-pressed") === "true";
  draws.addEventListener("click", () => {
    draws.setAttribute("aria-pressed", !isDrawing());
    at("picture").classList.toggle("drawing", isDrawing());
  });
  at("drawn-add").addEventListener("click", addDrawn);
  at("drawn-clear").addEventListener("click", () => setDrawn(null));
  explainInput(picture, { drawn: () => drawn, isDrawing, setDrawn, addDrawn, chooseAt });

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

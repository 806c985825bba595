// What is drawn: the picture with boxes, the contours of merged superpixels, crops and where a class is seen.
const ExplainView = (() => {
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

  function unpack(text, Type) {
    if (text === null) return null;
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    return new Type(bytes.buffer);
  }

  const FIELDS = {
    boxes: Float32Array, rounds: Uint8Array, cascade: Float32Array, background: Float32Array,
    topLabels: Uint32Array, topScores: Float32Array, rows: Uint32Array, columns: Uint32Array,
    scores: Float32Array, moved: Float32Array, before: Float32Array, rescored: Float32Array,
  };

  function unpackTrace(packed) {
    const trace = { ...packed };
    for (const [name, Type] of Object.entries(FIELDS)) trace[name] = unpack(packed[name], Type);
    return trace;
  }

  async function loadImage(address) {
    const image = new Image();
    image.src = address;
    await image.decode();
    return image;
  }

  // Box `i` of flat boxes as four numbers.
  const boxAt = (boxes, i) => [...boxes.subarray(4 * i, 4 * i + 4)];

  const STYLES = {
    right: { width: 3 }, wrong: { width: 3 }, region: { width: 2.5, dash: [3, 3] }, lost: { width: 1.5 },
    object: { width: 2, dash: [7, 6] }, yours: { width: 2.5 }, faint: { width: 1 },
  };

  // The picture at the size that its place has; `draw` takes what lies on it, each in pixels of the image file.
  class Picture {
    constructor(canvas, image, width, height) {
      Object.assign(this, { canvas, image, width, height, scale: 1 });
    }

    fit() {
      const isNarrow = matchMedia("(max-width: 900px)").matches; // the picture stays while lists are scrolled
      const place = this.canvas.closest(isNarrow ? ".bench" : ".stage").clientWidth;
      const share = isNarrow ? 0.42 : 0.76;
      const scale = Math.min(place / this.width, Math.max(share * innerHeight, 200) / this.height);
      const density = Math.min(devicePixelRatio || 1, 2);
      this.canvas.style.width = `${Math.round(scale * this.width)}px`;
      this.canvas.width = Math.max(1, Math.round(scale * this.width * density));
      this.canvas.height = Math.max(1, Math.round(scale * this.height * density));
      this.canvas.style.aspectRatio = `${this.canvas.width} / ${this.canvas.height}`;
      this.scale = this.canvas.width / this.width;
      this.unit = density;
    }

    // Where a pointer is, in pixels of the image file.
    point(event) {
      const { left, top, width } = this.canvas.getBoundingClientRect();
      const factor = this.width / width;
      const inside = (value, most) => Math.min(Math.max(value, 0), most);
      return [inside((event.clientX - left) * factor, this.width), inside((event.clientY - top) * factor, this.height)];
    }

    draw({ overlay = null, heat = null, boxes = [] }) {
      const pen = this.canvas.getContext("2d");
      pen.setTransform(1, 0, 0, 1, 0, 0);
      pen.imageSmoothingEnabled = true;
      pen.drawImage(this.image, 0, 0, this.canvas.width, this.canvas.height);
      if (overlay) {
        pen.imageSmoothingEnabled = false;
        pen.drawImage(overlay, 0, 0, this.canvas.width, this.canvas.height);
        pen.imageSmoothingEnabled = true;
      }
      if (heat) {
        const [x1, y1, x2, y2] = heat.window.map((value) => value * this.scale);
        pen.drawImage(heat.canvas, x1, y1, x2 - x1, y2 - y1);
      }
      for (const each of boxes) this.outline(pen, each);
      for (const each of boxes) if (each.text) this.plate(pen, each);
    }

    outline(pen, { box, style, colour: own }) {
      const { width, dash = [] } = STYLES[style];
      const [x1, y1, x2, y2] = box.map((value) => value * this.scale);
      pen.lineWidth = (width + 2) * this.unit;
      pen.strokeStyle = style === "object" ? "rgb(20 20 24 / 0.85)" : "rgb(255 255 255 / 0.6)";
      if (style !== "faint") pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
      pen.setLineDash(dash.map((each) => each * this.unit));
      pen.lineWidth = width * this.unit;
      pen.strokeStyle = style === "object" ? "#fff" : own ?? colour(style === "faint" ? "region" : style);
      pen.strokeRect(x1, y1, x2 - x1, y2 - y1);
      pen.setLineDash([]);
    }

    plate(pen, { box, style, text, below = false }) {
      const size = 12 * this.unit;
      pen.font = `600 ${size}px system-ui, sans-serif`;
      const long = pen.measureText(text).width + 8 * this.unit, high = size + 6 * this.unit;
      const x = Math.min(Math.max(box[0] * this.scale, 0), Math.max(this.canvas.width - long, 0));
      const wanted = below ? box[3] * this.scale - high : box[1] * this.scale - high;
      const y = Math.min(Math.max(wanted, 0), this.canvas.height - high);
      pen.fillStyle = style === "object" ? "#18181b" : colour(style);
      pen.fillRect(x, y, long, high);
      pen.fillStyle = style !== "object" && matchMedia("(prefers-color-scheme: dark)").matches ? "#101216" : "#fff";
      pen.textBaseline = "middle";
      pen.fillText(text, x + 4 * this.unit, y + high / 2);
    }
  }

  // The superpixels of one segmentation, and what they are after some merges.
  class Level {
    static async open({ colour: space, k, labels, parts }) {
      const image = await loadImage(labels);
      const canvas = document.createElement("canvas");
      [canvas.width, canvas.height] = [image.width, image.height];
      const pen = canvas.getContext("2d", { willReadFrequently: true });
      pen.drawImage(image, 0, 0);
      const pixels = pen.getImageData(0, 0, image.width, image.height).data;
      const numbers = new Uint32Array(image.width * image.height);
      for (let i = 0; i < numbers.length; i++) {
        numbers[i] = pixels[4 * i] | (pixels[4 * i + 1] << 8) | (pixels[4 * i + 2] << 16);
      }
      const level = new Level();
      const merges = Object.fromEntries(Object.entries(parts).map(([name, text]) => [name, unpack(text, Uint32Array)]));
      return Object.assign(level, { space, k, width: image.width, height: image.height, numbers, merges, canvas });
    }

    // How often regions merge until one is left.
    count(similarity) {
      return this.merges[similarity].length / 2;
    }

    // Contours after `steps` merges, the last merged region tinted; its box in shares of the image.
    paint(similarity, steps) {
      const merges = this.merges[similarity], singles = merges.length / 2 + 1;
      const root = Uint32Array.from({ length: singles + steps }, (_, place) => place);
      for (let i = steps - 1; i >= 0; i--) {
        root[merges[2 * i]] = root[singles + i];
        root[merges[2 * i + 1]] = root[singles + i];
      }
      const last = steps ? root[singles + steps - 1] : -1;
      const pen = this.canvas.getContext("2d");
      const shown = pen.createImageData(this.width, this.height);
      const box = [this.width, this.height, 0, 0];
      for (let y = 0, i = 0; y < this.height; y++) {
        for (let x = 0; x < this.width; x++, i++) {
          const own = root[this.numbers[i]];
          const edge = (x + 1 < this.width && root[this.numbers[i + 1]] !== own) ||
            (y + 1 < this.height && root[this.numbers[i + this.width]] !== own);
          if (edge) shown.data.set([255, 230, 60, 235], 4 * i);
          else if (own === last) shown.data.set([160, 70, 220, 105], 4 * i);
          if (own === last) {
            box[0] = Math.min(box[0], x);
            box[1] = Math.min(box[1], y);
            box[2] = Math.max(box[2], x + 1);
            box[3] = Math.max(box[3], y + 1);
          }
        }
      }
      pen.putImageData(shown, 0, 0);
      const sides = [this.width, this.height, this.width, this.height];
      return last < 0 ? null : box.map((value, side) => value / sides[side]);
    }
  }

  // Where a class is seen, a pixel a cell: warm what speaks for it, cold what speaks against it.
  function heatCanvas(values, columns, rows, strongest) {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [columns, rows];
    const shown = new ImageData(columns, rows);
    values.forEach((value, i) => {
      const share = strongest > 0 ? value / strongest : 0;
      shown.data.set([...(share > 0 ? [255, 90, 0] : [0, 110, 255]), Math.round(190 * Math.abs(share))], 4 * i);
    });
    canvas.getContext("2d").putImageData(shown, 0, 0);
    return canvas;
  }

  // The part of the image that a crop shows: its box with `padding` pixels of context in a crop of `side`.
  function windowOf(box, side, padding) {
    const factor = side / (side - 2 * padding);
    const [x1, y1, x2, y2] = box;
    const width = (x2 - x1) * factor, height = (y2 - y1) * factor, x = (x1 + x2) / 2, y = (y1 + y2) / 2;
    return [x - width / 2, y - height / 2, x + width / 2, y + height / 2];
  }

  // A crop with the region's own edge in it, and perhaps where a class is seen: of an image as the network got it,
  // or of a window of the picture, of which a pixel is `scale` of the image file's.
  function drawCrop(canvas, crop, { side, padding, heat }) {
    const density = Math.min(devicePixelRatio || 1, 2);
    canvas.width = canvas.height = Math.round(224 * density);
    const pen = canvas.getContext("2d"), whole = canvas.width;
    if (crop.image) pen.drawImage(crop.image, 0, 0, whole, whole);
    else {
      const [x1, y1, x2, y2] = crop.window, { picture, scale } = crop;
      const factors = [whole / (x2 - x1), whole / (y2 - y1)];
      pen.setTransform(factors[0] * scale, 0, 0, factors[1] * scale, -x1 * factors[0], -y1 * factors[1]);
      pen.drawImage(picture, 0, 0);
      pen.setTransform(1, 0, 0, 1, 0, 0);
    }
    if (heat) {
      pen.imageSmoothingQuality = "high";
      pen.drawImage(heat, 0, 0, whole, whole);
    }
    const inset = (padding / side) * whole;
    pen.setLineDash([2 * density, 4 * density]);
    pen.lineWidth = 1.5 * density;
    pen.strokeStyle = "#fff";
    pen.strokeRect(inset, inset, whole - 2 * inset, whole - 2 * inset);
  }

  return { colour, unpack, unpackTrace, loadImage, boxAt, Picture, Level, heatCanvas, windowOf, drawCrop };
})();

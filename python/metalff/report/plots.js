// Small plots as SVG: axes, lines, points, bars, densities, atoms. Nothing here knows what is drawn.
"use strict";
const Plots = (() => {
  const SVG = "http://www.w3.org/2000/svg", INK = "#2b333b", SOFT = "#5a646e", LINE = "#c4cbd2";
  const el = (name, attributes = {}, ...children) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) if (value !== undefined && value !== null) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const numbers = (series) => {
    if (!series) return [];
    const raw = bytes(series.data), view = new DataView(raw.buffer), span = series.high - series.low;
    return Array.from({ length: raw.length / 2 }, (_, k) => view.getUint16(2 * k, true)).map((v) => (v === 65535 ? NaN : series.low + (span * v) / 65534));
  };
  const evenly = ([low, high], count) => Array.from({ length: count }, (_, k) => low + ((high - low) * k) / Math.max(1, count - 1));
  const short = (x) => {
    if (x === null || x === undefined || !isFinite(x)) return "–";
    if (x === 0) return "0";
    const size = Math.abs(x), places = Math.max(0, 2 - Math.floor(Math.log10(size) + 1e-12));
    const text = size >= 1e7 || size < 1e-5 ? x.toExponential(1) : Number(x.toPrecision(3)).toLocaleString("en-US", { minimumFractionDigits: Math.min(places, 8), maximumFractionDigits: Math.min(places, 8) });
    return text.replace("-", "−");
  };
  const tick = (x) => {
    const size = Math.abs(x), of = size >= 1e6 ? [1e6, " M"] : size >= 1e4 ? [1e3, " k"] : [1, ""];
    return String(Number((x / of[0]).toPrecision(4))).replace("-", "−") + of[1];
  };
  const ticks = (low, high, count) => {
    const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step);
    return found;
  };
  const decades = (low, high) => {
    const found = [];
    for (const marks of [[1, 2, 5], [1]]) {
      found.length = 0;
      for (let p = Math.floor(Math.log10(low)); p <= Math.ceil(Math.log10(high)); p++) for (const m of marks) if (m * 10 ** p >= low * 0.999 && m * 10 ** p <= high * 1.001) found.push(m * 10 ** p);
      if (found.length <= 6) break;
    }
    return found;
  };
  const range = (values, { log = false, zero = false, room = 0.04 } = {}) => {
    const known = values.filter((v) => isFinite(v) && (!log || v > 0));
    if (!known.length) return log ? [1, 10] : [0, 1];
    let low = known.reduce((a, b) => Math.min(a, b)), high = known.reduce((a, b) => Math.max(a, b));
    if (log) return low === high ? [low / 2, high * 2] : [low / (high / low) ** room, high * (high / low) ** room];
    if (zero) [low, high] = [Math.min(0, low), Math.max(0, high)];
    if (low === high) [low, high] = [low - 0.5 * Math.abs(low || 1), high + 0.5 * Math.abs(high || 1)];
    const extra = room * (high - low);
    return [zero && low === 0 ? 0 : low - extra, zero && high === 0 ? 0 : high + extra];
  };

  // A frame with axes; gives the elements to draw into and the scales. Below it there is room for `below` more pixels.
  const frame = ({ label, x, y, xLabel = "", yLabel = "", width = 300, height = 210, xLog = false, yLog = false, xTicks, below = 0, left = 50, square = false }) => {
    const top = 8, right = 10, bottom = 36;
    const inner = { x: left, y: top, w: width - left - right, h: height - top - bottom };
    if (square) inner.h = inner.w;
    const total = top + inner.h + bottom + below;
    const root = el("svg", { viewBox: `0 0 ${width} ${total}`, role: "img", "aria-label": label, style: `max-width:${width}px` });
    root.append(el("title", {}, label));
    const scale = ([low, high], log, from, to) => (log ? (v) => from + ((Math.log(v / low) / Math.log(high / low)) * (to - from)) : (v) => from + ((v - low) / (high - low)) * (to - from));
    const X = scale(x, xLog, inner.x, inner.x + inner.w), Y = scale(y, yLog, inner.y + inner.h, inner.y);
    const words = { "font-size": 11, fill: SOFT };
    for (const v of yLog ? decades(...y) : ticks(...y, inner.h < 80 ? 2 : 4)) {
      root.append(el("line", { x1: inner.x, x2: inner.x + inner.w, y1: Y(v), y2: Y(v), stroke: "#dfe3e7", "stroke-width": 0.5 }));
      root.append(el("text", { x: inner.x - 5, y: Y(v) + 3.7, "text-anchor": "end", ...words }, tick(v)));
    }
    const base = top + inner.h + below;
    for (const v of xTicks ? xTicks.map((t) => t[0]) : xLog ? decades(...x) : ticks(...x, 5)) {
      root.append(el("line", { x1: X(v), x2: X(v), y1: xTicks && x[1] !== xTicks.length ? top : base, y2: base + 3.5, stroke: SOFT, "stroke-width": xTicks ? 0.5 : 0.8 }));
      root.append(el("text", { x: X(v) > width - 18 && !xTicks ? width - 1 : X(v), y: base + 14.5, "text-anchor": X(v) > width - 18 && !xTicks ? "end" : "middle", ...words }, xTicks ? xTicks.find((t) => t[0] === v)[1] : tick(v)));
    }
    root.append(el("line", { x1: inner.x, x2: inner.x + inner.w, y1: base, y2: base, stroke: SOFT, "stroke-width": 0.8 }));
    root.append(el("text", { x: inner.x + inner.w / 2, y: base + 30, "text-anchor": "middle", "font-size": 11, fill: INK }, xLabel));
    root.append(el("text", { transform: `translate(10 ${top + inner.h / 2}) rotate(-90)`, "text-anchor": "middle", "font-size": 11, fill: INK }, yLabel));
    return { root, X, Y, inner, base };
  };

  const path = (xs, ys, X, Y, clip) => {
    let pen = false, text = "";
    xs.forEach((x, k) => {
      const px = X(x), py = Y(ys[k]);
      if (!isFinite(px) || !isFinite(py)) { pen = false; return; }
      text += `${pen ? "L" : "M"}${px.toFixed(1)} ${Math.min(Math.max(py, clip[0]), clip[1]).toFixed(1)}`;
      pen = true;
    });
    return text;
  };
  const MARKS = {
    circle: (r) => `M${-r} 0a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0z`,
    square: (r) => `M${-r * 0.88} ${-r * 0.88}h${1.76 * r}v${1.76 * r}h${-1.76 * r}z`,
    triangle: (r) => `M0 ${-1.15 * r}L${1.1 * r} ${0.8 * r}H${-1.1 * r}z`,
    diamond: (r) => `M0 ${-1.25 * r}L${1.1 * r} 0L0 ${1.25 * r}L${-1.1 * r} 0z`,
    down: (r) => `M0 ${1.15 * r}L${1.1 * r} ${-0.8 * r}H${-1.1 * r}z`,
    cross: (r) => `M${-r} ${-r * 0.4}h${0.6 * r}v${-0.6 * r}h${0.8 * r}v${0.6 * r}h${0.6 * r}v${0.8 * r}h${-0.6 * r}v${0.6 * r}h${-0.8 * r}v${-0.6 * r}h${-0.6 * r}z`,
  };
  const mark = (shape, x, y, r, attributes) => el("path", { d: MARKS[shape](r), transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`, ...attributes });

  // Lines: series are {x, y, colour, dash, marker, name}; `bands` {x: [from, to], colour} lie behind them; `uprights` and `rows` are values of x and
  // of y with a name, {value, name}; `reference` (a number of a series) adds a panel of differences from it below.
  const lines = ({ series, level, zero = false, reference, bands = [], uprights = [], rows = [], ...options }) => {
    const gap = 52, more = reference === undefined || series.length < 2 ? 0 : gap + 12;
    const x = options.x || range(series.flatMap((s) => s.x), { log: options.xLog, room: 0.015 });
    const y = options.y || range([...series.flatMap((s) => s.y), ...(level === undefined ? [] : [level])], { log: options.yLog, zero });
    const made = frame({ ...options, x, y, below: more });
    const { root, X, Y, inner } = made, clip = [inner.y, inner.y + inner.h];
    if (level !== undefined) root.append(el("line", { x1: inner.x, x2: inner.x + inner.w, y1: Y(level), y2: Y(level), stroke: SOFT, "stroke-width": 0.8 }));
    for (const b of bands) {
      const [from, to] = b.x.map(X).sort((p, q) => p - q);
      root.append(el("rect", { x: from, y: inner.y, width: Math.max(1, to - from), height: inner.h, fill: b.colour, "fill-opacity": 0.16 }));
    }
    const named = { "font-size": 10.5, fill: SOFT, stroke: "#fff", "stroke-width": 3, "paint-order": "stroke" }, thin = { stroke: SOFT, "stroke-width": 1, "stroke-dasharray": "4 3" };
    const last = []; // above the curves
    for (const v of uprights) {
      const right = X(v.value) > inner.x + inner.w / 2;
      root.append(el("line", { x1: X(v.value), x2: X(v.value), y1: inner.y, y2: inner.y + inner.h, ...thin }));
      last.push(el("text", { x: X(v.value) + (right ? -4 : 4), y: inner.y + inner.h - 5, "text-anchor": right ? "end" : "start", ...named }, v.name));
    }
    for (const v of rows) {
      root.append(el("line", { x1: inner.x, x2: inner.x + inner.w, y1: Y(v.value), y2: Y(v.value), ...thin }));
      last.push(el("text", { x: inner.x + inner.w - 4, y: Y(v.value) < inner.y + 16 ? Y(v.value) + 12 : Y(v.value) - 4, "text-anchor": "end", ...named }, v.name));
    }
    const stroke = (s) => ({ fill: "none", stroke: s.colour, "stroke-width": s.wide || 1.6, "stroke-dasharray": s.dash || undefined, "stroke-linejoin": "round" });
    for (const s of [...series].reverse()) {
      root.append(el("path", { d: path(s.x, s.y, X, Y, clip), ...stroke(s) }, el("title", {}, s.name || "")));
      if (s.x.length < 14 && s.marker) s.x.forEach((v, k) => isFinite(s.y[k]) && root.append(mark(s.marker, X(v), Y(s.y[k]), 3.4, { fill: s.colour, stroke: "#fff", "stroke-width": 0.6 })));
      if (s.low) s.x.forEach((v, k) => isFinite(s.low[k]) && root.append(el("line", { x1: X(v), x2: X(v), y1: Y(s.low[k]), y2: Y(s.high[k]), stroke: s.colour, "stroke-width": 1.2 })));
    }
    root.append(...last);
    if (more) {
      const base = series[reference], differences = series.map((s) => s.x.map((v, k) => s.y[k] - at(base, v)));
      const [low, high] = range(differences.flat()), reach = Math.max(Math.abs(low), Math.abs(high)) || 1;
      const top = inner.y + inner.h + 10, T = (v) => top + gap / 2 - (v / reach) * (gap / 2);
      root.append(el("rect", { x: inner.x, y: top, width: inner.w, height: gap, fill: "#f4f6f8" }));
      const power = 10 ** Math.floor(Math.log10(reach)), end = Math.floor(reach / power) * power;
      for (const v of [-end, 0, end]) {
        root.append(el("line", { x1: inner.x, x2: inner.x + inner.w, y1: T(v), y2: T(v), stroke: LINE, "stroke-width": 0.5 }));
        root.append(el("text", { x: inner.x - 5, y: T(v) + 3.7, "text-anchor": "end", "font-size": 10, fill: SOFT }, (v > 0 ? "+" : "") + tick(v)));
      }
      series.forEach((s, k) => root.append(el("path", { d: path(s.x, differences[k], X, T, [top, top + gap]), ...stroke(s), "stroke-width": 1.3 })));
    }
    return root;
  };
  const at = (series, x) => {
    const xs = series.x;
    if (x < xs[0] || x > xs[xs.length - 1]) return NaN;
    const k = Math.min(xs.length - 2, Math.max(0, xs.findIndex((v) => v >= x) - 1)), part = (x - xs[k]) / (xs[k + 1] - xs[k] || 1);
    return series.y[k] + part * (series.y[k + 1] - series.y[k]);
  };

  const blend = (a, b, t) => a.map((v, k) => Math.round(v + (b[k] - v) * t));
  const DENSITY = [[226, 232, 240], [99, 125, 160], [17, 34, 64]];
  const shade = (t) => (t < 0.5 ? blend(DENSITY[0], DENSITY[1], 2 * t) : blend(DENSITY[1], DENSITY[2], 2 * t - 1));
  // A drawing on a canvas, as an image below the axes of a plot: many points cost nothing there. JPEG goes into a PDF as it is.
  const paint = (root, { x, y, w, h }, draw) => {
    const canvas = document.createElement("canvas"), fine = 2;
    [canvas.width, canvas.height] = [Math.ceil(fine * w), Math.ceil(fine * h)];
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.scale(fine, fine);
    draw(context);
    root.insertBefore(el("image", { href: canvas.toDataURL("image/jpeg", 0.82), x, y, width: canvas.width / fine, height: canvas.height / fine }), root.children[1] || null);
  };
  const parity = ({ data, colour, marker, levels = 9, ...options }) => {
    const made = frame({ ...options, x: data.limits, y: data.limits, square: true });
    const { root, X, Y, inner } = made, [low, high] = data.limits;
    if (data.cells) {
      const raw = bytes(data.cells), flat = [];
      for (let k = 0; k < raw.length; k += 2) for (let n = 0; n < raw[k]; n++) flat.push(raw[k + 1]);
      const count = Math.round(Math.sqrt(flat.length)), wide = inner.w / count;
      paint(root, inner, (context) => flat.forEach((level, k) => {
        if (!level) return;
        context.fillStyle = `rgb(${shade((level - 1) / (levels - 1))})`;
        context.fillRect((k % count) * wide, inner.w - (Math.floor(k / count) + 1) * wide, wide + 0.3, wide + 0.3);
      }));
    }
    root.append(el("line", { x1: X(low), y1: Y(low), x2: X(high), y2: Y(high), stroke: data.cells ? "#c2703d" : SOFT, "stroke-width": 0.8 }));
    if (data.points) {
      const raw = bytes(data.points), view = new DataView(raw.buffer), dots = [];
      for (let k = 0; k < raw.length; k += 4) dots.push([view.getUint16(k, true) / 65535, 1 - view.getUint16(k + 2, true) / 65535]);
      paint(root, inner, (context) => {
        context.fillStyle = "rgba(35, 58, 94, 0.6)";
        for (const [x, y] of dots) { context.beginPath(); context.arc(x * inner.w, y * inner.h, 2.2, 0, 7); context.fill(); }
      });
    }
    return root;
  };
  // Bars in groups: groups are {name, bars: [{value, low, high, colour, name, marker}]}.
  const bars = ({ groups, ...options }) => {
    const values = groups.flatMap((g) => g.bars.flatMap((b) => [b.value, b.low ?? b.value, b.high ?? b.value]));
    const y = range(values, { zero: true }), x = [0, groups.length];
    const made = frame({ ...options, x, y, xTicks: groups.map((g, k) => [k + 0.5, g.name]) });
    const { root, X, Y } = made;
    groups.forEach((g, k) => {
      const wide = (X(1) - X(0)) * 0.82 / Math.max(1, g.bars.length), start = X(k) + (X(1) - X(0)) * 0.09;
      g.bars.forEach((b, n) => {
        if (!isFinite(b.value) || b.value === null) return;
        const left = start + n * wide, zero = Y(Math.min(Math.max(0, y[0]), y[1]));
        root.append(el("rect", { x: left, width: Math.max(1, wide - 1.5), y: Math.min(Y(b.value), zero), height: Math.max(0.5, Math.abs(Y(b.value) - zero)), fill: b.colour, stroke: b.outline, "stroke-width": b.outline ? 1 : 0 }, el("title", {}, `${b.name}: ${short(b.value)}`)));
        if (b.low !== undefined && b.low !== null) root.append(el("line", { x1: left + wide / 2, x2: left + wide / 2, y1: Y(b.low), y2: Y(b.high), stroke: INK, "stroke-width": 1.1 }));
        if (b.marker) root.append(mark(b.marker, left + (wide - 1.5) / 2, b.value >= 0 ? Math.min(Y(b.value) + 7, zero - 5) : zero + 7, Math.min(2.6, wide / 3), { fill: "#fff" }));
      });
    });
    return root;
  };

  // Atoms seen along z: bytes x, y, depth, solid.
  const atoms = ({ picture, label, width = 132 }) => {
    const height = (width * picture.height) / picture.width, raw = bytes(picture.atoms), count = raw.length / 4;
    const r = Math.max(1.6, 0.42 * Math.sqrt((width * height) / count) * 1.35), room = r + 1;
    const root = el("svg", { viewBox: `0 0 ${width} ${height.toFixed(1)}`, role: "img", "aria-label": label, style: `max-width:${width}px` });
    paint(root, { x: 0, y: 0, w: width, h: height }, (context) => {
      [context.strokeStyle, context.lineWidth] = ["#fff", 0.6];
      for (let k = 0; k < raw.length; k += 4) {
        const deep = raw[k + 2] / 255, colour = raw[k + 3] ? blend([196, 210, 226], [30, 78, 140], deep) : blend([245, 214, 180], [196, 92, 10], deep);
        context.fillStyle = `rgb(${colour})`;
        context.beginPath();
        context.arc(room + (raw[k] / 255) * (width - 2 * room), height - room - (raw[k + 1] / 255) * (height - 2 * room), r, 0, 7);
        context.fill();
        context.stroke();
      }
    });
    return root;
  };

  return { el, numbers, evenly, short, tick, range, frame, lines, parity, bars, atoms, mark, decades, INK, SOFT, LINE };
})();

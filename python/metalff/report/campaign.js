// The page of a campaign: the periodic table and its switches, the ranking, accuracy against speed, and each metal's own page.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { el, short, numbers, evenly } = Plots;
  const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#b0568f", "#56a5d8", "#a9780a", "#222222", "#7a5bb5"];
  const DASHES = ["", "7 3", "2 2", "9 3 2 3", "4 2", "1 3", "12 4", "5 2 1 2"], SHAPES = ["circle", "square", "triangle", "diamond", "down", "cross"];
  const CIVIDIS = [[0, 34, 78], [26, 56, 111], [67, 78, 108], [97, 101, 111], [125, 124, 120], [155, 148, 118], [188, 174, 108], [222, 201, 88], [254, 232, 56]];
  const style = (k) => ({ colour: COLOURS[k % COLOURS.length], dash: DASHES[k % DASHES.length], marker: SHAPES[k % SHAPES.length] });
  const modelNumber = Object.fromEntries(data.models.map((m, k) => [m.key, k]));
  const metric = { get: () => data.metrics[controls.metric.value] };
  const controls = Object.fromEntries(["metric", "model", "temperature"].map((name) => [name, document.getElementById(name)]));
  const table = document.getElementById("ranking-table"), tooltip = document.getElementById("tooltip");
  const html = (name, attributes = {}, ...children) => {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  // Values

  const className = () => (metric.get().byTemperature ? controls.temperature.value : "all");
  const valueOf = (key, name, model, symbol) => data.values[key]?.[name]?.[model]?.[symbol] || null;
  const better = (a, b, way) => (way === "high" ? a[0] > b[0] : a[0] < b[0]);
  const shownOf = (symbol) => {
    const name = className(), key = controls.metric.value;
    if (controls.model.value !== "best") {
      const value = valueOf(key, name, Number(controls.model.value), symbol);
      return value && [value, Number(controls.model.value)];
    }
    let best = null;
    data.models.forEach((_, k) => {
      const value = valueOf(key, name, k, symbol);
      if (value && (!best || better(value, best[0], metric.get().better))) best = [value, k];
    });
    return best;
  };
  const domains = {};
  const domain = (key) => { // one scale for all models and temperatures, so that switching compares
    if (!domains[key]) {
      const all = Object.values(data.values[key] || {}).flatMap((models) => models.flatMap((by) => Object.values(by).map((v) => v[0]))).filter((v) => !data.metrics[key].log || v > 0);
      let low = Math.min(...all), high = Math.max(...all);
      if (!data.metrics[key].log) low = Math.min(0, low);
      domains[key] = all.length ? (low < high ? [low, high] : data.metrics[key].log ? [low / 1.2, high * 1.2] : [low, high + 1]) : [1, 10];
    }
    return domains[key];
  };
  const part = (value, key) => {
    const [low, high] = domain(key);
    const t = data.metrics[key].log ? Math.log(Math.max(value, low) / low) / Math.log(high / low) : (value - low) / (high - low);
    return Math.min(1, Math.max(0, t));
  };
  const colour = (t, way) => { // dark is worse, or larger where neither is
    const place = (way === "high" ? t : 1 - t) * (CIVIDIS.length - 1), k = Math.min(Math.floor(place), CIVIDIS.length - 2);
    return CIVIDIS[k].map((c, i) => Math.round(c + (place - k) * (CIVIDIS[k + 1][i] - c)));
  };
  const luminance = (rgb) => rgb.map((c) => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4).reduce((sum, c, k) => sum + c * [0.2126, 0.7152, 0.0722][k], 0);
  const ink = (rgb) => (luminance(rgb) > 0.19 ? "#14191f" : "#ffffff");
  const spread = (v) => (v[1] === null || v[1] === undefined ? "" : ` (${short(v[1])}–${short(v[2])})`);

  // Periodic table

  const cells = [...document.querySelectorAll("#cells a")];
  const drawTable = () => {
    const key = controls.metric.value, m = metric.get();
    controls.temperature.disabled = !m.byTemperature;
    document.getElementById("temperature-note").hidden = m.byTemperature;
    let known = 0;
    for (const cell of cells) {
      const found = shownOf(cell.dataset.element);
      cell.classList.toggle("missing", !found);
      cell.querySelector(".value").textContent = found ? short(found[0][0]) : "–";
      const failed = data.failures.filter((f) => f.element === cell.dataset.element && f.status !== "waiting" && f.status !== "skipped" && (controls.model.value === "best" || f.model === data.models[Number(controls.model.value)].key));
      cell.querySelector(".flag").textContent = failed.length ? "!" : "";
      const words = found ? `${short(found[0][0])} ${m.unit}${controls.model.value === "best" ? `, ${data.models[found[1]].label}` : ""}` : "no value";
      cell.setAttribute("aria-label", `${cell.dataset.name}: ${words}${failed.length ? `; ${failed.length} failed` : ""}`);
      if (!found) { cell.style.background = cell.style.color = ""; continue; }
      known += 1;
      const rgb = colour(part(found[0][0], key), m.better);
      cell.style.background = `rgb(${rgb})`;
      cell.style.color = ink(rgb);
    }
    drawScale(key, m);
    document.getElementById("table-note").textContent = `${m.name}, ${m.unit}. ${known} of ${cells.length} metals have a value${known ? "" : ": choose another model or temperature"}. ${m.better ? "Darker is worse" : "Darker is larger"}; the scale is the same for all models and temperatures${m.log ? " and logarithmic" : ""}. ! marks runs that failed.`;
  };
  const drawScale = (key, m) => {
    const [low, high] = domain(key), box = document.getElementById("scale"), width = 320;
    const root = el("svg", { viewBox: `0 0 ${width} 48`, role: "img", "aria-label": `colours from ${short(low)} to ${short(high)} ${m.unit}`, style: `max-width:${width}px` });
    for (let k = 0; k < 64; k++) root.append(el("rect", { x: 10 + (k * (width - 20)) / 64, y: 14, width: (width - 20) / 64 + 0.4, height: 10, fill: `rgb(${colour((k + 0.5) / 64, m.better)})` }));
    const values = cells.map((cell) => shownOf(cell.dataset.element)).filter(Boolean).map((f) => f[0][0]);
    for (const v of values) root.append(el("line", { x1: 10 + part(v, key) * (width - 20), x2: 10 + part(v, key) * (width - 20), y1: 3, y2: 12, stroke: Plots.INK, "stroke-width": 0.9, "stroke-opacity": 0.65 }));
    const marks = m.log ? Plots.decades(low, high) : [low, (low + high) / 2, high];
    for (const v of marks) root.append(el("text", { x: Math.min(Math.max(10 + part(v, key) * (width - 20), 12), width - 14), y: 38, "text-anchor": "middle", "font-size": 11, fill: Plots.SOFT }, Plots.tick(v)));
    box.replaceChildren(root);
  };
  const showTooltip = (cell) => {
    const key = controls.metric.value, m = metric.get(), name = className(), symbol = cell.dataset.element;
    const rows = data.models.map((model, k) => [model, valueOf(key, name, k, symbol), k]);
    const values = rows.flatMap(([, v]) => (v ? [v[0], v[1] ?? v[0], v[2] ?? v[0]] : []));
    const [low, high] = Plots.range(values, { log: m.log, room: 0.1 }), X = (v) => 6 + 108 * (m.log ? Math.log(v / low) / Math.log(high / low) : (v - low) / (high - low));
    const body = html("table");
    for (const [model, v, k] of rows) {
      const s = style(k), strip = el("svg", { viewBox: "0 0 120 14", width: 120, height: 14, "aria-hidden": "true" });
      if (v && isFinite(X(v[0]))) {
        if (v[1] !== null && v[1] !== undefined) strip.append(el("line", { x1: X(m.log ? Math.max(v[1], low) : v[1]), x2: X(v[2]), y1: 7, y2: 7, stroke: s.colour, "stroke-width": 1.6 }));
        strip.append(Plots.mark(s.marker, X(v[0]), 7, 4, { fill: s.colour }));
      }
      body.append(html("tr", {}, html("th", {}, model.label), html("td", {}, v ? short(v[0]) : "missing"), html("td", { class: "soft" }, v ? spread(v).trim() : ""), html("td", {}, strip)));
    }
    const temperature = m.byTemperature && name !== "all" ? `, ${name}` : "";
    tooltip.replaceChildren(html("p", {}, html("b", {}, cell.dataset.name), ` ${m.name}, ${m.unit}${temperature}`), body);
    tooltip.hidden = false;
    const box = cell.getBoundingClientRect(), own = tooltip.getBoundingClientRect(), wide = document.documentElement.clientWidth;
    tooltip.style.left = `${Math.max(8, Math.min(wide - own.width - 8, box.left + box.width / 2 - own.width / 2)) + scrollX}px`;
    const above = box.top - own.height - 8;
    tooltip.style.top = `${(above > 4 ? above : box.bottom + 8) + scrollY}px`;
  };
  const hideTooltip = () => { tooltip.hidden = true; };
  const places = new Map(cells.map((cell) => [`${cell.dataset.row},${cell.dataset.column}`, cell]));
  const step = (cell, rows, columns) => {
    let [row, column] = [Number(cell.dataset.row), Number(cell.dataset.column)];
    for (let k = 0; k < 20; k++) {
      [row, column] = [row + rows, column + columns];
      const next = places.get(`${row},${column}`);
      if (next) return next;
    }
    return cell;
  };
  const focusCell = (cell) => {
    for (const other of cells) other.tabIndex = other === cell ? 0 : -1;
    cell.focus();
  };
  cells.forEach((cell, k) => {
    cell.tabIndex = k ? -1 : 0;
    cell.setAttribute("aria-describedby", "tooltip");
    for (const event of ["mouseenter", "focus"]) cell.addEventListener(event, () => showTooltip(cell));
    for (const event of ["mouseleave", "blur"]) cell.addEventListener(event, hideTooltip);
    cell.addEventListener("keydown", (event) => {
      const way = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (way) { event.preventDefault(); focusCell(step(cell, ...way)); }
      if (event.key === "Home" || event.key === "End") { event.preventDefault(); focusCell(event.key === "Home" ? cells[0] : cells[cells.length - 1]); }
    });
  });
  addEventListener("keydown", (event) => event.key === "Escape" && hideTooltip());

  // Ranking

  const drawRanking = () => {
    const name = controls.temperature.value;
    for (const row of table.tBodies[0].rows) {
      for (const cell of row.querySelectorAll("[data-metric]")) {
        const key = cell.dataset.metric;
        const value = valueOf(key, data.metrics[key].byTemperature ? name : "all", modelNumber[row.dataset.key], row.dataset.metal);
        cell.dataset.value = value ? value[0] : "";
        const low = value && "interval" in cell.dataset && value[1] !== null && value[1] !== undefined ? html("small", {}, ` ${short(value[1])}–${short(value[2])}`) : "";
        cell.replaceChildren(value ? short(value[0]) : "–", low);
      }
    }
    document.getElementById("ranking-note").textContent = name === "all" ? "All temperatures." : `At ${name}, where the number depends on it.`;
    Tables.again(table);
  };

  // Accuracy against speed

  const median = (values) => { const s = [...values].sort((a, b) => a - b); return s.length ? (s[(s.length - 1) >> 1] + s[s.length >> 1]) / 2 : NaN; };
  const drawPareto = () => {
    const box = document.getElementById("pareto-plot");
    if (!box) return;
    const key = ["normalised", "force_rmse"].find((k) => data.metrics[k]), name = controls.temperature.value;
    const points = data.models.map((model, k) => data.elements.map((symbol) => {
      const [error, speed] = [valueOf(key, name, k, symbol), valueOf("speed", data.values.speed[name] ? name : "all", k, symbol) || valueOf("speed", "all", k, symbol)];
      return error && speed ? { symbol, x: speed[0], y: error[0] } : null;
    }).filter(Boolean));
    const all = points.flat();
    if (!all.length) { box.replaceChildren(html("p", { class: "note" }, "No metal has both an error and a speed here.")); return; }
    const width = Math.min(640, Math.max(340, box.clientWidth || 640));
    const made = Plots.frame({ label: "accuracy against speed", x: Plots.range(all.map((p) => p.x), { log: true, room: 0.08 }), y: Plots.range(all.map((p) => p.y), { log: true, room: 0.1 }), xLog: true, yLog: true, width, height: Math.max(300, width * 0.56), xLabel: "speed (atom-steps/s) →  faster", yLabel: `${data.metrics[key].name} (${data.metrics[key].unit})` });
    const medians = points.map((some, k) => ({ k, x: median(some.map((p) => p.x)), y: median(some.map((p) => p.y)) })).filter((p) => isFinite(p.x));
    const front = medians.filter((p) => !medians.some((q) => q !== p && q.x >= p.x && q.y <= p.y)).sort((a, b) => a.x - b.x);
    made.root.append(el("path", { d: front.map((p, k) => `${k ? "L" : "M"}${made.X(p.x).toFixed(1)} ${made.Y(p.y).toFixed(1)}`).join(""), fill: "none", stroke: Plots.SOFT, "stroke-width": 1, "stroke-dasharray": "3 3" }));
    points.forEach((some, k) => some.forEach((p) => made.root.append(Plots.mark(style(k).marker, made.X(p.x), made.Y(p.y), 2.6, { fill: style(k).colour, "fill-opacity": 0.45 }))));
    for (const p of medians) {
      made.root.append(Plots.mark(style(p.k).marker, made.X(p.x), made.Y(p.y), 6.5, { fill: style(p.k).colour, stroke: "#fff", "stroke-width": 1.5 }));
      const right = made.X(p.x) > made.inner.x + 0.72 * made.inner.w;
      made.root.append(el("text", { x: made.X(p.x) + (right ? -11 : 11), y: made.Y(p.y) - 9, "text-anchor": right ? "end" : "start", "font-size": 12.5, "font-weight": 600, fill: style(p.k).colour, stroke: "#fff", "stroke-width": 3, "paint-order": "stroke" }, data.models[p.k].label));
    }
    box.replaceChildren(made.root);
  };

  // A metal's own page

  const legend = (models) => {
    const list = html("ul", { class: "legend" });
    for (const key of models) {
      const s = style(modelNumber[key]), sample = el("svg", { viewBox: "0 0 34 12", width: 34, height: 12, "aria-hidden": "true" });
      sample.append(el("line", { x1: 1, x2: 33, y1: 6, y2: 6, stroke: s.colour, "stroke-width": 2, "stroke-dasharray": s.dash || undefined }), Plots.mark(s.marker, 17, 6, 4, { fill: s.colour, stroke: "#fff", "stroke-width": 0.7 }));
      list.append(html("li", {}, sample, data.models[modelNumber[key]].label));
    }
    return list;
  };
  const figure = (title, drawn, note) => html("figure", {}, html("figcaption", {}, title, ...(note ? [html("small", {}, ` ${note}`)] : [])), drawn);
  const group = (title, figures, note, kind = "") => {
    const known = figures.filter(Boolean);
    const columns = kind || (known.length % 4 === 0 ? "small" : "");
    return known.length ? [html("h3", {}, title), ...(note ? [html("p", { class: "note" }, note)] : []), html("div", { class: `panels ${columns}` }, ...known)] : [];
  };
  const labelOf = (key) => data.models[modelNumber[key]].label;
  const ofModels = (by) => data.models.map((m) => m.key).filter((key) => by && by[key]);
  const lineOf = (key, x, y, more = {}) => ({ x, y, name: labelOf(key), ...style(modelNumber[key]), ...more });

  const parities = (metal, symbol) => {
    const name = controls.temperature.value in metal.parity ? controls.temperature.value : "all";
    const rows = [["forces", metal.parity[name], "force (eV/Å)"], ["energies", metal.energies, "energy (eV/atom)"], ["stresses", metal.stresses, "stress (meV/Å³)"]].filter(([, by]) => ofModels(by).length);
    const keys = ofModels(metal.parity.all), few = keys.length < 3;
    const one = ([what, by, axis], key) => by[key] && figure(few ? `${labelOf(key)}, ${what}` : labelOf(key), Plots.parity({ data: by[key], label: `${symbol}: predicted over reference ${what}, ${labelOf(key)}`, xLabel: innerWidth < 760 && !few ? axis.replace(/^\w+/, "reference") : `reference ${axis}`, yLabel: "predicted", width: few ? 300 : innerWidth < 760 ? 176 : 250 }), by[key].outside ? `${by[key].outside} of ${by[key].n.toLocaleString("en-US")} outside` : "");
    const words = `${name === "all" ? "" : `Forces at ${name}. `}Energies after one fitted constant per element. Where points are many: shade, on a logarithmic scale.`;
    if (few) return group("Predicted over reference", keys.flatMap((key) => rows.map((row) => one(row, key))), words, rows.length === 2 ? "wide" : "three");
    return rows.flatMap((row, k) => group(`Predicted over reference ${row[0]}`, ofModels(row[1]).map((key) => one(row, key)), k ? "" : words, "small parity"));
  };
  const errors = (metal, symbol) => {
    const shapes = ofModels(metal.error).map((key) => {
      const { reach, counts } = metal.error[key], total = counts.reduce((a, b) => a + b, 0), wide = (2 * reach) / counts.length;
      return lineOf(key, counts.map((_, k) => -reach + (k + 0.5) * wide), counts.map((c) => c / total / wide));
    });
    const bands = ofModels(metal.magnitude).map((key) => lineOf(key, metal.magnitude[key].x, metal.magnitude[key].y));
    const reach = Math.max(...ofModels(metal.error).map((key) => metal.error[key].reach)) || 1;
    return group("Where the errors are", [
      shapes.length && figure("Distribution of force errors", Plots.lines({ series: shapes, x: [-reach, reach], zero: true, label: `${symbol}: distribution of force errors`, xLabel: "predicted − reference (eV/Å)", yLabel: "density (Å/eV)", width: 460, height: 230 })),
      bands.length && figure("Error against the size of the force", Plots.lines({ series: bands, yLog: true, label: `${symbol}: force error against force`, xLabel: "|reference force| of the atom (eV/Å)", yLabel: "RMSE (eV/Å)", width: 460, height: 230 }), "bands with as many atoms each"),
    ], "", "wide");
  };
  const xy = (series) => { const y = numbers(series.y); return [evenly(series.x, y.length), y]; };
  const byTemperature = (runs) => [...new Set(runs.map((r) => r.temperature))].sort((a, b) => a - b).map((t) => [t, runs.filter((r) => r.temperature === t)]);
  const dynamics = (metal, symbol) => {
    const made = [], runs = metal.runs;
    const panel = (key, title, options, note, difference) => {
      const figures = byTemperature(runs.filter((r) => r[key] && r[key].y)).map(([t, some]) => {
        const series = some.sort((a, b) => modelNumber[a.model] - modelNumber[b.model]).map((r) => lineOf(r.model, ...xy(r[key])));
        return figure(`${t} K`, Plots.lines({ series, label: `${symbol}: ${title} at ${t} K`, reference: difference ? 0 : undefined, ...options }), difference && series.length > 1 ? `below: minus ${series[0].name}` : "");
      });
      made.push(...group(title, figures, note));
    };
    panel("gr", "Radial distribution function g(r)", { xLabel: "r (Å)", yLabel: "g(r)", zero: true }, "The grey panel has the differences from the first model, on a scale of its own.", true);
    panel("msd", "Mean squared displacement", { xLabel: "lag (ps)", yLabel: "MSD (Å²)", zero: true }, "A curve that levels off: atoms vibrate about their sites.");
    panel("nve", "Energy in NVE", { xLabel: "time (ps)", yLabel: "E(t) − E(0) (µeV/atom)", level: 0 }, "A slope means that energy is made or lost; a bounded ripple is the integrator's.");
    return made;
  };
  const DIRECTIONS = { xy: "sheared in xy", volume: "all lengths alike" };
  const driven = (metal, symbol) => {
    const of = (kind) => metal.driven.filter((r) => r.kind === kind).sort((a, b) => modelNumber[a.model] - modelNumber[b.model]);
    const wide = innerWidth < 760 ? { width: 340, height: 220 } : { width: 460, height: 240 }, melts = metal.melts ? [{ value: metal.melts, name: `${Math.round(metal.melts)} K, experiment` }] : [];
    const said = (runs) => runs.map((r) => `${labelOf(r.model)}: ${r.said}`).join("; ");
    const made = [], ramps = of("ramp");
    for (const name of new Set(ramps.map((r) => r.id.split("/").pop()))) {
      const some = ramps.filter((r) => r.id.endsWith(`/${name}`)), [first, last] = some[0].T, heats = last > first;
      const title = `${heats ? "Heating" : "Cooling"}, ${name.replace(/^ramp-/, "").replace("-", " to ").replaceAll("K", " K").replace(/-(.*) Kps$/, ", $1 K/ps")}`;
      const drawn = [["volume", "volume (Å³/atom)"], ["energy", "potential energy (eV/atom)"]].map(([key, axis]) => {
        const series = some.map((r) => { const y = numbers(r[key]); return lineOf(r.model, evenly(r.T, y.length), y); });
        const bands = some.filter((r) => r.change).map((r) => ({ x: r.change, colour: style(modelNumber[r.model]).colour }));
        const values = series.flatMap((s) => s.x);
        const inside = melts.filter((m) => m.value > Math.min(...values) && m.value < Math.max(...values));
        return figure(axis.replace(/ \(.*/, "").replace(/^./, (c) => c.toUpperCase()), Plots.lines({ series, bands, uprights: inside, label: `${symbol}: ${axis} over temperature, ${title}`, xLabel: "temperature of the thermostat (K)", yLabel: axis, ...wide }));
      });
      made.push(...group(title, drawn, `${said(some)}. Shaded: where the structure changes for good. A perfect crystal overheats and a liquid undercools, the more the faster the ramp: neither is the melting temperature.`, "wide"));
    }
    const both = of("coexistence");
    if (both.length) {
      const along = (r, key) => { const y = numbers(r[key]); return lineOf(r.model, evenly(r.time, y.length), y); };
      made.push(...group("Coexistence of solid and liquid", [
        figure("Temperature", Plots.lines({ series: both.map((r) => along(r, "T")), rows: melts, y: Plots.range([...both.flatMap((r) => numbers(r.T)), ...melts.map((m) => m.value)]), label: `${symbol}: temperature at coexistence`, xLabel: "time (ps)", yLabel: "temperature (K)", ...wide })),
        both.some((r) => r.solid) && figure("Part that is solid, by structure", Plots.lines({ series: both.filter((r) => r.solid).map((r) => along(r, "solid")), y: [0, 1], label: `${symbol}: solid part at coexistence`, xLabel: "time (ps)", yLabel: "solid part", ...wide })),
      ], `${said(both)}. At constant enthalpy; only where both phases stay is the mean of the later part a melting temperature.`, "wide"));
    }
    const strains = of("strain"), figures = [];
    for (const name of new Set(strains.map((r) => r.id.split("/").pop()))) {
      const some = strains.filter((r) => r.id.endsWith(`/${name}`)), { direction, temperature, known, constant } = some[0];
      const series = some.map((r) => lineOf(r.model, numbers(r.strain), numbers(r.stress))), values = series.flatMap((s) => s.y);
      const y = Plots.range([...values, 0]), x = Plots.range(series.flatMap((s) => s.x), { room: 0.015 });
      const slope = known && { x, y: x.map((v) => known * v), name: `experiment, ${constant}`, colour: Plots.SOFT, dash: "1.5 2.5", wide: 1.4 };
      figures.push(figure(`${DIRECTIONS[direction] || `along ${direction}`}, ${temperature} K`, Plots.lines({ series: [...(slope ? [slope] : []), ...series], x, y, level: 0, label: `${symbol}: stress over strain, ${name}`, xLabel: "strain", yLabel: "stress (GPa)", ...wide }), `${said(some)}${known ? `; dotted: experiment, ${constant} = ${Math.round(known)} GPa` : ""}`));
    }
    made.push(...group("Stress over strain", figures, "Lengths that are not strained stay as they are. Slopes at no strain, with 95 % intervals; constants of experiment are those at room temperature.", "wide"));
    return made;
  };
  const expansion = (metal, symbol) => {
    const found = [], runs = metal.runs.filter((r) => r.volume), keys = ofModels(Object.fromEntries(runs.map((r) => [r.model, true])));
    if (keys.length) {
      const series = keys.map((key) => { const mine = runs.filter((r) => r.model === key).sort((a, b) => a.temperature - b.temperature); return lineOf(key, mine.map((r) => r.temperature), mine.map((r) => r.volume)); });
      if (series.some((s) => s.x.length > 1)) found.push(figure("Volume per atom", Plots.lines({ series, label: `${symbol}: volume over temperature`, xLabel: "temperature (K)", yLabel: "volume (Å³/atom)", width: 460, height: 230 })));
    }
    const known = metal.properties.filter((p) => ["expansion", "quasi_harmonic"].includes(p.measurement)).flatMap((p) => p.reference || []).find((r) => r.unit && r.unit.includes("1/K") || r.key && r.key.includes("expansion"));
    const coefficients = ofModels(metal.expansion).map((key) => ({ value: metal.expansion[key], name: labelOf(key), ...style(modelNumber[key]) }));
    if (coefficients.length) found.push(figure("Linear thermal expansion", Plots.bars({ groups: [{ name: "", bars: [...(known ? [{ value: known.value, name: known.kind, colour: "#e3e6ea", outline: Plots.SOFT }] : []), ...coefficients] }], label: `${symbol}: linear thermal expansion`, xLabel: known ? `outlined: ${known.kind}` : "no experimental value in these results", yLabel: "α (10⁻⁶/K)", width: 300, height: 230 })));
    return group("Thermal expansion", found, "", "wide");
  };
  const PROPERTIES = { eos: "Equation of state", phonons: "Phonons", quasi_harmonic: "Quasi-harmonic expansion", dimer: "Dimer", stacking_fault: "Stacking fault", migration: "Vacancy migration", expansion: "Thermal expansion from molecular dynamics", structure: "Structure", drift: "Energy drift", diffusion: "Diffusion in the liquid", elastic: "Elastic constants" };
  const properties = (metal, symbol) => {
    const together = [], apart = [], done = metal.properties.filter((p) => p.status === "done");
    const elastic = done.filter((p) => p.measurement === "elastic").sort((a, b) => modelNumber[a.model] - modelNumber[b.model]);
    if (elastic.length) {
      const constants = [...new Set(elastic.flatMap((p) => Object.keys(p.values).filter((k) => /^C\d\d$/.test(k))))];
      const known = Object.fromEntries(elastic.flatMap((p) => (p.reference || []).filter((r) => r.kind === "experiment").map((r) => [r.key, r.value])));
      const outline = (name) => (name in known ? [{ value: known[name], name: "experiment", colour: "#e3e6ea", outline: Plots.SOFT }] : []);
      const groups = constants.map((name) => ({ name, bars: [...outline(name), ...elastic.filter((p) => p.values[name]).map((p) => ({ ...p.values[name], name: labelOf(p.model), ...style(modelNumber[p.model]) }))] }));
      if (groups.length) together.push(figure("Elastic constants", Plots.bars({ groups, label: `${symbol}: elastic constants`, xLabel: Object.keys(known).length ? "outlined: experiment" : "no experimental values known", yLabel: "GPa", width: 460, height: 240 })));
    }
    for (const name of new Set(done.map((p) => p.measurement))) {
      const panels = new Map(), title = PROPERTIES[name] || capital(name);
      for (const p of done.filter((q) => q.measurement === name)) for (const [curve, given] of Object.entries(p.curves)) {
        const key = given.group || curve;
        if (!panels.has(key)) panels.set(key, []);
        panels.get(key).push([p.model, curve, given]);
      }
      const many = panels.size > 2, figures = [...panels].map(([key, curves]) => {
        const series = curves.sort((a, b) => modelNumber[a[0]] - modelNumber[b[0]]).map(([model, curve, given]) => lineOf(model, numbers(given.x), numbers(given.y), { name: `${labelOf(model)}, ${curve}`, wide: curves.length > 12 ? 1.1 : 1.6 }));
        const { x_label, y_label } = curves[0][2], words = key.replaceAll("_", " "), others = new Set(curves.map((c) => c[1]).filter((c) => !/\d$/.test(c)));
        const special = x_label === "q" ? done.find((p) => p.measurement === name && p.special)?.special : undefined;
        const drawn = Plots.lines({ series, xTicks: special, label: `${symbol}: ${name}, ${words}`, xLabel: x_label, yLabel: y_label, width: many ? 300 : 460, height: many ? 210 : 240, level: y_label.includes("THz") ? 0 : undefined });
        return figure(many ? capital(words) : title, drawn, many ? "" : [words, others.size > 1 && others.size < 5 ? [...others].join(", ").replaceAll("_", " ") : ""].filter((w) => w && w !== title.toLowerCase()).join(": "));
      });
      if (many) apart.push(...group(title, figures)); else together.push(...figures);
    }
    return [...group("Properties", together, "", "wide"), ...apart];
  };
  const capital = (name) => { const words = name.replaceAll("_", " "); return words === "dos" ? "Density of states" : words.length < 2 ? words : words.charAt(0).toUpperCase() + words.slice(1); };
  const training = (metal, symbol) => {
    const figures = metal.training.map((t) => figure(t.name, Plots.lines({ series: [{ x: numbers(t.minutes), y: numbers(t.force), colour: COLOURS[0], marker: "circle", name: t.name }], yLog: true, label: `${symbol}: training of ${t.name}`, xLabel: "time spent (min)", yLabel: "validation force RMSE (eV/Å)" })));
    return group("Training", figures, "");
  };
  const pictures = (metal, symbol) => {
    const figures = metal.runs.filter((r) => r.picture).sort((a, b) => a.temperature - b.temperature || modelNumber[a.model] - modelNumber[b.model]).map((r) => figure(`${r.temperature} K`, Plots.atoms({ picture: r.picture, label: `${symbol}: last frame of ${labelOf(r.model)} at ${r.temperature} K, ${r.picture.phase}` }), `${labelOf(r.model)}: ${r.picture.phase}, ${Math.round(100 * r.picture.solid)} %`));
    const failed = data.failures.filter((f) => f.element === symbol && f.picture).map((f) => figure(f.job, Plots.atoms({ picture: f.picture, label: `last good frame of ${f.job}` }), `last good frame: ${f.status}`));
    return group("Last frames", [...figures, ...failed], "Seen along z, nearer atoms darker. Blue: bonded as in a crystal (q6, ten Wolde 1996), with their part of all; orange: not.", "tiny");
  };
  const drawMetal = (article) => {
    if (article.dataset.drawn === controls.temperature.value) return;
    article.dataset.drawn = controls.temperature.value;
    const symbol = article.id, metal = data.metals[symbol], box = article.querySelector(".plots");
    const seen = data.models.map((m) => m.key).filter((key) => metal.runs.some((r) => r.model === key) || metal.driven.some((r) => r.model === key) || metal.properties.some((p) => p.model === key) || metal.error[key]);
    const parts = [...parities(metal, symbol), ...errors(metal, symbol), ...properties(metal, symbol), ...dynamics(metal, symbol), ...driven(metal, symbol), ...expansion(metal, symbol), ...training(metal, symbol), ...pictures(metal, symbol)];
    box.replaceChildren(...(parts.length ? [legend(seen), ...parts] : []));
  };

  // Pages: '' is the overview, #Cu a metal

  const overview = document.getElementById("overview"), articles = [...document.querySelectorAll("article.metal")];
  const title = document.title;
  const route = () => {
    const article = articles.find((a) => a.id === decodeURIComponent(location.hash.slice(1)));
    hideTooltip();
    document.body.classList.toggle("one-metal", Boolean(article));
    overview.hidden = Boolean(article);
    for (const other of articles) other.hidden = other !== article;
    document.title = article ? `${article.dataset.name} · ${title}` : title;
    if (article) {
      drawMetal(article);
      scrollTo({ top: 0, behavior: "instant" });
      article.querySelector("h2").focus({ preventScroll: true });
    } else {
      drawPareto();
      const target = location.hash && document.getElementById(location.hash.slice(1));
      if (target && overview.contains(target)) target.scrollIntoView({ behavior: "instant" });
    }
    Tables.hint();
  };
  let last = "";
  addEventListener("hashchange", () => {
    const before = last;
    last = location.hash.slice(1);
    route();
    const cell = !document.body.classList.contains("one-metal") && cells.find((c) => c.dataset.element === before);
    if (cell && !last) { cell.scrollIntoView({ block: "center", behavior: "instant" }); focusCell(cell); }
  });
  const everything = () => {
    drawPareto();
    for (const article of articles) { article.hidden = false; drawMetal(article); }
    overview.hidden = false;
    for (const details of document.querySelectorAll("details:not([open])")) { details.open = true; details.dataset.print = ""; }
  };
  addEventListener("beforeprint", everything);
  addEventListener("afterprint", () => {
    for (const details of document.querySelectorAll("details[data-print]")) { details.open = false; delete details.dataset.print; }
    route();
  });

  const draw = () => {
    drawTable();
    drawRanking();
    drawPareto();
    const open = articles.find((a) => !a.hidden);
    if (open) drawMetal(open);
  };
  for (const name of ["metric", "model"]) controls[name].addEventListener("change", drawTable);
  controls.temperature.addEventListener("change", draw);
  for (const copy of document.querySelectorAll("select.temperature-copy")) {
    copy.addEventListener("change", () => { controls.temperature.value = copy.value; for (const other of document.querySelectorAll("select.temperature-copy")) other.value = copy.value; draw(); });
    controls.temperature.addEventListener("change", () => { copy.value = controls.temperature.value; });
  }

  // Downloads

  const download = (name, kind, text) => {
    const link = html("a", { download: name, href: URL.createObjectURL(new Blob([text], { type: kind })) });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  };
  document.getElementById("download-json").addEventListener("click", () => download("results.json", "application/json", document.getElementById("data").textContent));
  document.getElementById("download-csv").addEventListener("click", () => {
    const rows = [["element", "model", "temperature", "metric", "unit", "value", "low", "high"]];
    for (const [key, classes] of Object.entries(data.values)) for (const [name, models] of Object.entries(classes)) models.forEach((by, k) => Object.entries(by).forEach(([symbol, v]) => rows.push([symbol, data.models[k].key, name, key, data.metrics[key].unit, ...v.map((x) => x ?? "")])));
    download("results.csv", "text/csv", rows.map((row) => row.map((c) => (/[",\n]/.test(c) ? `"${String(c).replaceAll('"', '""')}"` : c)).join(",")).join("\n"));
  });

  const keys = document.getElementById("model-keys");
  if (keys) keys.replaceChildren(legend(data.models.map((m) => m.key)));
  Tables.start();
  draw();
  last = location.hash.slice(1);
  route();
})();

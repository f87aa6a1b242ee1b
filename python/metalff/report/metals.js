// The periodic tables of the page: fills and colours the cells for the chosen potential, temperature and metric.
for (const root of document.querySelectorAll(".metals")) {
  const data = JSON.parse(root.querySelector("script").textContent);
  const [potential, temperature, metric] = ["potential", "temperature", "metric"].map((name) => root.querySelector(`[name=${name}]`));
  const digits = (x) => (x === 0 ? "0" : x >= 100 ? x.toFixed(0) : x >= 1 ? x.toPrecision(3) : x >= 1e-3 ? x.toPrecision(2) : x.toExponential(0));
  const ramp = [[255, 247, 214], [254, 204, 112], [250, 141, 62], [214, 54, 50], [128, 14, 44]];
  const colour = (t) => {
    const at = Math.min(Math.max(t, 0), 0.9999) * (ramp.length - 1), k = Math.floor(at);
    return ramp[k].map((c, i) => Math.round(c + (at - k) * (ramp[k + 1][i] - c)));
  };
  const draw = () => {
    const values = data.values[potential.value][temperature.value] || {};
    const shown = Object.values(values).map((v) => v[metric.value]).filter((v) => v > 0);
    const low = Math.min(...shown), high = Math.max(...shown);
    for (const cell of root.querySelectorAll(".cell")) {
      const value = (values[cell.dataset.element] || {})[metric.value];
      const known = value !== undefined;
      cell.classList.toggle("known", known);
      cell.querySelector("span").textContent = known ? digits(value) : "";
      const t = known && high > low ? Math.log(Math.max(value, low) / low) / Math.log(high / low) : 0.3;
      const [r, g, b] = colour(t);
      cell.style.background = known ? `rgb(${r},${g},${b})` : "";
      cell.style.color = known ? (0.3 * r + 0.59 * g + 0.11 * b < 140 ? "#fff" : "#1d2329") : "";
    }
    const [name, unit] = data.metrics[metric.value];
    root.querySelector("output").textContent = shown.length
      ? `${name} (${unit}), ${shown.length} metals: ${digits(low)} to ${digits(high)}; colours on a logarithmic scale`
      : "nothing to show here";
  };
  for (const select of [potential, temperature, metric]) select.addEventListener("change", draw);
  draw();
}

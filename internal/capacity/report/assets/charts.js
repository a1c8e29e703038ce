// Draws the report's charts with uPlot, and notes on each what was drawn:
// data-drawn is the number of coloured pixels, which the tests look at.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const style = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const drawn = [];

  const si = x => {
    if (x === null || x === undefined) return "";
    const a = Math.abs(x);
    const trim = s => s.includes(".") ? s.replace(/\.?0+$/, "") : s;
    if (a >= 1e6) return trim((x / 1e6).toFixed(2)) + "M";
    if (a >= 1e3) return trim((x / 1e3).toFixed(1)) + "K";
    return trim(x.toPrecision(3));
  };
  const ms = x => x >= 1000 ? si(x / 1000) + " s" : x >= 1 ? si(x) + " ms" : si(x * 1000) + " µs";

  const axis = (format, label) => ({
    stroke: style("soft"), grid: { stroke: style("grid"), width: 1 }, ticks: { stroke: style("grid"), width: 1 },
    font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", label, labelSize: 18,
    values: (_, ticks) => ticks.map(t => t === null ? "" : format(t)), size: (_, values) => values && values.some(v => v && v.length > 5) ? 68 : 54,
  });
  const below = a => Object.assign(a, { size: 32 });
  // A logarithmic axis is named at the powers of ten and, where there are few
  // of them, at their doubles and fives.
  const splits = (_, __, lo, hi) => {
    const decades = Math.log10(hi / lo), steps = decades > 4 ? [1] : decades > 2 ? [1, 3] : [1, 2, 5], out = [];
    for (let p = Math.pow(10, Math.floor(Math.log10(lo))); p <= hi; p *= 10)
      for (const s of steps) if (s * p >= lo && s * p <= hi) out.push(s * p);
    return out;
  };
  const sparse = (format, label) => {
    const a = axis(format, label), all = (_, found) => found;
    a.splits = splits;
    a.filter = a.grid.filter = a.ticks.filter = all;
    return a;
  };

  // lines draws horizontal or vertical marks with their names on the chart.
  const lines = marks => u => {
    const { ctx, bbox } = u, ratio = devicePixelRatio;
    ctx.save();
    ctx.font = `${12 * ratio}px system-ui, sans-serif`;
    ctx.setLineDash([6 * ratio, 4 * ratio]);
    ctx.lineWidth = 1.5 * ratio;
    marks.forEach((m, i) => {
      ctx.strokeStyle = ctx.fillStyle = m.color;
      ctx.beginPath();
      if (m.x !== undefined) {
        const x = u.valToPos(m.x, "x", true);
        ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
        const right = x < bbox.left + bbox.width * 0.7;
        ctx.textAlign = right ? "left" : "right"; ctx.textBaseline = "top";
        ctx.fillText(m.name, x + (right ? 4 : -4) * ratio, bbox.top + (4 + 15 * i) * ratio);
      } else {
        const y = u.valToPos(m.y, "y", true);
        if (y < bbox.top - 1) return;
        ctx.moveTo(bbox.left, y); ctx.lineTo(bbox.left + bbox.width, y); ctx.stroke();
        ctx.textAlign = "left"; ctx.textBaseline = y < bbox.top + 20 * ratio ? "top" : "bottom";
        ctx.fillText(m.name, bbox.left + 6 * ratio, y + (ctx.textBaseline === "top" ? 3 : -3) * ratio);
      }
    });
    ctx.restore();
  };

  const shades = rounds => u => {
    const { ctx, bbox } = u;
    ctx.save();
    for (const r of rounds) {
      const from = Math.max(bbox.left, u.valToPos(r.from, "x", true)), to = Math.min(bbox.left + bbox.width, u.valToPos(r.to, "x", true));
      ctx.fillStyle = style(r.clean ? "shade-good" : "shade-bad");
      ctx.fillRect(from, bbox.top, to - from, bbox.height);
    }
    ctx.restore();
  };

  // colored counts the pixels that are no shade of grey: the lines.
  const colored = canvas => {
    const p = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
    let n = 0;
    for (let i = 0; i < p.length; i += 4) {
      if (p[i + 3] > 128 && Math.max(p[i], p[i + 1], p[i + 2]) - Math.min(p[i], p[i + 1], p[i + 2]) > 60) n++;
    }
    return n;
  };

  // chart draws into the element with this id, and again when its width or
  // the colours change.
  const chart = (id, height, make) => {
    const box = document.getElementById(id);
    if (!box) return;
    const draw = () => {
      box.replaceChildren();
      const c = make();
      if (!c) {
        box.innerHTML = '<div class="none">nothing to show for this load</div>';
        box.dataset.drawn = "none";
        return;
      }
      const key = document.createElement("div");
      key.className = "key";
      for (const s of c.series.slice(1)) {
        if (!s.label) continue;
        const item = document.createElement("span"), swatch = document.createElement("i");
        swatch.style.borderTopColor = s.stroke;
        if (s.dash) swatch.className = "dash";
        item.append(swatch, s.label);
        key.append(item);
      }
      if (key.childElementCount > 1) box.append(key);
      const u = new uPlot({
        width: box.clientWidth, height, legend: { show: false }, cursor: { drag: { x: false, y: false } },
        scales: c.scales || { x: { time: false } }, axes: c.axes, series: c.series,
        hooks: { drawClear: c.below ? [c.below] : [], draw: c.above ? [c.above] : [] },
      }, c.data, box);
      requestAnimationFrame(() => { box.dataset.drawn = colored(u.ctx.canvas); });
    };
    drawn.push(draw);
    draw();
  };

  const line = (label, color, more) => Object.assign({ label, stroke: style(color), width: 2, points: { show: false } }, more);
  const dots = { show: true, size: 6 };
  const linear = { x: { time: false }, y: { range: (_, lo, hi) => [0, hi > 0 ? hi * 1.1 : 1] } };

  // A dashed line through bounds, a full one through what is confirmed.
  const colours = ["accent", "load", "drops", "good"];
  const named = [];
  const colourOf = name => {
    const of = name.replace(/, bounds$/, "");
    if (!named.includes(of)) named.push(of);
    return colours[named.indexOf(of) % colours.length];
  };
  chart("curve", 260, () => data.curve.cpu && data.curve.cpu.length > 1 && {
    data: [[0, ...data.curve.cpu], ...data.curve.series.map(s => [0, ...s.rate])],
    scales: linear, axes: [below(axis(si, "CPU limit")), axis(si, data.curve.unit)],
    series: [{}, ...data.curve.series.map(s => line(s.name, colourOf(s.name), Object.assign(
      { spanGaps: true, points: { show: true, size: 8, fill: style("card") } }, s.bound ? { dash: [6, 4] } : {})))],
    above: data.curve.knee && lines([{ x: data.curve.knee, name: "knee", color: style("warn") }]),
  });

  data.rows.forEach((row, i) => {
    const t = row.trials, shade = row.shade || [];
    const logRate = { distr: 3, range: (_, lo, hi) => [lo / 1.15, hi * 1.15], time: false };
    const marks = row.ndr > 0 ? [{ x: row.ndr, name: "NDR " + si(row.ndr), color: style("good") }] : [];
    if (row.pdr > row.ndr * 1.01) marks.push({ x: row.pdr, name: "PDR " + si(row.pdr), color: style("warn") });

    chart("time-" + i, 300, () => row.time.seconds && row.time.seconds.length > 1 && {
      data: [row.time.seconds, row.time.load, row.time.events, row.time.drops],
      scales: linear, axes: [below(axis(x => si(x) + " s", "time since the first round")), axis(si, "per second")],
      series: [{}, line("load, operations/s", "load", { dash: [6, 4] }), line("sensor events/s", "accent"), line("drops/s", "drops", { fill: style("shade-bad") })],
      below: shades(shade),
    });
    chart("loss-" + i, 240, () => t.rate && {
      data: [t.rate, t.loss],
      scales: { x: logRate, y: { range: (_, lo, hi) => [0, Math.max(hi * 1.1, 1)] } },
      axes: [below(sparse(si, "operations/s offered")), axis(x => si(x) + " %")],
      series: [{}, line("loss", "drops", { points: dots })], above: lines(marks),
    });
    chart("latency-" + i, 240, () => row.latency && {
      data: [t.rate, t.p50, t.p99, t.p999],
      scales: { x: logRate, y: { distr: 3, range: (_, lo, hi) => [lo / 1.6, hi * 1.6] } }, axes: [below(sparse(si, "operations/s offered")), sparse(ms)],
      series: [{}, line("p50", "accent", { points: dots }), line("p99", "load", { points: dots, dash: [6, 4] }), line("p99.9", "drops", { points: dots, dash: [2, 3] })],
      above: lines(marks),
    });
    const resource = (id, series, limit, name, format) => chart(id + "-" + i, 220, () => series && series.some(v => v !== null) && {
      data: [t.seconds, series],
      scales: { x: { time: false, range: (_, lo, hi) => [Math.min(0, lo), hi * 1.05 + 1] }, y: { range: (_, lo, hi) => [0, 1.15 * Math.max(hi, limit)] } },
      axes: [below(axis(x => si(x) + " s", "time since the first round")), axis(format)],
      series: [{}, line(name, "accent", { points: dots })], below: shades(shade),
      above: limit > 0 ? lines([{ y: limit, name: "limit " + format(limit), color: style("drops") }]) : undefined,
    });
    resource("cpu", t.cpu, row.cpu, "CPU", si);
    resource("memory", t.rss, row.memory / 1048576, "memory", x => si(x) + " MiB");
  });

  let width = innerWidth;
  const again = () => drawn.forEach(d => d());
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; again(); } });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  addEventListener("beforeprint", () => { document.querySelectorAll("details").forEach(d => { d.open = true; }); again(); });
})();

// Draws charts with uPlot from what Go calls page.Chart. Hover shows values;
// drag, + and - zoom; double-click, Escape and a button show all again; the
// arrow keys go from point to point. data-drawn is the number of coloured
// pixels, which the tests look at.
"use strict";
const peregrine = (() => {
  const style = name => getComputedStyle(document.documentElement).getPropertyValue("--" + name).trim();
  const trim = s => s.includes(".") ? s.replace(/\.?0+$/, "") : s;
  const si = x => {
    const a = Math.abs(x);
    if (a >= 1e9) return trim((x / 1e9).toFixed(2)) + "G";
    if (a >= 1e6) return trim((x / 1e6).toFixed(2)) + "M";
    if (a >= 1e3) return trim((x / 1e3).toFixed(1)) + "K";
    return trim(x.toPrecision(3));
  };
  // The values of an axis, by its unit. A percentile p is at 1/(1-p), as in
  // HdrHistogram's plots: each power of ten is another nine.
  const units = {
    "": si,
    s: x => si(x) + " s",
    ms: x => x >= 1000 ? si(x / 1000) + " s" : x >= 1 || x === 0 ? si(x) + " ms" : si(x * 1000) + " µs",
    "%": x => si(x) + " %",
    MiB: x => si(x) + " MiB",
    percentile: x => trim((100 - 100 / x).toFixed(Math.max(1, Math.ceil(Math.log10(x)) - 1))) + " %",
  };

  // A logarithmic axis is named at the powers of ten and, where there are few
  // of them, between them; at even steps if it spans less.
  const between = [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 2.5, 3, 4, 5, 6, 8]];
  const splits = unit => (_, __, lo, hi) => {
    if (!(lo > 1e-300 && hi < 1e300)) return []; // a power of ten would be 0 or Infinity, and have no next one
    const named = steps => {
      const out = [];
      for (let p = Math.pow(10, Math.floor(Math.log10(lo))); p <= hi; p *= 10)
        for (const s of steps) if (s * p >= lo && s * p <= hi) out.push(s * p);
      return out;
    };
    if (unit === "percentile" && hi > 10) return [1, 2, ...named([1]).filter(x => x > 1)].filter(x => x >= lo && x <= hi);
    const found = between.map(named).find(list => list.length >= 3);
    return found || [0.1, 0.4, 0.7].map(f => lo * Math.pow(hi / lo, f));
  };
  const axis = (of, more) => {
    const format = units[of.unit];
    const a = Object.assign({
      stroke: style("soft"), grid: { stroke: style("grid"), width: 1 }, ticks: { stroke: style("grid"), width: 1 },
      font: "12px system-ui, sans-serif", labelFont: "12px system-ui, sans-serif", label: of.label || undefined, labelSize: 18,
      values: (_, ticks) => ticks.map(t => t === null ? "" : format(t)), size: (_, values) => values && values.some(v => v && v.length > 5) ? 68 : 54,
    }, more);
    if (of.log) {
      a.splits = splits(of.unit);
      a.filter = a.grid.filter = a.ticks.filter = (_, found) => found;
    }
    return a;
  };

  // marks draws horizontal or vertical lines with their names.
  const marks = (list, yUnit) => u => {
    const { ctx, bbox } = u, ratio = devicePixelRatio;
    ctx.save();
    ctx.font = `${12 * ratio}px system-ui, sans-serif`;
    ctx.setLineDash([6 * ratio, 4 * ratio]);
    ctx.lineWidth = 1.5 * ratio;
    list.forEach((m, i) => {
      ctx.strokeStyle = ctx.fillStyle = style(m.color);
      ctx.beginPath();
      if (m.x !== undefined) {
        const x = u.valToPos(m.x, "x", true);
        if (x < bbox.left || x > bbox.left + bbox.width) return;
        ctx.moveTo(x, bbox.top); ctx.lineTo(x, bbox.top + bbox.height); ctx.stroke();
        const right = x < bbox.left + bbox.width * 0.7;
        ctx.textAlign = right ? "left" : "right"; ctx.textBaseline = "top";
        ctx.fillText(m.name + " " + si(m.x), x + (right ? 4 : -4) * ratio, bbox.top + (4 + 15 * i) * ratio);
      } else {
        const y = u.valToPos(m.y, "y", true);
        if (y < bbox.top - 1) return;
        ctx.moveTo(bbox.left, y); ctx.lineTo(bbox.left + bbox.width, y); ctx.stroke();
        ctx.textAlign = "left"; ctx.textBaseline = y < bbox.top + 20 * ratio ? "top" : "bottom";
        ctx.fillText(m.name + " " + units[yUnit](m.y), bbox.left + 6 * ratio, y + (ctx.textBaseline === "top" ? 3 : -3) * ratio);
      }
    });
    ctx.restore();
  };
  const spans = list => u => {
    const { ctx, bbox } = u;
    ctx.save();
    for (const s of list) {
      const from = Math.max(bbox.left, u.valToPos(s.from, "x", true)), to = Math.min(bbox.left + bbox.width, u.valToPos(s.to, "x", true));
      ctx.fillStyle = style(s.good ? "shade-good" : "shade-bad");
      if (to > from) ctx.fillRect(from, bbox.top, to - from, bbox.height);
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

  // keyOf is the line above a chart: its series, and their values at the cursor, and where it is.
  const keyOf = (c, reset) => {
    const row = document.createElement("div"), values = [];
    row.className = "key";
    const item = (...parts) => {
      const span = document.createElement("span"), value = document.createElement("b");
      span.append(...parts, value);
      values.push(value);
      row.append(span);
    };
    for (const l of c.lines) {
      const swatch = document.createElement("i");
      swatch.style.borderTopColor = style(l.color);
      if (l.dash) swatch.className = "dash";
      item(swatch, l.name);
    }
    item();
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "show all";
    button.hidden = true;
    button.addEventListener("click", reset);
    row.append(button);
    return { row, values, button };
  };

  const all = [];
  // chart draws c into an element, and again when its width or the colours
  // change. push adds a point: its x, and a value for each line.
  const chart = (box, c) => {
    const data = [c.x.values, ...c.lines.map(l => l.values)];
    let u, key, view = null; // view is what is zoomed to
    const zoom = (lo, hi) => {
      const xs = data[0];
      view = !xs.length || lo <= xs[0] && hi >= xs[xs.length - 1] || !(hi > lo) ? null : [Math.max(lo, xs[0]), Math.min(hi, xs[xs.length - 1])];
      key.button.hidden = view === null;
      box.dataset.zoomed = view !== null;
      if (view) u.setScale("x", { min: view[0], max: view[1] });
      else u.setData(data);
    };
    const reset = () => { zoom(-Infinity, Infinity); box.focus(); };
    const padX = (_, lo, hi) => {
      if (lo == null) return [0, 1];
      if (view) return view;
      if (c.x.log) return [lo / 1.15, hi * 1.15];
      return c.spans ? [Math.min(lo, c.spans[0].from), Math.max(hi, c.spans[c.spans.length - 1].to)] : [lo, hi];
    };
    const padY = (_, lo, hi) => {
      if (c.y.log) return lo > 0 ? [lo / 1.6, hi * 1.6] : [1, 10];
      const top = Math.max(hi || 0, c.y.least || 0, ...(c.marks || []).map(m => m.y || 0));
      return [0, top > 0 ? top * 1.1 : 1];
    };
    const show = u => {
      key.values.forEach((value, i) => {
        const of = (i + 1) % data.length, at = u.cursor.idxs ? u.cursor.idxs[of] : null, v = at == null ? null : data[of][at];
        value.textContent = v == null ? "" : of ? units[c.y.unit](v) : "at " + units[c.x.unit](v);
      });
    };
    const draw = () => {
      box.replaceChildren();
      if (!data[0].length && !c.live) {
        box.innerHTML = '<div class="none">nothing to show for this load</div>';
        box.dataset.drawn = "none";
        return;
      }
      key = keyOf(c, reset);
      box.append(key.row);
      const dots = l => ({ show: !!l.dots, size: 6, fill: style("card") });
      u = new uPlot({
        width: box.clientWidth, height: c.height, legend: { show: false },
        cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 7 } },
        scales: { x: { time: false, distr: c.x.log ? 3 : 1, range: padX }, y: { distr: c.y.log ? 3 : 1, range: padY } },
        axes: [axis(c.x, { size: 32 }), axis(c.y)],
        series: [{}, ...c.lines.map(l => ({
          label: l.name, stroke: style(l.color), width: 2, dash: l.dash || undefined, spanGaps: !!l.join, points: dots(l), fill: l.fill ? style(l.fill) : undefined,
        }))],
        hooks: {
          drawClear: c.spans ? [spans(c.spans)] : [], draw: c.marks ? [marks(c.marks, c.y.unit)] : [], setCursor: [show],
          setSelect: [u => {
            if (u.select.width < 4) return;
            const { left, width } = u.select;
            u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
            zoom(u.posToVal(left, "x"), u.posToVal(left + width, "x"));
          }],
        },
      }, data, box);
      u.over.addEventListener("dblclick", reset);
      if (view) zoom(...view);
      requestAnimationFrame(() => { box.dataset.drawn = colored(u.ctx.canvas); });
    };
    // step puts the cursor on the next point, and takes the view with it.
    const step = by => {
      const xs = data[0], at = Math.min(xs.length - 1, Math.max(0, u.cursor.idx == null ? (by > 0 ? 0 : xs.length - 1) : u.cursor.idx + by));
      const { min, max } = u.scales.x, x = xs[at], edge = x > max ? max : x < min ? min : x;
      if (edge !== x) c.x.log ? zoom(min * x / edge, max * x / edge) : zoom(min + x - edge, max + x - edge);
      queueMicrotask(() => u.setCursor({ left: u.valToPos(x, "x"), top: u.over.clientHeight / 2 })); // after the scale
    };
    const closer = by => {
      const width = u.over.clientWidth, at = u.cursor.left >= 0 ? u.cursor.left : width / 2;
      zoom(u.posToVal(at - at * by, "x"), u.posToVal(at + (width - at) * by, "x"));
    };
    const keys = { "+": () => closer(0.5), "=": () => closer(0.5), "-": () => closer(2), Escape: reset, ArrowLeft: () => step(-1), ArrowRight: () => step(1) };
    box.tabIndex = 0;
    box.addEventListener("keydown", e => {
      if (!u || !data[0].length || e.ctrlKey || e.altKey || e.metaKey || !Object.hasOwn(keys, e.key)) return;
      e.preventDefault();
      keys[e.key]();
    });
    all.push(draw);
    draw();
    return {
      push: (x, values) => { data[0].push(x); values.forEach((v, i) => data[i + 1].push(v)); },
      draw: () => u.setData(data, view === null),
    };
  };

  let width = innerWidth;
  const again = () => all.forEach(draw => draw());
  addEventListener("resize", () => { if (innerWidth !== width) { width = innerWidth; again(); } });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  addEventListener("beforeprint", () => { document.querySelectorAll("details").forEach(d => { d.open = true; }); again(); });

  const data = document.getElementById("data");
  const charts = {};
  for (const c of data ? JSON.parse(data.textContent) : []) charts[c.id] = chart(document.getElementById(c.id), c);
  return { charts, units };
})();

// The two charts, with labelled axes.
const INK = "#5b6675", LINE = "#dde2e8", L2RW = "#1668b8", PLAIN = "#8a94a0", WRONG = "#c8452d";
const EDGE = { left: 44, right: 12, top: 8, bottom: 40 };

function frame(canvas, xLabel, yLabel, xTicks, yTicks) {
  const { width, height } = canvas.getBoundingClientRect();
  const scale = devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const c = canvas.getContext("2d");
  c.scale(scale, scale);
  c.font = "12px system-ui, 'DejaVu Sans', sans-serif";
  c.fillStyle = INK;
  c.strokeStyle = LINE;
  const x = (t) => EDGE.left + t * (width - EDGE.left - EDGE.right);
  const y = (t) => height - EDGE.bottom - t * (height - EDGE.top - EDGE.bottom);
  c.textAlign = "right"; c.textBaseline = "middle";
  for (const [t, text] of yTicks) {
    c.beginPath(); c.moveTo(x(0), y(t)); c.lineTo(x(1), y(t)); c.stroke();
    c.fillText(text, x(0) - 5, y(t));
  }
  c.textAlign = "center"; c.textBaseline = "top";
  for (const [t, text] of xTicks) c.fillText(text, x(t), y(0) + 5);
  c.fillText(xLabel, x(0.5), height - 16);
  c.save(); c.translate(2, y(0.5)); c.rotate(-Math.PI / 2); c.fillText(yLabel, 0, 0); c.restore();
  return { c, x, y };
}

export function drawAccuracy(canvas, history) {
  const last = Math.max(100, history.at(-1)?.step ?? 0);
  const { c, x, y } = frame(canvas, "training step", "right answers",
    [0, 0.5, 1].map((t) => [t, Math.round(t * last)]),
    [0, 0.25, 0.5, 0.75, 1].map((t) => [t, `${100 * t}%`]));
  for (const [key, colour] of [["plain", PLAIN], ["l2rw", L2RW]]) {
    c.strokeStyle = colour; c.lineWidth = 2; c.beginPath();
    history.forEach((p, i) => c[i ? "lineTo" : "moveTo"](x(p.step / last), y(p[key])));
    c.stroke();
  }
}

export function drawWeights(canvas, progress) {
  const both = progress ? [progress.right, progress.wrong] : [[], []];
  const top = Math.max(0.2, ...both.flat());
  const { c, x, y } = frame(canvas, "mean weight (1 = the baseline's)", "share of labels",
    [[0, "0"], [1 / 3, "1"], [2 / 3, "2"], [0.97, "3+"]],
    [0, 0.5, 1].map((t) => [t, `${Math.round(100 * t * top)}%`]));
  both.forEach((bins, which) => bins.forEach((share, i) => {
    c.fillStyle = which ? WRONG : L2RW;
    const half = (x(1) - x(0)) / bins.length / 2;
    c.fillRect(x(i / bins.length) + which * half, y(share / top), half - 1, y(0) - y(share / top));
  }));
}

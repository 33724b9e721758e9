// The page: buttons, charts and the loop that trains. The mathematics is in the WebAssembly module.
import init, { Album, Run, fixture, open, side } from "./l2rw_web.js";
import { drawAccuracy, drawWeights } from "./charts.js";
import { collect, toBytes } from "./pictures.js";

const STEPS_AT_ONCE = 5;
const SUSPECTS = 24;
const $ = (id) => document.getElementById(id);
let gpu, album, run = null, names = [], history = [], running = false, busy = null, last = null;
let isOwn = false;
const own = new Map();

function say(text) { $("status").textContent = text; }

function showUnsupported(reason) {
  const box = $("unsupported");
  box.hidden = false;
  box.textContent = `${reason} This page needs WebGPU: take a current Chrome or Edge, Safari 26 or ` +
    "Firefox 141 on Windows or newer. On Linux, Chrome may want chrome://flags/#enable-unsafe-webgpu.";
  say("");
}

function buttons() {
  $("start").disabled = !gpu || running;
  $("pause").disabled = !running;
  $("reset").disabled = !run;
  $("csv").disabled = !last;
  $("use-own").disabled = !gpu || own.size < 2;
  $("use-drawn").disabled = !isOwn;
}

function draw() {
  drawAccuracy($("accuracy"), history);
  drawWeights($("weights"), last);
  const percent = (x) => (x === undefined ? "–" : `${(100 * x).toFixed(1)}%`);
  $("l2rw").textContent = percent(last?.l2rw);
  $("plain").textContent = percent(last?.plain);
}

function drawSuspects() {
  const list = run && last?.step ? JSON.parse(run.suspects(SUSPECTS)) : [];
  const hits = list.filter((s) => s.wrong).length;
  $("found").textContent = list.length && last.labels[0]
    ? `The labels that L2RW doubts most, the worst first. ${hits} of these ${list.length} were ` +
      "indeed made wrong (red frames); the caption is the label as given."
    : "The labels that L2RW doubts most, the worst first; the caption is the label as given.";
  $("suspects").replaceChildren(...list.map((suspect) => {
    const figure = document.createElement("figure");
    figure.className = suspect.wrong ? "wrong" : "";
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = side();
    const pixels = new ImageData(side(), side());
    run.image(suspect.index).forEach((v, i) => { pixels.data[4 * ((i / 3) | 0) + (i % 3)] = v; });
    for (let i = 3; i < pixels.data.length; i += 4) pixels.data[i] = 255;
    canvas.getContext("2d").putImageData(pixels, 0, 0);
    const caption = document.createElement("figcaption");
    caption.textContent = names[suspect.label];
    figure.append(canvas, caption);
    return figure;
  }));
}

async function loop() {
  try {
    if (!run) {
      say("Preparing…");
      run = await Run.start(gpu, album, +$("clean").value, $("noise").value / 100, 1);
      names = run.classes();
    }
    while (running) {
      const before = performance.now();
      await run.steps(STEPS_AT_ONCE);
      const seconds = (performance.now() - before) / 1000 / STEPS_AT_ONCE;
      last = JSON.parse(await run.progress());
      last.seconds = seconds;
      history.push(last);
      say(`Step ${last.step}. ${last.labels[0]} of ${last.labels[1]} labels are wrong. ` +
        `A step of both takes ${(1000 * seconds).toFixed(0)} ms.`);
      draw();
      if (history.length % 4 === 0) drawSuspects();
      buttons();
    }
    drawSuspects();
  } catch (error) {
    say(error.message);
    running = false;
  }
  buttons();
}

function start() {
  if (running || !gpu) return;
  running = true;
  buttons();
  busy = (busy ?? Promise.resolve()).then(loop);
}

async function pause() {
  running = false;
  buttons();
  await busy;
}

async function reset() {
  await pause();
  run?.free();
  run = null; history = []; last = null;
  say("Ready.");
  draw(); drawSuspects(); buttons();
}

function download() {
  const quote = (text) => `"${String(text).replaceAll('"', '""')}"`;
  const files = isOwn ? [...own.values()].flat().map((p) => p.name) : null;
  const rows = JSON.parse(run.suspects(1e6)).map((s) =>
    [quote(files ? files[trainFile(s.place)] : `drawn ${s.place}`), quote(names[s.label]),
      s.doubt.toFixed(4), s.weight.toFixed(4), s.wrong].join(","));
  const text = ["picture,label,doubt,mean_weight,made_wrong_here", ...rows].join("\n") + "\n";
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = "doubtful-labels.csv";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// Every fifth picture of a class is kept for the test: the place among those that are not.
function trainFile(place) {
  let file = 0;
  for (const pictures of own.values()) {
    for (let i = 1; i <= pictures.length; i++, file++) {
      if (i % 5 && place-- === 0) return file;
    }
  }
  return -1;
}

async function add(found) {
  for (const { className, file } of found) {
    const name = className || $("class-name").value.trim() || "unnamed";
    try {
      const bytes = await toBytes(file, side());
      own.set(name, [...(own.get(name) ?? []), { name: `${name}/${file.name}`, bytes }]);
    } catch { say(`${file.name} is no picture that this browser reads.`); }
  }
  $("classes").replaceChildren(...[...own].map(([name, pictures]) => {
    const item = document.createElement("li");
    item.textContent = `${name}: ${pictures.length} pictures`;
    return item;
  }));
  buttons();
}

async function useOwn() {
  await reset();
  const pictures = [...own.values()];
  const images = new Uint8Array(pictures.flat().length * side() * side() * 3);
  pictures.flat().forEach((p, i) => images.set(p.bytes, i * p.bytes.length));
  const labels = Uint32Array.from(pictures.flatMap((list, label) => list.map(() => label)));
  try {
    album = Album.own([...own.keys()].join("\n"), images, labels);
    isOwn = true;
    $("noise").value = 0; show();
    say("Ready to train on your pictures.");
  } catch (error) { say(error.message); }
  buttons();
}

async function useDrawn() {
  await reset();
  album = Album.drawn(1);
  isOwn = false;
  buttons();
}

function show() {
  $("noise-out").textContent = `${$("noise").value}%`;
  $("clean-out").textContent = $("clean").value;
}

$("start").onclick = start;
$("pause").onclick = pause;
$("reset").onclick = reset;
$("csv").onclick = download;
$("use-own").onclick = useOwn;
$("use-drawn").onclick = useDrawn;
$("files").onchange = (event) => add([...event.target.files].map((file) => ({ file })));
for (const id of ["noise", "clean"]) {
  $(id).oninput = show;
  $(id).onchange = reset;
}
const drop = $("drop");
drop.ondragover = (event) => { event.preventDefault(); drop.classList.add("over"); };
drop.ondragleave = () => drop.classList.remove("over");
drop.ondrop = async (event) => {
  event.preventDefault();
  drop.classList.remove("over");
  await add(await collect(event.dataTransfer));
};
addEventListener("resize", draw);

draw();
if (!navigator.gpu) {
  showUnsupported("This browser offers no WebGPU.");
} else {
  try {
    await init({ module_or_path: new URL("l2rw_web_bg.wasm", import.meta.url) });
    gpu = await open();
    album = Album.drawn(1);
    say("Ready.");
    // For the test.
    window.l2rw = { idle: () => busy, fixture: () => fixture(gpu), history: () => history };
  } catch (error) {
    showUnsupported(`WebGPU does not start here (${error.message}).`);
  }
}
buttons();

// Drives the page of an audit in headless Chromium: `node audit.cjs target_folder l2rw`. Screenshots
// lie in target/page-test afterwards.
const assert = require("node:assert");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { pathToFileURL } = require("node:url");
const { openBrowser, saveBmp } = require("../../examples/web/test/browser.cjs");
const { look, desktop, phone } = require("./screens.cjs");

const [target, l2rw] = process.argv.slice(2).map((argument) => path.resolve(argument));
const work = path.join(target, "page-test");
// What a spreadsheet takes for a formula, and what has to be quoted.
const CLASSES = ["=sky", 'sea, "deep"'];
const COUNT = 40, WRONG = [7, 23];

// Pictures of several sizes: a bright half above or below, with waves in it.
function pictures() {
  CLASSES.forEach((name, number) => {
    const folder = path.join(work, "data", name);
    fs.mkdirSync(folder, { recursive: true });
    for (let i = 0; i < COUNT; i++) {
      const own = WRONG.includes(i) ? 1 - number : number;
      const [width, height] = [[320, 240], [240, 320], [400, 160]][i % 3];
      const level = (x, y, c) => {
        const bright = (y < height / 2) === (own === 1);
        const wave = 40 * Math.sin(x / (9 + i % 5) + i) * Math.cos(y / 17);
        return (bright ? [200, 150, 80][c] : [60, 70, 40][c]) + Math.round(wave * (c + 1) / 3);
      };
      saveBmp(path.join(folder, `${i} of ${COUNT}.bmp`), width, height, level);
    }
  });
}

function audit() {
  const fixed = ["audit", "--data", "data", "--clean-per-class", "8", "--model", "lenet5"];
  const run = [...fixed, "--size", "16", "--steps", "60", "--batch", "40", "--out", "audit"];
  return execFileSync(l2rw, run, { cwd: work, encoding: "utf8" });
}

// The card at a place of the grid.
const card = (page, place) => page.locator(".card").nth(place);

async function decide(page) {
  for (const place of [0, 1, 2]) await card(page, place).getByLabel("wrong").check();
  await card(page, 2).locator("select").selectOption({ label: "leave it out" });
  for (const place of [3, 4]) await card(page, place).getByLabel("right").check();
  // A second thought.
  await card(page, 5).getByLabel("wrong").check();
  await card(page, 5).getByLabel("right").check();
  assert.ok(!await card(page, 5).getByLabel("wrong").isChecked(), "both wrong and right");
  await card(page, 6).getByLabel("wrong").check();
  await card(page, 6).getByLabel("wrong").uncheck();
  assert.match(await page.textContent("#count"), /^3 wrong, 3 right/);
  await page.reload();
  assert.match(await page.textContent("#count"), /^3 wrong, 3 right/, "not kept");
  await page.check("#open");
  const left = await page.locator(".card").count();
  await page.uncheck("#open");
  assert.equal(left, await page.locator(".card").count() - 6);
}

async function main() {
  fs.rmSync(work, { recursive: true, force: true });
  fs.mkdirSync(work, { recursive: true });
  pictures();
  audit();
  const file = path.join(work, "audit", "audit.html");
  console.log(`${(fs.statSync(file).size / 1e6).toFixed(2)} MB of page`);
  const { page, problems, close } = await openBrowser(...desktop);
  try {
    await page.goto(pathToFileURL(file).href);
    assert.equal(await page.locator(".card").count(), 2 * (COUNT - 8));
    await page.waitForFunction(() => document.querySelector(".card img").naturalWidth > 0);
    const sides = await card(page, 0).locator("img").evaluate((image) =>
      [image.naturalWidth, image.naturalHeight]);
    assert.equal(Math.max(...sides), 160);
    const meters = await page.locator(".bar i").evaluateAll((all) => all.map((meter) =>
      meter.getBoundingClientRect().width / meter.parentElement.getBoundingClientRect().width));
    assert.ok(meters[0] > 0.8 && meters.at(-1) < 0.5, "meters do not show scores");
    assert.notEqual(sides[0], sides[1], "cut to what the network sees");
    const first = await card(page, 0).textContent();
    assert.ok(WRONG.some((i) => first.includes(`${i} of ${COUNT}.bmp`)), first);
    await decide(page);
    await look(page, desktop, work, "desktop");
    await page.setViewportSize({ width: 390, height: 844 });
    await page.reload();
    await look(page, phone, work, "phone");
    const [csv] = await Promise.all([page.waitForEvent("download"), page.click("#export")]);
    const decisions = path.join(work, csv.suggestedFilename());
    await csv.saveAs(decisions);
    assert.equal(fs.readFileSync(decisions, "utf8").trim().split("\n").length, 7);
    // The very command that the page gives, with this program in the place of the installed one.
    const command = (await page.textContent("#command")).replace(/^l2rw/, `"${l2rw}"`);
    const printed = execFileSync("sh", ["-c", command], { cwd: work, encoding: "utf8" });
    assert.match(printed, /3 labels are right, 2 corrected, 1 examples left out/);
    assert.ok(fs.existsSync(path.join(work, "audit-decided", "audit.html")));
    assert.deepEqual(problems, [], "errors on the console");
    console.log("page-test: passed");
  } finally {
    await close();
  }
}

main().catch((error) => { console.error(error); process.exit(1); });

// Drives the page in headless Chromium: `node drive.cjs target_folder`. Screenshots lie in
// target/web-test afterwards.
const assert = require("node:assert");
const fs = require("node:fs");
const http = require("node:http");
const os = require("node:os");
const path = require("node:path");
const { openBrowser, saveBmp } = require("./browser.cjs");

const target = process.argv[2];
const pages = path.join(target, "web"), shots = path.join(target, "web-test");
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css",
  ".wasm": "application/wasm" };
const LONGEST = Number(process.env.L2RW_WEB_STEPS ?? 400);

function serve() {
  const server = http.createServer((request, response) => {
    const name = request.url === "/" ? "index.html" : path.basename(request.url);
    const file = path.join(pages, name);
    if (!fs.existsSync(file)) { response.writeHead(404).end(); return; }
    response.writeHead(200, { "content-type": TYPES[path.extname(file)] ?? "text/plain" });
    response.end(fs.readFileSync(file));
  });
  return new Promise((done) => server.listen(0, "127.0.0.1", () => done(server)));
}

function compare(browser, native) {
  for (const key of ["similarities", "weights"]) {
    assert.equal(browser[key].length, native[key].length);
    const scale = Math.max(...native[key].map(Math.abs));
    const off = Math.max(...native[key].map((v, i) => Math.abs(v - browser[key][i]))) / scale;
    console.log(`${key}: ${off.toExponential(1)} of the largest apart`);
    assert.ok(off < 1e-4, `${key} differ`);
  }
}

// A folder a class: dark and light squares, as 24-bit BMP files of one size.
function ownPictures(count) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "l2rw-pictures-"));
  for (const [name, base] of [["dark", 20], ["light", 170]]) {
    fs.mkdirSync(path.join(folder, name));
    for (let i = 0; i < count; i++) {
      const level = (x, y, c) => base + (((60 * y + 3 * x + c + 54) * 31 + i * 17) % 60);
      saveBmp(path.join(folder, name, `${i}.bmp`), 20, 20, level);
    }
  }
  return folder;
}

// Drops folders of the visitor's on the page as the system does, and trains on them.
async function trainOnOwn(page, count) {
  const folder = ownPictures(count);
  try {
    await page.locator("#drop").scrollIntoViewIfNeeded();
    const box = await page.locator("#drop").boundingBox();
    const session = await page.context().newCDPSession(page);
    const files = ["dark", "light"].map((name) => path.join(folder, name));
    for (const type of ["dragEnter", "dragOver", "drop"]) {
      await session.send("Input.dispatchDragEvent", { type, x: box.x + box.width / 2,
        y: box.y + box.height / 2, data: { items: [], files, dragOperationsMask: 1 } });
    }
    await page.waitForFunction((n) =>
      [...document.querySelectorAll("#classes li")].filter((li) =>
        li.textContent.endsWith(`: ${n} pictures`)).length === 2, count, { timeout: 30e3 });
    await page.click("#use-own");
    await page.waitForFunction(() =>
      document.getElementById("status").textContent.includes("your pictures"));
    await page.locator("#clean").fill("3");
    await page.click("#start");
    await page.waitForFunction(() => window.l2rw.history().length > 1, null, { timeout: 120e3 });
    await page.click("#pause");
    await page.evaluate(() => window.l2rw.idle());
    const [csv] = await Promise.all([page.waitForEvent("download"), page.click("#csv")]);
    const text = fs.readFileSync(await csv.path(), "utf8");
    assert.ok(/"light\/\d+\.bmp","light"/.test(text), text.slice(0, 300));
    console.log(`own pictures: ${text.trim().split("\n").length - 1} labels judged`);
  } finally {
    fs.rmSync(folder, { recursive: true, force: true });
  }
}

async function main() {
  fs.mkdirSync(shots, { recursive: true });
  const server = await serve();
  const { page, problems, close } = await openBrowser(1200, 900);
  try {
    await page.goto(`http://127.0.0.1:${server.address().port}/`);
    await page.waitForFunction(() => window.l2rw || !document.getElementById("unsupported").hidden);
    assert.ok(await page.locator("#unsupported").isHidden(), await page.textContent("#unsupported"));

    const native = JSON.parse(fs.readFileSync(path.join(target, "web-fixture.json")));
    const browser = JSON.parse(await page.evaluate(() => window.l2rw.fixture()));
    console.log(`browser: ${browser.adapter}, staged ${browser.staged.join(" of ")};`,
      `native: ${native.adapter}, staged ${native.staged.join(" of ")}`);
    assert.ok(browser.staged[0] > 20, "no kernels that stage products in workgroup memory ran");
    compare(browser, native);

    const last = () => page.evaluate(() => window.l2rw.history().at(-1) ?? null);
    await page.click("#start");
    await page.waitForFunction(() => window.l2rw.history().length > 1, null, { timeout: 120e3 });
    const pause = async () => {
      await page.click("#pause");
      // The steps under way are finished first.
      await page.evaluate(() => window.l2rw.idle());
    };
    await pause();
    const paused = await last();
    await page.waitForTimeout(2000);
    assert.equal((await last()).step, paused.step, "pause does not stop");
    await page.click("#start");
    let now = paused;
    while (now.step < LONGEST && !(now.step >= 150 && now.l2rw > now.plain + 0.03)) {
      await page.waitForTimeout(1000);
      now = await last();
    }
    await pause();
    const factor = now.seconds / native.seconds;
    console.log(`a step of both: ${native.seconds.toFixed(3)} s natively, ${factor.toFixed(2)} times`,
      "as long in the browser");
    console.log(`step ${now.step}: baseline ${now.plain}, L2RW ${now.l2rw}, ${now.seconds} s a step`);
    await page.screenshot({ path: path.join(shots, "desktop.png"), fullPage: true });
    await page.setViewportSize({ width: 390, height: 844 });
    await page.waitForTimeout(500);
    await page.screenshot({ path: path.join(shots, "phone.png"), fullPage: true });
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= 390, `the page is ${width} pixels wide on a phone`);
    assert.ok(now.l2rw > now.plain, "L2RW does not pass the baseline");
    const [csv] = await Promise.all([page.waitForEvent("download"), page.click("#csv")]);
    assert.ok(fs.readFileSync(await csv.path(), "utf8").split("\n").length > 100);
    await page.click("#reset");
    await page.waitForFunction(() => window.l2rw.history().length === 0);
    await trainOnOwn(page, 24);
    assert.deepEqual(problems, [], "errors on the console");
    console.log("web-test: passed");
  } finally {
    await close();
    server.close();
  }
}

main().catch((error) => { console.error(error); process.exit(1); });

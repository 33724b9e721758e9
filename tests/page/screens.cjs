// What tests of pages have in common: looks at a page on two screens.
const assert = require("node:assert");
const path = require("node:path");

// Nothing is wider than the screen; a screenshot of its beginning goes into the folder.
async function look(page, [width, height], folder, name) {
  await page.setViewportSize({ width, height });
  await page.waitForTimeout(300);
  await page.waitForFunction(() => [...document.querySelectorAll("img")].slice(0, 4)
    .every((image) => image.naturalWidth > 0 || !image.checkVisibility()));
  const wide = await page.evaluate(() => document.documentElement.scrollWidth);
  assert.ok(wide <= width, `the page is ${wide} pixels wide on a screen of ${width}`);
  await page.evaluate(() => scrollTo(0, 0));
  await page.screenshot({ path: path.join(folder, `${name}.png`) });
}

module.exports = { look, desktop: [1280, 900], phone: [390, 844] };

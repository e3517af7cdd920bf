// screenshots.mjs URL FIRST SECOND: the picture of the page, twice, two seconds apart, in headless Chromium.
import { createRequire } from "node:module";

const { chromium } = createRequire(process.env.NODE_PATH + "/")("playwright-core");
const [url, first, second] = process.argv.slice(2);

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
  ],
});
try {
  const page = await browser.newPage({ viewport: { width: 1280, height: 900 } });
  await page.goto(url);
  // Two seconds in, the player no longer fills its buffer.
  await page.waitForFunction(() => document.querySelector("video").currentTime > 2, null, { timeout: 60_000 });
  const picture = page.locator("video");
  await picture.evaluate((video) => (video.controls = false));
  await picture.screenshot({ path: first });
  await page.waitForTimeout(2000);
  await picture.screenshot({ path: second });
  console.log(await page.locator("#status").textContent());
} finally {
  await browser.close();
}

// page.mjs URL PASSWORD FOLDER: a person with a phone on the status page, in headless Chromium. Prints what was seen as
// JSON, and leaves pictures in FOLDER.
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";

const { chromium } = createRequire(process.env.NODE_PATH + "/")("playwright-core");
const [url, password, folder] = process.argv.slice(2);
const PHONE = { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };
const seen = { complaints: [], sizes: {}, notices: [] };

// What would make a page hard to use with a thumb, in the sun.
function measure(page) {
  return page.evaluate(() => {
    const shown = (it) => it.offsetParent !== null;
    const elements = [...document.querySelectorAll("body *")].filter(shown);
    const boxes = [...document.querySelectorAll("button, input:not([type=hidden]), select")].filter(shown);
    const light = (color) => {
      const [r, g, b] = color.match(/[\d.]+/g).map((part) => {
        const share = part / 255;
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ground = (it) => {
      for (; it; it = it.parentElement) {
        const color = getComputedStyle(it).backgroundColor;
        if (!/^rgba.*, 0\)$/.test(color)) return color;
      }
      return "rgb(255, 255, 255)";
    };
    const contrast = (it) => {
      const [a, b] = [light(getComputedStyle(it).color), light(ground(it))].sort((x, y) => y - x);
      return (a + 0.05) / (b + 0.05);
    };
    const texts = elements.filter((it) => [...it.childNodes].some((node) => node.nodeType === 3 && node.data.trim()));
    return {
      overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
      smallestText: Math.min(...texts.map((it) => parseFloat(getComputedStyle(it).fontSize))),
      lowestTarget: Math.min(...boxes.map((it) => it.getBoundingClientRect().height)),
      leastContrast: Math.min(...texts.map(contrast)),
    };
  });
}

async function open(options) {
  const context = await browser.newContext({ ...PHONE, ...options });
  const page = await context.newPage();
  page.on("console", (message) => message.type() === "error" && seen.complaints.push(message.text()));
  page.on("pageerror", (error) => seen.complaints.push(String(error)));
  page.on("request", (request) => request.url().startsWith(url) || seen.complaints.push(`asked ${request.url()}`));
  await page.goto(url);
  return page;
}

async function look(page, name) {
  seen.sizes[name] = await measure(page);
  await page.screenshot({ path: `${folder}/${name}.png`, fullPage: true });
}

async function logIn(page) {
  await page.getByText("Log in to start").click();
  await page.getByLabel(/^Password/).fill(password);
  await page.getByRole("button", { name: "Log in", exact: true }).click();
  await page.getByRole("button", { name: "Log out" }).waitFor();
}

async function press(page, name) {
  await Promise.all([page.waitForEvent("load"), page.getByRole("button", { name, exact: true }).click()]);
  const notice = page.locator("main > .notice[role=status]");
  await notice.waitFor();
  seen.notices.push(await notice.textContent());
}

// A slow machine's uplink is choked now and then, which is on air too.
const ON_AIR = "Live Degraded";

function stateIs(page, states) {
  const any = states.split(" ").map((state) => `#state[data-state=${state}]`);
  return page.locator(any.join(", ")).waitFor({ timeout: 60_000 });
}

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"],
});
try {
  const guest = await open({});
  await stateIs(guest, ON_AIR);
  await look(guest, "guest");
  await look(await open({ colorScheme: "dark" }), "dark");
  await look(await open({ viewport: { width: 320, height: 640 } }), "narrow");

  const page = await open({});
  await logIn(page);
  await look(page, "operator");
  await press(page, "Stop");
  // Without anybody's doing: the script sees it.
  await stateIs(page, "Idle");
  await stateIs(guest, "Idle");
  await look(page, "stopped");
  await press(page, "Start");
  await stateIs(page, ON_AIR);
  await page.getByLabel(/^Bitrate/).fill("2500");
  await press(page, "Set");
  seen.camera = await page.locator("#camera").textContent();
  await page.getByLabel("Screen").selectOption("c2");
  await press(page, "Show");
  seen.screen = await page.locator("#camera").textContent();
  await press(page, "Run the doctor");
  seen.network = await page.locator("#network").textContent();
  seen.doctor = await page.locator("#doctor").textContent();
  await look(page, "doctor");
  const download = page.waitForEvent("download");
  await page.getByRole("link", { name: "Download the report" }).click();
  seen.report = readFileSync(await (await download).path(), "utf8");
  // What a person types is not taken away by the script.
  await page.getByLabel(/^Bitrate/).fill("3333");
  const figures = await page.locator("#stream").textContent();
  await page.waitForFunction((old) => document.querySelector("#stream").textContent !== old, figures);
  seen.typed = await page.getByLabel(/^Bitrate/).inputValue();

  const plain = await open({ javaScriptEnabled: false });
  await logIn(plain);
  await press(plain, "Stop");
  await stateIs(page, "Idle");
  await plain.getByRole("link", { name: "Reload" }).click();
  await stateIs(plain, "Idle");
  await plain.getByRole("button", { name: "Log out" }).click();
  await plain.getByText("Log in to start").waitFor();
  seen.html = await plain.content();
  console.log(JSON.stringify(seen));
} finally {
  await browser.close();
}

// SPDX-License-Identifier: LGPL-2.1-or-later

// A browser on a leash: node browser.mjs NODE_MODULES. Each line of the input is the text of a piece of JavaScript,
// as JSON; it runs with `page`, `context`, `open` and `axe`, and one line of JSON answers it: {value} or {error}.
// Whatever a page complains of (console, exceptions, failed requests, its own policy) is kept in `complaints`.

import {readFileSync} from "node:fs";
import {createRequire} from "node:module";
import {createInterface} from "node:readline";

const require = createRequire(process.argv[2] + "/");
const {chromium} = require("playwright-core");
const axe_text = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");
const browser = await chromium.launch({executablePath: "/usr/bin/chromium", args: ["--no-sandbox"]});
const complaints = [];
let context, page;

async function open(address, options = {}) {
  await context?.close();
  context = await browser.newContext(options);
  context.setDefaultTimeout(60000);
  page = await context.newPage();
  page.on("console", message => complaints.push(message.text()));
  page.on("pageerror", error => complaints.push(String(error)));
  page.on("requestfailed", request => complaints.push(`${request.url()}: ${request.failure()?.errorText}`));
  await page.goto(address);
}

// What makes the page hard to use for people who can't see it, or see it badly.
async function axe() {
  await page.evaluate(axe_text);
  const found = await page.evaluate(() => axe.run());
  return found.violations.map(({id, nodes}) => `${id}: ${nodes.map(node => node.html).join(" ")}`);
}

const AsyncFunction = (async () => {}).constructor;

for await (const line of createInterface({input: process.stdin})) {
  const run = new AsyncFunction("page", "context", "open", "axe", "complaints", JSON.parse(line));
  let answer;
  try {
    answer = {value: await run(page, context, open, axe, complaints) ?? null};
  } catch (error) {
    answer = {error: String(error)};
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
await browser.close();

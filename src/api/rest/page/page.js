// SPDX-License-Identifier: LGPL-2.1-or-later

// The status page. It reads the lists once, and from then on the stream of events tells each change, so the page
// never asks again to find out whether something has happened. The stream ends while the page is hidden: a browser
// has six connections to a host, and pages in the background would take them from the one that is looked at. When
// the page is shown again, the daemon sends what was missed, or "resync", and then the lists are read anew.
//
// The stream is read with fetch(), because an EventSource can't send a token and gives up at the first refusal.
// All addresses are relative, so that the page works below a proxy's path too. What the daemon tells is put on the
// page as text only, never as HTML.

const ROWS_MAX = 200;            // of volumes; the rest is found by the filter
const PAGE = 1000;               // rows of a list that are asked for at once
const EVENTS_MAX = 100;          // kept on the page
const TIMES_MAX = 60;            // operations in the plot
const HISTORY_PAGE = 25;
const SILENCE_MS = 45000;        // the daemon sends a beat each 15 s, so a stream without three of them is dead
const BACK_MIN_MS = 1000, BACK_MAX_MS = 30000;
const FIGURES_MS = 3000;         // CloudStack's times are read again so long after an operation has ended
const PARTS = ["own", "waiting", "cloudstack", "kernel"];   // of the time of an operation
const FINAL = ["completed", "failed", "cancelled"];

const find = id => document.getElementById(id);

const known = {
  health: null,
  operations: new Map(),         // not ended, by id
  mappings: new Map(),           // by volume
  exports: new Map(),            // by volume
  names: new Map(),              // of volumes
  events: [],                    // newest first
  ended: [],                     // the last operations, oldest first
  commands: [],                  // of CloudStack: name, count, seconds
  left_out: 0,                   // mappings past the first page
};

// ---- texts ----

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes))
    made.setAttribute(name, value);
  made.append(...children.filter(child => child !== null && child !== undefined));
  return made;
}

const cell = (text, kind = "") => element("td", kind ? {class: kind} : {}, text || "–");
const clock = time => new Date(time).toLocaleTimeString();
const moment = time => new Date(time).toLocaleString();
const volume_name = id => known.names.get(id) || id.slice(0, 8) || "–";

function size_text(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  for (; bytes >= 1024 && unit < units.length - 1; unit++)
    bytes /= 1024;
  return `${Number(bytes.toFixed(1))} ${units[unit]}`;
}

function duration_text(ms) {
  if (ms < 1000)
    return `${Math.max(0, Math.round(ms))} ms`;
  if (ms < 60000)
    return `${(ms / 1000).toFixed(1)} s`;
  const minutes = Math.floor(ms / 60000);
  return minutes < 60 ? `${minutes} min ${Math.floor(ms / 1000) % 60} s`
    : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

function status_class(word) {
  if (["completed", "healthy", "active", "present", "running"].includes(word))
    return "good";
  if (["failed", "unhealthy", "gone"].includes(word))
    return "bad";
  return ["degraded", "cancelled", "pending"].includes(word) ? "warn" : "";
}

// A volume that is not listed, because it is new or deleted, has the name with which it was created.
function learn_name({type, volume_id, request}) {
  if (type === "create" && volume_id && request?.name && !known.names.has(volume_id))
    known.names.set(volume_id, request.name);
}

// A volume as people call it; its id is there for whoever points at it.
function volume_cell(id) {
  const made = cell(id ? volume_name(id) : "");
  if (id)
    made.title = id;
  return made;
}

function asked_by(caller) {
  if (!caller)
    return "the daemon";
  return caller.token ? `token ${caller.token}` : caller.user || caller.bus_name || caller.address || caller.surface;
}

function outcome(operation) {
  const because = operation.needs_attention ? "needs attention: " : "";
  return because + (operation.error || operation.response?.message || operation.step || "");
}

// ---- asking ----

const TOKEN = "volume-daemon-token";
let token = sessionStorage.getItem(TOKEN);

class Refusal extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function ask(path, options = {}) {
  const headers = {...options.headers};
  if (token)
    headers.Authorization = `Bearer ${token}`;
  const answer = await fetch(path, {...options, headers, cache: "no-store"});
  if (answer.ok || path === "health")       // an unhealthy daemon tells its health with 503
    return answer;
  const said = await answer.json().catch(() => ({}));
  throw new Refusal(answer.status, said.error || `the daemon answers ${answer.status}`);
}

const ask_json = async path => (await ask(path)).json();

// ---- showing: what has changed is drawn once before the next picture ----

const dirty = new Set();

function show(...parts) {
  if (dirty.size === 0)
    requestAnimationFrame(() => {
      const due = [...dirty];
      dirty.clear();
      for (const part of due)
        part();
    });
  parts.forEach(part => dirty.add(part));
}

// A phone shows a cell with the name of its column. It shows rows as blocks, which are no table any more to a screen
// reader unless their roles say so.
function name_columns(table) {
  const names = [...find(table).tHead.rows[0].cells].map(head => head.textContent);
  find(table).setAttribute("role", "table");
  for (const row of find(table).rows) {
    row.setAttribute("role", "row");
    [...row.cells].forEach((cell, index) => {
      cell.setAttribute("role", cell.tagName === "TH" ? "columnheader" : "cell");
      cell.dataset.column = names[index];
    });
  }
}

function fill(table, rows) {
  const body = find(table).tBodies[0];
  const none = find(table).closest("section").querySelector(".none");
  body.replaceChildren(...rows);
  name_columns(table);
  find(table).hidden = rows.length === 0;
  none.hidden = rows.length > 0;
}

function show_health() {
  const health = known.health;
  if (!health)
    return;
  find("state").textContent = health.details?.paused ? `${health.status}, paused` : health.status;
  find("state").className = status_class(health.status);
  const lines = [["CloudStack", health.cloudstack_health], ["Store", health.database_health],
                 ["Devices", health.device_monitor], ["NBD exports", health.nbd_health],
                 ["Clock", health.details?.clock]];
  if (health.details?.paused)
    lines.push(["Paused", health.details.paused]);
  for (const [command, word] of Object.entries(health.details?.cloudstack_reads || {}))
    if (!["healthy", "not asked yet"].includes(word))
      lines.push([command, word]);
  lines.push(["Reached over REST by", health.details?.rest_access],
             ["Reached over NBD by", health.details?.nbd_access]);
  find("health").replaceChildren(...lines.filter(([, text]) => text).flatMap(([name, text]) =>
    [element("dt", {}, name), element("dd", {class: text === "healthy" ? "good" : ""}, text)]));
}

// An operation has its error from the first step of its undoing on.
function doing(operation) {
  const step = operation.step || operation.status;
  return operation.error ? `undoing, ${step}` : step;
}

function time_words(operation, now) {
  const elapsed = duration_text(now - Date.parse(operation.created_at));
  if (!operation.expected_end)
    return elapsed;
  return `${elapsed}, expected ${duration_text(Date.parse(operation.expected_end) - Date.parse(operation.created_at))}`;
}

function show_running() {
  const now = Date.now();
  const rows = [...known.operations.values()].sort((a, b) => a.id < b.id ? -1 : 1);
  find("running-count").textContent = rows.length ? `(${rows.length})` : "";
  fill("running", rows.slice(0, ROWS_MAX).map(operation => element("tr", {},
    cell(operation.type), volume_cell(operation.volume_id), cell(doing(operation)),
    cell(operation.waits_for, "text"), cell(time_words(operation, now), "number"))));
}

function fits(mapping, words) {
  const text = [known.names.get(mapping.volume_id), mapping.volume_id, mapping.vm_id, mapping.device_path,
                mapping.persistent_device_name, mapping.symlink_path].join(" ").toLowerCase();
  return words.every(word => text.includes(word));
}

function show_volumes() {
  const words = find("find").value.toLowerCase().split(/\s+/).filter(Boolean);
  const rows = [...known.mappings.values()].filter(mapping => fits(mapping, words))
    .sort((a, b) => volume_name(a.volume_id).localeCompare(volume_name(b.volume_id)));
  const total = known.mappings.size;
  const shown = Math.min(rows.length, ROWS_MAX);
  find("volumes-count").textContent = known.left_out ? `(${shown} of more than ${total})`
    : shown < total ? `(${shown} of ${total})` : total ? `(${total})` : "";
  fill("volumes", rows.slice(0, ROWS_MAX).map(mapping => {
    const served = known.exports.get(mapping.volume_id);
    return element("tr", {}, volume_cell(mapping.volume_id), cell(mapping.device_path, "id"),
      cell(mapping.symlink_path || mapping.persistent_device_name, "id"), cell(size_text(mapping.size), "number"),
      cell(mapping.linux_state, status_class(mapping.linux_state)),
      cell(served?.status, status_class(served?.status)));
  }));
}

function event_words({kind, change, id, [kind]: object}) {
  if (kind === "operation")
    return `${object.type} of ${volume_name(object.volume_id)}: ` +
      (change === "ended" ? `${object.status}${object.error ? `, ${object.error}` : ""}` : object.step || change);
  if (kind === "mapping" || kind === "volume" || kind === "export")
    return `${kind} ${volume_name(id)} ${change}${object?.device_path ? `: ${object.device_path}` : ""}`;
  if (kind === "drift")
    return `drift of ${volume_name(id)}: ${object?.found}`;
  return `${kind} ${id} ${change}`;
}

function show_events() {
  const list = find("events");
  list.replaceChildren(...known.events.map(event => element("li", {},
    element("time", {datetime: event.at.toISOString()}, event.at.toLocaleTimeString()), event.words)));
  list.hidden = known.events.length === 0;
  list.closest("section").querySelector(".none").hidden = known.events.length > 0;
}

// ---- plots ----

const SVG = "http://www.w3.org/2000/svg";

function parts_of(operation) {
  const spent = operation.time_spent || {};
  const parts = PARTS.map(part => spent[`${part}_ms`] || 0);
  if (!parts.some(Boolean))                 // of a version that did not measure them
    parts[0] = Math.max(0, Date.parse(operation.completed_at) - Date.parse(operation.created_at));
  return parts;
}

function show_times() {
  const shown = known.ended.slice(-TIMES_MAX);
  const all = shown.map(parts_of);
  const totals = all.map(parts => parts.reduce((sum, part) => sum + part, 0));
  const highest = Math.max(1, ...totals);
  const width = 600 / TIMES_MAX;
  const bars = [];
  all.forEach((parts, index) => {
    let top = 120;
    parts.forEach((ms, part) => {
      const height = 118 * ms / highest;
      if (!height)
        return;
      const bar = document.createElementNS(SVG, "rect");
      top -= height;
      for (const [name, value] of Object.entries({x: index * width + 1, y: top, width: width - 2, height,
                                                  class: PARTS[part]}))
        bar.setAttribute(name, value);
      const title = document.createElementNS(SVG, "title");
      title.textContent = `${shown[index].type}, ${PARTS[part]}: ${duration_text(ms)}`;
      bar.append(title);
      bars.push(bar);
    });
  });
  find("times").replaceChildren(...bars);
  if (shown.length)
    find("times-words").textContent = `The last ${shown.length} operations, the newest on the right: half of them ` +
      `took at most ${duration_text([...totals].sort((a, b) => a - b)[Math.floor((totals.length - 1) / 2)])}, ` +
      `the longest ${duration_text(highest)}.`;
}

function show_cloud() {
  const longest = Math.max(...known.commands.map(command => command.seconds / command.count), 1e-9);
  fill("cloud", known.commands.map(({name, count, seconds}) => {
    const bar = element("span", {class: "bar"});
    bar.style.width = `${100 * seconds / count / longest}%`;
    return element("tr", {}, cell(name), cell(String(count), "number"),
                   cell(duration_text(1000 * seconds / count), "number"), element("td", {}, bar));
  }));
}

// Lines of Prometheus: volumed_cloudstack_request_duration_seconds_sum{command="listVolumes"} 0.25
async function read_figures() {
  const text = await (await ask("metrics")).text();
  const commands = new Map();
  const line = /^volumed_cloudstack_request_duration_seconds_(sum|count)\{command="([^"]+)"\} (\S+)$/gm;
  for (const [, what, name, value] of text.matchAll(line))
    commands.set(name, {...commands.get(name), name, [what === "sum" ? "seconds" : "count"]: Number(value)});
  known.commands = [...commands.values()].filter(command => command.count > 0);
  show(show_cloud);
}

let figures_due = null;          // a timer, while they are going to be read

// At most one reading in a while, but none too few.
function figures_have_changed() {
  figures_due ??= setTimeout(() => {
    figures_due = null;
    read_figures().catch(() => {});     // the next end of an operation tries again
  }, FIGURES_MS);
}

// ---- history ----

let history_next = null;         // the address of older operations

function history_row(operation, is_new) {
  const volume = element("button", {type: "button", title: `Show the operations of ${operation.volume_id}`},
                         volume_name(operation.volume_id));
  volume.addEventListener("click", () => {
    find("volume").value = operation.volume_id;
    read_history(false);
  });
  const ms = operation.completed_at ? Date.parse(operation.completed_at) - Date.parse(operation.created_at) : null;
  const row = element("tr", is_new ? {class: "new"} : {}, cell(moment(operation.created_at)), cell(operation.type),
    element("td", {}, operation.volume_id ? volume : "–"), cell(operation.status, status_class(operation.status)),
    cell(ms === null ? "" : duration_text(ms), "number"), cell(asked_by(operation.caller)),
    cell(outcome(operation), "text"));
  row.dataset.id = operation.id;
  return row;
}

// The field takes the name of a volume as well, unless several have it.
function wanted_volume() {
  const text = find("volume").value.trim();
  const ids = [...known.names].filter(([, name]) => name === text).map(([id]) => id);
  return ids.length === 1 ? ids[0] : text;
}

function history_query() {
  const query = new URLSearchParams({limit: HISTORY_PAGE});
  for (const [name, value] of [["type", find("type").value], ["status", find("status").value], ["volume_id", wanted_volume()]])
    if (value)
      query.set(name, value);
  return `api/v1/operations?${query}`;
}

function say(id, error) {
  find(id).hidden = !error;
  find(id).textContent = error ? error.message : "";
}

async function read_history(goes_on) {
  try {
    const answer = await ask(goes_on ? history_next : history_query());
    const operations = await answer.json();
    operations.forEach(learn_name);
    const rows = operations.map(operation => history_row(operation, false));
    const next = /<\/?([^>]+)>; *rel="?next"?/.exec(answer.headers.get("Link") || "");
    history_next = next ? next[1] : null;
    fill("history", goes_on ? [...find("history").tBodies[0].rows, ...rows] : rows);
    find("older").hidden = !history_next;
    say("history-trouble", null);
  } catch (error) {
    say("history-trouble", error);
  }
}

function add_to_history(operation) {
  const body = find("history").tBodies[0];
  const row = [...body.rows].find(row => row.dataset.id === operation.id);
  const is_asked = ["type", "status"].every(id => !find(id).value || find(id).value === operation[id]) &&
    (!wanted_volume() || wanted_volume() === operation.volume_id);
  if (row) {
    row.replaceWith(history_row(operation, false));
    name_columns("history");
  } else if (is_asked)
    fill("history", [history_row(operation, true), ...body.rows]);
}

// ---- events ----

function keep(map, id, object, change) {
  if (change === "removed" || !object)
    map.delete(id);
  else
    map.set(id, object);
}

function take(event) {
  const {kind, change, id, [kind]: object} = event;
  if (kind === "operation") {
    keep(known.operations, id, object, change === "ended" ? "removed" : change);
    if (object)
      learn_name(object);
    if (change === "ended") {
      known.ended = [...known.ended, object].slice(-TIMES_MAX);
      add_to_history(object);
      figures_have_changed();
      show(show_times);
    }
    show(show_running);
  } else if (kind === "mapping") {
    keep(known.mappings, id, object, change);
    show(show_volumes);
  } else if (kind === "export") {
    keep(known.exports, id, object, change);
    show(show_volumes);
  } else if (kind === "volume") {
    keep(known.names, id, object?.name, change);
    show(show_volumes);
  } else if (kind === "health") {
    known.health = object;
    show(show_health);
  }
  known.events.unshift({at: new Date(), words: event_words(event)});
  known.events.length = Math.min(known.events.length, EVENTS_MAX);
  show(show_events);
}

const by = (list, key) => new Map(list.map(row => [row[key], row]));

async function read_lists() {
  const [health, mappings, exports, volumes, pending, executing, ended] = await Promise.all([
    ask_json("health"), ask_json(`api/v1/mappings?limit=${PAGE}`), ask_json(`api/v1/exports?limit=${PAGE}`),
    ask_json(`api/v1/volumes?limit=${PAGE}`), ask_json(`api/v1/operations?status=pending&limit=${PAGE}`),
    ask_json(`api/v1/operations?status=executing&limit=${PAGE}`), ask_json(`api/v1/operations?limit=${PAGE / 10}`)]);
  known.health = health;
  known.mappings = by(mappings.mappings, "volume_id");
  known.left_out = mappings.next_cursor ? 1 : 0;
  known.exports = by(exports.exports, "volume_id");
  known.names = new Map(volumes.volumes.map(volume => [volume.volume_id, volume.name]));
  known.operations = by([...pending, ...executing], "id");
  [...pending, ...executing, ...ended].forEach(learn_name);
  known.ended = ended.filter(operation => FINAL.includes(operation.status)).reverse().slice(-TIMES_MAX);
  show(show_health, show_running, show_volumes, show_events, show_times);
  await Promise.all([read_history(false), read_figures()]);
}

// ---- the stream ----

let last_id = null;              // of the last event that was taken
let back_ms = BACK_MIN_MS;       // until the next try
let stream = null;               // its AbortController, while there is one

function* blocks(text) {
  for (const block of text.split("\n\n")) {
    const event = {};
    for (const line of block.split("\n")) {
      const [, name, value] = /^(\w+): ?(.*)$/.exec(line) || [];
      if (name)
        event[name] = value;
    }
    yield event;
  }
}

// Events come in the order in which things happened. Those that come while the lists are read wait, so that the
// lists, which are older or as new, never replace them.
async function follow(controller) {
  const headers = {Accept: "text/event-stream", ...(last_id && {"Last-Event-ID": last_id})};
  const answer = await ask("api/v1/events", {headers, signal: controller.signal});
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", must_read = !last_id;

  for (;;) {
    const silence = setTimeout(() => controller.abort(), SILENCE_MS);
    const {done, value} = await reader.read().finally(() => clearTimeout(silence));
    if (done)
      return;
    rest += value;
    const end = rest.lastIndexOf("\n\n");
    if (end < 0)
      continue;
    const whole = [...blocks(rest.slice(0, end))];
    rest = rest.slice(end + 2);
    if (whole.some(event => event.event === "resync"))
      must_read = true;
    if (must_read && whole.some(event => event.id)) {
      await read_lists();
      must_read = false;
      say("trouble", null);
    }
    for (const event of whole) {
      if (event.retry)
        back_ms = Math.max(BACK_MIN_MS, Math.min(Number(event.retry) || 0, BACK_MAX_MS));
      if (event.data && event.event !== "resync")
        take(JSON.parse(event.data));
      if (event.id) {
        last_id = event.id;
        find("stream").textContent = "live";
      }
    }
  }
}

function ask_for_token() {
  find("sign-in").hidden = false;
  find("token").focus();
}

let again = null;                // the timer of the next try

async function connect() {
  if (stream || document.hidden)
    return;
  clearTimeout(again);
  stream = new AbortController();
  find("stream").textContent = "connecting";
  try {
    await follow(stream);
  } catch (error) {
    if (error.status === 401) {
      stream = null;
      ask_for_token();
      return;
    }
    if (!document.hidden && error.name !== "AbortError")
      say("trouble", new Error(error.status ? error.message : "The daemon can't be reached. It is tried again."));
    back_ms = Math.min(back_ms * 2, BACK_MAX_MS);
  }
  stream = null;
  if (document.hidden)
    return;
  find("stream").textContent = "waits for the daemon";
  again = setTimeout(connect, back_ms);
}

document.addEventListener("visibilitychange", () => {
  if (!document.hidden)
    connect();
  else if (stream) {
    find("stream").textContent = "stopped while hidden";
    stream.abort();
  }
});

find("find").addEventListener("input", () => show(show_volumes));
find("filter").addEventListener("submit", event => {
  event.preventDefault();
  read_history(false);
});
find("older").addEventListener("click", () => read_history(true));
find("sign-in").addEventListener("submit", event => {
  event.preventDefault();
  token = find("token").value.trim();
  sessionStorage.setItem(TOKEN, token);
  find("token").value = "";
  find("sign-in").hidden = true;
  connect();
});
setInterval(() => {              // the elapsed time of what runs
  if (!document.hidden && known.operations.size)
    show(show_running);
}, 1000);
connect();
